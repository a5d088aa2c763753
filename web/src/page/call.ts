import { Meter, TolkynError, type CallStats, type Participant, type Room, type RoomState, type Source } from "../client";
import type { Announcer } from "./announce";
import { chosen } from "./devices";
import { h, set, text } from "./dom";
import { explain } from "./failure";
import { bars, icon, wordmark, type Icon } from "./icons";
import { tiles } from "./layout";
import { Level, loudness } from "./level";
import { prefer, preferences } from "./preferences";
import { showSettings, showShortcuts } from "./settings";
import { Speakers } from "./speakers";
import { speed, Tile, transportNames, type TileState } from "./tile";
import { invite } from "./token";
import { figure, say, sayPeople, type Word } from "./words";

const levelEvery = 80; // ms: a ring that follows a syllable
const measureEvery = 1_000; // ms

/** What has a button. */
type Switch = Exclude<Source, "screen-audio">;

interface Wanted extends TileState {
  key: string;
  participant?: Participant;
}

/** The call itself: stage, bar, and everything that keeps them true. */
export class Call {
  readonly element = h("main", { class: "call" });
  readonly #room: Room;
  readonly #announcer: Announcer;
  readonly #meter: Meter;
  readonly #level = new Level();
  readonly #speakers: Speakers;
  readonly #tiles = new Map<string, Tile>();
  readonly #ends: (() => void)[] = [];

  readonly #stage = h("div", { class: "stage" });
  readonly #main = h("div", { class: "main" });
  readonly #strip = h("div", { class: "strip" });
  readonly #rest = h("div", { class: "tile rest" });
  readonly #alone = h("div", { class: "alone" });
  readonly #banner = h("div", { class: "banner", role: "alert", hidden: true });
  readonly #count = h("span", { class: "count" });
  readonly #state = h("span", { class: "state", role: "status" });
  readonly #badge = h("button", { type: "button", class: "badge" });
  readonly #badgeText = h("span");
  readonly #badgeBars = bars();
  readonly #unblock = h("button", { type: "button", class: "primary unblock", hidden: true });
  readonly #buttons: Record<Switch, HTMLButtonElement>;

  readonly #changedDevice = new Set<Switch>(); // chosen while it was off: taken up when it is switched on

  #pinned = "";
  #withNumbers = false;
  #wasReconnecting = false;
  #stats: CallStats | undefined;
  #visible: Wanted[] = [];

  constructor(room: Room, announcer: Announcer) {
    this.#room = room;
    this.#announcer = announcer;
    this.#meter = new Meter(room);
    this.#speakers = new Speakers((blocked) => (this.#unblock.hidden = !blocked));
    this.#buttons = {
      microphone: this.#control(() => this.toggle("microphone")),
      camera: this.#control(() => this.toggle("camera")),
      screen: this.#control(() => this.toggle("screen")),
    };
    this.#badge.append(this.#badgeBars, this.#badgeText);
    this.#badge.addEventListener("click", () => this.#toggleNumbers());
    this.#unblock.addEventListener("click", () => this.#speakers.unblock());
    this.#draw();
    this.#listen();
    this.#speakers.attach(room);
    this.#showState(room.state);
    this.#update();
  }

  close(): void {
    for (const end of this.#ends) end();
    for (const t of this.#tiles.values()) t.close();
    this.#level.close();
    this.#speakers.close();
    document.querySelector("dialog.sheet")?.remove();
    this.element.remove();
  }

  /** Microphone, camera or screen: on if it was off, off if it was on. */
  async toggle(source: Switch): Promise<void> {
    const p = this.#room.publication(source);
    const button = this.#buttons[source];
    // A device that is being opened needs no second one; switching sound off never waits.
    if (button.ariaBusy && !(p && source === "microphone")) return;
    set(button, "aria-busy", "true");
    try {
      if (!p) await this.#room.publish(source, source === "screen" ? true : chosen(source));
      else if (source === "screen") await this.#room.unpublish("screen");
      else if (p.muted && this.#changedDevice.has(source)) await this.#room.publish(source, chosen(source));
      else await this.#room.setMuted(source, !p.muted);
      if (this.#isOn(source)) this.#changedDevice.delete(source);
      const on = this.#isOn(source);
      if (source === "microphone") prefer({ microphoneOn: on });
      if (source === "camera") prefer({ cameraOn: on });
      this.#announcer.whisper(say(outcome[source][on ? 0 : 1]));
    } catch (e) {
      // Closing the browser's own "which screen?" is no failure.
      const closed = source === "screen" && e instanceof TolkynError && e.code === "device-denied";
      if (!closed) this.#announcer.say(explain(e), "bad");
    } finally {
      set(button, "aria-busy", undefined);
      this.#update();
    }
  }

  #draw(): void {
    const room = this.#room.session.welcome.room;
    const settings = h("button", { type: "button", class: "plain", onclick: () => this.#settings() }, icon("settings"));
    label(settings, say("settings"));
    const help = h("button", { type: "button", class: "plain wide-only", onclick: showShortcuts }, icon("keyboard"));
    label(help, say("shortcuts"));
    const link = h("button", { type: "button", class: "plain", onclick: () => void this.#copyLink() }, icon("link"));
    label(link, say("copyLink"));
    const leave = h("button", { type: "button", class: "round leave", onclick: () => void this.#room.leave() }, icon("leave"));
    label(leave, say("leave"));
    set(leave, "aria-keyshortcuts", "l");
    label(this.#badge, say("numbers"));
    this.#unblock.replaceChildren(icon("sound"), say("tapToHear"));
    this.#alone.replaceChildren(
      h("strong", {}, say("alone")),
      h("span", {}, say("aloneHint")),
      h("button", { type: "button", class: "secondary", onclick: () => void this.#copyLink() }, icon("link"), say("copyLink")),
    );
    this.#stage.replaceChildren(this.#main, this.#strip);
    this.element.replaceChildren(
      h(
        "header",
        { class: "top" },
        wordmark(),
        h("span", { class: "room" }, h("b", {}, room), h("span", { class: "people" }, icon("people"), this.#count)),
        h("span", { class: "spring" }),
        this.#state,
        this.#badge,
        link,
        help,
        settings,
      ),
      this.#banner,
      this.#stage,
      this.#alone,
      this.#unblock,
      h("footer", { class: "bar" }, ...this.#shownButtons(), leave),
      this.#speakers.element,
    );
  }

  #shownButtons(): HTMLButtonElement[] {
    const list = [this.#buttons.microphone, this.#buttons.camera];
    if (typeof navigator.mediaDevices?.getDisplayMedia === "function") list.push(this.#buttons.screen); // not on phones
    return list;
  }

  #control(act: () => Promise<void>): HTMLButtonElement {
    return h("button", { type: "button", class: "round", onclick: () => void act() });
  }

  #listen(): void {
    const room = this.#room;
    const update = (): void => this.#update();
    this.#ends.push(
      room.on("state", (s) => this.#showState(s)),
      room.on("slots", update),
      room.on("published", update),
      room.on("participantJoined", (p) => {
        this.#announcer.say(say("someoneJoined", { name: p.name }));
        this.#update();
      }),
      room.on("participantLeft", (p) => {
        this.#announcer.say(say("someoneLeft", { name: p.name }));
        this.#update();
      }),
      room.on("trackPublished", ({ participant, track }) => {
        if (track.source === "screen") this.#announcer.say(say("someoneShares", { name: participant.name }));
        this.#update();
      }),
      room.on("trackUnpublished", update),
      room.on("trackMuted", update),
      room.on("rebuilt", () => {
        this.#speakers.attach(room);
        this.#update();
      }),
      room.on("error", (e) => {
        if (e.code === "ice-failed") this.#showBanner(explain(e));
        else this.#announcer.say(explain(e), "bad");
      }),
    );
    const levels = setInterval(() => this.#showLevels(), levelEvery);
    const measure = setInterval(() => void this.#measure(), measureEvery);
    const resized = new ResizeObserver(() => this.#layout());
    resized.observe(this.#stage);
    const onKey = (e: KeyboardEvent): void => this.#onKey(e);
    document.addEventListener("keydown", onKey);
    this.#ends.push(
      () => clearInterval(levels),
      () => clearInterval(measure),
      () => resized.disconnect(),
      () => document.removeEventListener("keydown", onKey),
    );
  }

  #onKey(e: KeyboardEvent): void {
    const typing = e.target instanceof HTMLElement && e.target.closest("input, select, textarea, dialog");
    if (typing || e.ctrlKey || e.metaKey || e.altKey || e.repeat) return;
    // By place on the keyboard, so that a Cyrillic layout works too; "?" by what it writes.
    if (e.key === "?" || (e.code === "Slash" && e.shiftKey)) showShortcuts();
    else if (e.code === "KeyM") void this.toggle("microphone");
    else if (e.code === "KeyV") void this.toggle("camera");
    else if (e.code === "KeyS") void this.toggle("screen");
    else if (e.code === "KeyI") this.#toggleNumbers();
    else if (e.code === "KeyL") void this.#room.leave();
    else return;
    e.preventDefault();
  }

  // --- the stage ----------------------------------------------------------------------------------------------------

  #update(): void {
    const others = this.#room.participants.size;
    text(this.#count, String(others + 1));
    set(this.#count, "aria-label", sayPeople(others + 1));
    this.#alone.hidden = others > 0;
    this.#showButtons();
    this.#level.follow(this.#room.publication("microphone")?.track);
    this.#layout();
  }

  // Everybody in join order, screens first, ourselves last.
  #wanted(): Wanted[] {
    const list: Wanted[] = [];
    const faces: Wanted[] = [];
    for (const p of this.#room.participants.values()) {
      const tracks = [...p.tracks.values()];
      const base = { name: p.name || p.identity, identity: p.identity, self: false, featured: false, participant: p };
      if (tracks.some((t) => t.source === "screen")) {
        const video = this.#room.slotOf(p.id, "video", "screen")?.track;
        list.push({ ...base, key: `${p.id}:screen`, screen: true, muted: true, video });
      }
      const slot = this.#room.slotOf(p.id, "video", "camera");
      const video = slot && !slot.remoteTrack?.muted ? slot.track : undefined;
      const muted = tracks.every((t) => t.source !== "microphone" || t.muted);
      faces.push({ ...base, key: p.id, screen: false, muted, video });
    }
    const { session, name } = this.#room;
    const me = { name, identity: session.welcome.identity, self: true, featured: false };
    const microphone = this.#room.publication("microphone");
    faces.push({
      ...me,
      key: "self",
      screen: false,
      muted: microphone?.muted ?? true,
      video: this.#room.publication("camera")?.track,
    });
    const screen = this.#room.publication("screen")?.track;
    if (screen) list.push({ ...me, key: "self:screen", screen: true, muted: true, video: screen });
    return [...list, ...faces];
  }

  #layout(): void {
    const wanted = this.#wanted();
    // A shared screen takes the stage by itself, unless the user chose something else.
    const featured = wanted.find((w) => w.key === this.#pinned) ?? wanted.find((w) => w.screen && !w.self);
    if (featured && wanted.length > 1) featured.featured = true;
    const box = this.#stage.getBoundingClientRect();
    const gap = box.width < 600 ? 8 : 12;
    const isWide = box.width > box.height * 1.2;
    const most = box.width < 600 ? 8 : 16;
    const strip = featured?.featured ? wanted.filter((w) => w !== featured) : [];
    const main = featured?.featured ? [featured] : wanted;
    const room = featured?.featured ? (isWide ? Math.max(2, Math.floor(box.height / 130)) : 3) : most;
    const list = featured?.featured ? strip : main;
    // We ourselves stay in sight when not everybody fits.
    const hidden = list.length > room ? list.splice(room - 2, list.length - room + 1) : [];

    this.#stage.classList.toggle("featuring", strip.length > 0);
    this.#stage.classList.toggle("tall", !isWide);
    this.#visible = [...main, ...strip];
    const shown = new Set(this.#visible.map((w) => w.key));
    for (const [key, tile] of this.#tiles) {
      if (shown.has(key)) continue;
      tile.close();
      this.#tiles.delete(key);
    }
    this.#place(this.#main, main, hidden.length > 0 && strip.length === 0 ? hidden.length : 0);
    this.#place(this.#strip, strip, hidden.length > 0 && strip.length > 0 ? hidden.length : 0);
    if (strip.length === 0) {
      const n = main.length + (hidden.length > 0 ? 1 : 0);
      const fit = tiles(n, box.width, box.height, gap);
      this.#main.style.setProperty("--tile-width", `${fit.width}px`);
      this.#main.style.setProperty("--tile-height", `${fit.height}px`);
      this.#main.style.setProperty("--columns", String(fit.columns));
    }
    this.#wish(hidden);
  }

  #place(into: HTMLElement, list: Wanted[], rest: number): void {
    const elements = list.map((w) => {
      let tile = this.#tiles.get(w.key);
      if (!tile) {
        tile = new Tile(w.key, () => {
          const unpin = this.#pinned === w.key;
          this.#pinned = unpin ? "" : w.key;
          this.#layout();
        });
        this.#tiles.set(w.key, tile);
      }
      tile.show(w);
      return tile.element;
    });
    if (rest > 0) {
      this.#rest.textContent = say("more", { n: rest });
      elements.splice(elements.length - 1, 0, this.#rest);
    } else if (this.#rest.parentElement === into) {
      this.#rest.remove();
    }
    // Moving a playing video interrupts it: touch the order only where it is wrong.
    elements.forEach((e, i) => {
      if (into.children[i] !== e) into.insertBefore(e, into.children[i] ?? null);
    });
  }

  #wish(hidden: Wanted[]): void {
    const scale = devicePixelRatio || 1;
    const seen = this.#visible
      .filter((w) => w.participant)
      .map((w) => {
        const box = this.#tiles.get(w.key)?.element.getBoundingClientRect();
        const track = [...w.participant!.tracks.values()].find((t) => t.source === (w.screen ? "screen" : "camera"));
        return {
          participant: w.participant!.id,
          track: track?.id ?? "",
          width: Math.round((box?.width ?? 0) * scale),
          height: Math.round((box?.height ?? 0) * scale),
        };
      })
      .filter((w) => w.track)
      .sort((a, b) => b.width * b.height - a.width * a.height);
    const unseen = hidden.flatMap((w) =>
      [...(w.participant?.tracks.values() ?? [])]
        .filter((t) => t.source === (w.screen ? "screen" : "camera"))
        .map((t) => ({ participant: w.participant!.id, track: t.id, hidden: true })),
    );
    this.#room.wish([...seen, ...unseen]);
  }

  // --- what moves ---------------------------------------------------------------------------------------------------

  readonly #heard = new Map<string, number>();

  #showLevels(): void {
    const now = this.#room.levels();
    for (const w of this.#visible) {
      if (w.screen) continue;
      const level = w.self ? this.#level.read() : loudness(now.get(w.participant?.id ?? "") ?? 0);
      // Up at once, down slowly: a ring that flickers with each syllable is worse than none.
      const shown = w.muted ? 0 : Math.max(level, (this.#heard.get(w.key) ?? 0) * 0.88);
      this.#heard.set(w.key, shown);
      this.#tiles.get(w.key)?.speak(shown);
    }
  }

  async #measure(): Promise<void> {
    let stats: CallStats;
    try {
      stats = await this.#meter.read();
    } catch {
      return; // the connection is being replaced
    }
    this.#stats = stats;
    this.#showStats();
  }

  #showStats(): void {
    const stats = this.#stats;
    if (!stats) return;
    set(this.#badgeBars, "data-quality", stats.quality);
    const words: Word[] = ["noMedia", "poor", "fair", "good"];
    text(this.#badgeText, stats.quality === 0 ? "" : say("ms", { n: figure(stats.rtt) }));
    const sum = `↓ ${speed(stats.bitrateIn)} ↑ ${speed(stats.bitrateOut)} · ${stats.path} · ${stats.cipher} · ${transportNames[stats.signaling]}`;
    set(this.#badge, "title", `${say("quality")}: ${say(words[stats.quality]!)} · ${sum}`);
    const connected = stats.quality > 0;
    for (const w of this.#visible) {
      const id = w.participant?.id ?? "";
      const slot = (kind: "audio" | "video") => {
        const s = this.#room.slotOf(id, kind, kind === "audio" ? undefined : w.screen ? "screen" : "camera");
        return s && stats.slots.get(s.mid);
      };
      this.#tiles.get(w.key)?.measure(
        {
          video: w.self ? undefined : slot("video"),
          audio: w.self || w.screen ? undefined : slot("audio"),
          sending: w.self ? stats.sending.filter((s) => (s.source === "screen") === w.screen) : [],
          signaling: w.self && !w.screen ? stats.signaling : undefined,
          rtt: stats.rtt,
          connected,
        },
        this.#withNumbers,
      );
    }
  }

  #toggleNumbers(): void {
    this.#withNumbers = !this.#withNumbers;
    set(this.#badge, "aria-pressed", String(this.#withNumbers));
    this.#showStats();
  }

  #showState(s: RoomState): void {
    const words: Partial<Record<RoomState, Word>> = { connecting: "connecting", reconnecting: "reconnecting" };
    const word = words[s];
    this.#state.textContent = word ? say(word) : "";
    this.#state.hidden = !word;
    this.element.classList.toggle("unsteady", s === "reconnecting");
    if (s === "connected") {
      this.#banner.hidden = true;
      if (this.#wasReconnecting) this.#announcer.say(say("reconnected"));
    }
    this.#wasReconnecting = s === "reconnecting";
  }

  #showBanner(message: string): void {
    this.#banner.textContent = message;
    this.#banner.hidden = false;
  }

  #isOn(source: Switch): boolean {
    const p = this.#room.publication(source);
    return p !== undefined && !p.muted;
  }

  #showButtons(): void {
    const faces: Record<Switch, { on: [Icon, Word]; off: [Icon, Word]; key: string }> = {
      microphone: { on: ["mic", "muteMic"], off: ["micOff", "unmuteMic"], key: "m" },
      camera: { on: ["camera", "cameraOff"], off: ["cameraOff", "cameraOn"], key: "v" },
      screen: { on: ["screen", "stopScreen"], off: ["screen", "shareScreen"], key: "s" },
    };
    for (const [source, face] of Object.entries(faces) as [Switch, (typeof faces)[Switch]][]) {
      const on = this.#isOn(source);
      const [name, word] = on ? face.on : face.off;
      const b = this.#buttons[source];
      if (b.dataset.icon !== name) {
        b.dataset.icon = name;
        b.replaceChildren(icon(name));
      }
      label(b, say(word));
      set(b, "title", `${say(word)} (${face.key.toUpperCase()})`);
      set(b, "aria-keyshortcuts", face.key);
      b.classList.toggle("off", source !== "screen" && !on);
      b.classList.toggle("on", source === "screen" && on);
    }
  }

  #settings(): void {
    const change = (source: "microphone" | "camera") => () => {
      const p = this.#room.publication(source);
      if (p?.muted) this.#changedDevice.add(source);
      if (!p || p.muted) return;
      this.#room.publish(source, chosen(source)).catch((e) => this.#announcer.say(explain(e), "bad"));
    };
    showSettings({
      microphone: change("microphone"),
      camera: change("camera"),
      speaker: () => this.#speakers.choose(),
      language: () => {
        this.#draw();
        this.#showState(this.#room.state);
        this.#update();
        this.#showStats();
      },
    });
  }

  async #copyLink(): Promise<void> {
    const link = new URL("/", location.href);
    if (invite()) link.hash = `invite=${invite()}`;
    else link.searchParams.set("room", this.#room.session.welcome.room);
    try {
      await navigator.clipboard.writeText(link.href);
      this.#announcer.say(say("copied"));
    } catch {
      this.#announcer.say(link.href);
    }
  }
}

const outcome: Record<Switch, [Word, Word]> = {
  microphone: ["youAreHeard", "youAreMuted"],
  camera: ["cameraNowOn", "cameraNowOff"],
  screen: ["screenShared", "screenStopped"],
};

function label(e: Element, words: string): void {
  set(e, "aria-label", words);
  set(e, "title", words);
}

/** What the user sees first of what he left off in the preferences. */
export function wantedDevices(): { microphone: MediaTrackConstraints | boolean; camera: MediaTrackConstraints | boolean } {
  return {
    microphone: preferences.microphoneOn && chosen("microphone"),
    camera: preferences.cameraOn && chosen("camera"),
  };
}
