import type { SendStats, SlotStats, Transport } from "../client";
import { h, set, text } from "./dom";
import { bars, icon } from "./icons";
import { isNoteworthy, why, whySent, type Shown } from "./why";
import { figure, say } from "./words";

/** What a tile shows now. */
export interface TileState {
  name: string;
  identity: string; // picks the avatar's colour
  self: boolean;
  screen: boolean;
  muted: boolean;
  /** The picture; undefined shows the avatar. */
  video: MediaStreamTrack | undefined;
  featured: boolean;
}

/** One participant (or one shared screen) on the stage. */
export class Tile {
  readonly key: string;
  readonly element: HTMLElement;
  readonly #video = h("video", { autoplay: true, playsinline: true, muted: true });
  readonly #avatar = h("div", { class: "avatar", "aria-hidden": "true" });
  readonly #mic = h("span", { class: "mic", role: "img" }, icon("micOff"));
  readonly #name = h("span", { class: "name" });
  readonly #signal = h("span", { class: "signal" }, bars());
  readonly #why = h("div", { class: "why", hidden: true });
  readonly #enlarge: HTMLButtonElement;
  readonly #numbers = h("dl", { class: "numbers", hidden: true });
  #track: MediaStreamTrack | undefined;

  constructor(key: string, onEnlarge: () => void) {
    this.key = key;
    this.#video.muted = true; // sound has its own elements
    this.#enlarge = h("button", { class: "enlarge", type: "button", onclick: onEnlarge });
    this.element = h(
      "div",
      { class: "tile", role: "group", "data-key": key },
      this.#avatar,
      this.#video,
      this.#enlarge,
      h("div", { class: "plate" }, this.#mic, this.#name, this.#signal),
      this.#why,
      this.#numbers,
    );
  }

  show(s: TileState): void {
    const name = s.screen ? (s.self ? say("yourScreen") : say("screenOf", { name: s.name })) : s.name;
    text(this.#name, s.self && !s.screen ? `${s.name} (${say("you")})` : name);
    set(this.element, "aria-label", s.muted && !s.screen ? `${name}, ${say("muted")}` : name);
    set(this.#enlarge, "aria-label", s.featured ? say("shrink") : say("enlarge", { name }));
    set(this.#enlarge, "aria-pressed", String(s.featured));
    text(this.#avatar, initials(s.name));
    this.element.style.setProperty("--hue", String(hue(s.identity)));
    this.#mic.hidden = !s.muted || s.screen;
    set(this.#mic, "aria-label", say("muted"));
    this.element.classList.toggle("self", s.self && !s.screen);
    this.element.classList.toggle("screen", s.screen);
    this.element.classList.toggle("dark", s.video === undefined);
    if (s.video !== this.#track) {
      this.#track = s.video;
      this.#video.srcObject = s.video ? new MediaStream([s.video]) : null;
      if (s.video) void this.#video.play().catch(() => {}); // muted video may always play; autoplay starts it later
    }
  }

  /** The ring: 0 silent, 1 loud. */
  speak(level: number, isSpeaking: boolean): void {
    this.element.style.setProperty("--level", level.toFixed(2));
    this.element.classList.toggle("speaking", isSpeaking);
  }

  /** Reception, and the figures when they are wanted. */
  measure(s: TileFigures, withNumbers: boolean): void {
    const quality = grade(s);
    set(this.#signal, "data-quality", quality);
    this.#signal.hidden = quality === 3 && !withNumbers;
    const limited = s.layers && s.connected ? s.layers : undefined;
    this.#why.hidden = withNumbers || !limited || !isNoteworthy(limited);
    text(this.#why, this.#why.hidden || !limited ? "" : why(limited));
    set(this.#enlarge, "title", limited ? why(limited) : undefined);
    this.#numbers.hidden = !withNumbers;
    if (!withNumbers) return;
    const rows = numbers(s);
    const row = ([name, value]: [string, string]): Node[] =>
      name ? [h("dt", {}, name), h("dd", {}, value)] : [h("dd", { class: "wide" }, value)];
    this.#numbers.replaceChildren(...rows.flatMap(row));
  }

  close(): void {
    this.#video.srcObject = null;
    this.element.remove();
  }
}

/** The measurements behind one tile. */
export interface TileFigures {
  video: SlotStats | undefined;
  audio: SlotStats | undefined;
  sending: readonly SendStats[];
  /** What the server says of the picture. */
  layers: Shown | undefined;
  /** What carries signaling; on our own tile only. */
  signaling: Transport | undefined;
  /** Bytes that a minute of the call costs, both ways; on our own tile only, else 0. */
  perMinute: number;
  rtt: number;
  connected: boolean;
}

function grade(s: TileFigures): 0 | 1 | 2 | 3 {
  if (!s.connected) return 0;
  const loss = Math.max(s.video?.loss ?? 0, s.audio?.loss ?? 0, ...s.sending.map((x) => x.loss));
  if (loss >= 0.1 || s.rtt >= 400) return 1;
  return loss >= 0.02 || s.rtt >= 150 ? 2 : 3;
}

// Names and values; a sentence has no name.
function numbers(s: TileFigures): [string, string][] {
  const rows: [string, string][] = [];
  for (const out of s.sending) {
    if (out.source === "microphone") rows.push([out.codec || "Opus", speed(out.bitrate)]);
    else {
      rows.push([say("picture"), picture(out)], [out.codec || say("codec"), speed(out.bitrate)]);
      if (whySent(out)) rows.push(["", whySent(out)]);
    }
  }
  if (s.video && s.video.packets > 0) {
    rows.push([say("picture"), picture(s.video)], [s.video.codec, speed(s.video.bitrate)]);
  }
  if (s.layers && s.layers.limit !== "none") rows.push(["", why(s.layers)]);
  if (s.audio && s.audio.packets > 0) rows.push([s.audio.codec, speed(s.audio.bitrate)]);
  const worst = s.video && s.video.packets > 0 ? s.video : s.audio;
  const loss = Math.max(s.video?.loss ?? 0, s.audio?.loss ?? 0, ...s.sending.map((x) => x.loss));
  rows.push([say("rtt"), say("ms", { n: figure(s.rtt) })], [say("loss"), `${figure(loss * 100, 1)} %`]);
  if (worst) {
    rows.push(
      [say("jitter"), say("ms", { n: figure(worst.jitter) })],
      [say("buffer"), say("ms", { n: figure(worst.bufferDelay) })],
    );
  }
  if (s.perMinute > 0) rows.push([say("perMinute"), size(s.perMinute)]);
  if (s.signaling) rows.push([say("signaling"), transportNames[s.signaling]]);
  return rows;
}

/** Proper names, the same in every language. */
export const transportNames: Record<Transport, string> = { webtransport: "WebTransport", websocket: "WebSocket" };

function picture(s: { width: number; height: number; fps: number }): string {
  return s.width > 0 ? `${s.width}×${s.height} · ${say("fps", { n: figure(s.fps) })}` : "–";
}

/** 1.2 Mbit/s, 24 kbit/s. */
export function speed(bits: number): string {
  return bits >= 1e6 ? `${figure(bits / 1e6, 1)} Mbit/s` : `${figure(bits / 1e3)} kbit/s`;
}

// 1.2 MB, 24 kB.
function size(bytes: number): string {
  return bytes >= 1e6 ? `${figure(bytes / 1e6, 1)} MB` : `${figure(bytes / 1e3)} kB`;
}

/** "Айгерім Сапарова" -> "АС". */
export function initials(name: string): string {
  const words = name.trim().split(/\s+/u).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words[words.length - 1]] : words;
  return letters.map((w) => [...(w ?? "")][0]?.toLocaleUpperCase() ?? "").join("") || "?";
}

/** A colour that stays with its owner: degrees on the colour wheel. */
export function hue(identity: string): number {
  let hash = 2166136261; // FNV-1a
  for (const c of identity) hash = Math.imul(hash ^ (c.codePointAt(0) ?? 0), 16777619) >>> 0;
  return ((hash ^ (hash >>> 15)) >>> 0) % 360;
}
