import type { Room } from "../client";
import { canChooseSpeaker } from "./devices";
import { h } from "./dom";
import { preferences } from "./preferences";

/**
 * Plays the audio slots, one element each: a slot's track stays, so an element never changes while people come and go.
 * Browsers may refuse to play before the user touched the page; then `blocked` is called, and unblock() from a click.
 */
export class Speakers {
  readonly element = h("div", { class: "unseen", "aria-hidden": "true" });
  readonly #blocked: (is: boolean) => void;

  constructor(blocked: (is: boolean) => void) {
    this.#blocked = blocked;
  }

  /** Plays this room's slots from now on. */
  attach(room: Room): void {
    const elements = room.slots
      .filter((s) => s.kind === "audio")
      .map((s) => {
        const audio = h("audio", { autoplay: true, "data-mid": s.mid });
        audio.srcObject = new MediaStream([s.track]);
        return audio;
      });
    this.element.replaceChildren(...elements);
    this.choose();
    this.unblock();
  }

  /** Uses the device of the user's choice, where the browser can. */
  choose(): void {
    if (!canChooseSpeaker) return;
    for (const a of this.#all()) void a.setSinkId(preferences.speaker).catch(() => {}); // gone: the default stays
  }

  /** Tries to play; call it from a click or a key. */
  unblock(): void {
    for (const a of this.#all()) {
      a.play().then(
        () => this.#blocked(false),
        (e: unknown) => {
          if (e instanceof DOMException && e.name === "NotAllowedError") this.#blocked(true);
        },
      );
    }
  }

  close(): void {
    for (const a of this.#all()) a.srcObject = null;
    this.element.remove();
  }

  #all(): HTMLAudioElement[] {
    return [...this.element.querySelectorAll("audio")];
  }
}
