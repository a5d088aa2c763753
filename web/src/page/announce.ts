import { h } from "./dom";

const shownFor = 3_500; // ms

/** Short messages: shown for a moment, and read out by screen readers. */
export class Announcer {
  readonly element = h("div", { class: "toasts", role: "status", "aria-live": "polite" });

  /** Says it to everybody. */
  say(text: string, kind: "plain" | "bad" = "plain"): void {
    const toast = h("div", { class: kind === "bad" ? "toast bad" : "toast" }, text);
    this.element.append(toast);
    while (this.element.children.length > 3) this.element.firstChild?.remove();
    setTimeout(() => toast.remove(), kind === "bad" ? 2 * shownFor : shownFor);
  }

  /** Says it to screen readers only: the page shows it anyway. */
  whisper(text: string): void {
    const note = h("div", { class: "unseen" }, text);
    this.element.append(note);
    setTimeout(() => note.remove(), shownFor);
  }
}
