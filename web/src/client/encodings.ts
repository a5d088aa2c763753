import { isScalable, type VideoCodec } from "./codecs";
import type { DeviceClass } from "./device";

/** RTCRtpEncodingParameters with what TypeScript's own types leave out: https://w3c.github.io/webrtc-svc/ */
export interface Encoding extends RTCRtpEncodingParameters {
  scalabilityMode?: string;
}

/** What a video m-line shows. */
export type Picture = "camera" | "screen";

/** What the server wants of one encoding: see LayersWanted in signaling/wire/tolkyn.proto. */
export interface Wanted {
  wanted: boolean;
  spatial: number; // highest layer, from 0
  temporal: number;
}

/** What decides how a picture is sent. */
export interface Sending {
  picture: Picture;
  device: DeviceClass;
  /** The negotiated one; before the answer the one asked for. */
  codec: VideoCodec | undefined;
  /** Of the picture: the shorter side, so that a telephone held upright counts as one on its side; 0 unknown. */
  lines: number;
}

const usualLines = 720; // what we ask cameras for
const lowLines = 360;

// Rates a camera's picture of so many lines is good at, in bit/s: a face at 180 lines is clear with 150k; beyond 1.5M at 720
// nobody sees a difference in a call.
const cameraRates = [
  { lines: 180, rate: 150_000 },
  { lines: 360, rate: 500_000 },
  { lines: Infinity, rate: 1_500_000 },
];
const cameraFps = 30;
const lowFps = 24; // as a film; a third less work than 30
// Text is read, not watched: many lines, few pictures. The small one is for thumbnails and weak links.
const screenRates = [300_000, 2_500_000];
const screenFps = [5, 15];

const rids = ["q", "h", "f"]; // quarter, half, full: their order counts, not their names
const temporalLayers = 3;

/** How many encodings, or spatial layers of one, a picture is sent in at most. */
export function rungs(s: Pick<Sending, "picture" | "device">): number {
  if (s.device === "low") return 1;
  return s.picture === "camera" ? 3 : 2;
}

// As many of them as a picture has lines for: a face of fewer than 135 lines is none. Chromium leaves spatial layers below that
// out; and of a simulcast it takes the upper encodings from a small picture away, and leaves a quarter of it.
function useful(s: Sending): number {
  const lines = s.lines || usualLines;
  return Math.min(rungs(s), lines >= 540 ? 3 : lines >= 270 ? 2 : 1);
}

/** The encodings to offer for an m-line: one for a codec with spatial layers, else a simulcast, smallest first. */
export function offered(s: Sending): Encoding[] {
  const n = isScalable(s.codec) ? 1 : rungs(s);
  const list: Encoding[] = Array.from({ length: n }, (_, i) => (n === 1 ? {} : { rid: rids[rids.length - n + i]! }));
  return fitted(list, s, undefined);
}

/** The same encodings as they should be sent now: sizes and rates for the picture's size, those that nobody watches off. */
export function fitted(list: readonly Encoding[], s: Sending, wanted: ReadonlyMap<string, Wanted> | undefined): Encoding[] {
  if (isScalable(s.codec) && list.length === 1) return [scalable(list[0]!, s, wanted?.get(list[0]!.rid ?? ""))];
  const n = Math.min(list.length, useful(s));
  return list.map((e, i) => {
    const active = i < n && (wanted?.get(e.rid ?? "")?.wanted ?? true);
    return { ...e, active, ...size(s, 2 ** Math.max(0, n - 1 - i)), scalabilityMode: `L1T${temporalLayers}` };
  });
}

// One encoding with layers in it. A layer that nobody watches is not coded: the picture is made smaller by as much, so that
// the layers below stay as they were. Temporal layers stay: leaving them out begins anew with a keyframe and saves little.
function scalable(e: Encoding, s: Sending, wanted: Wanted | undefined): Encoding {
  const most = useful(s);
  const layers = wanted?.wanted ? Math.max(1, Math.min(most, wanted.spatial + 1)) : most;
  const mode = layers > 1 ? `L${layers}T${temporalLayers}_KEY` : `L1T${temporalLayers}`;
  return { ...e, active: wanted?.wanted ?? true, ...size(s, 2 ** (most - layers)), scalabilityMode: mode };
}

function size(s: Sending, down: number): Pick<Encoding, "scaleResolutionDownBy" | "maxBitrate" | "maxFramerate"> {
  const lines = s.lines || usualLines;
  if (s.picture === "screen") {
    const i = down > 1 ? 0 : 1;
    return { scaleResolutionDownBy: down, maxBitrate: screenRates[i]!, maxFramerate: screenFps[i]! };
  }
  if (s.device === "low") {
    const rate = cameraRates[1]!.rate;
    return { scaleResolutionDownBy: Math.max(1, lines / lowLines), maxBitrate: rate, maxFramerate: lowFps };
  }
  const rate = cameraRates.find((r) => lines / down <= r.lines)!.rate;
  return { scaleResolutionDownBy: down, maxBitrate: rate, maxFramerate: cameraFps };
}

/** Whether b differs from a in what setParameters would change. */
export function differ(a: Encoding, b: Encoding): boolean {
  return (
    a.active !== b.active ||
    (a.scaleResolutionDownBy ?? 1) !== b.scaleResolutionDownBy ||
    a.maxBitrate !== b.maxBitrate ||
    a.maxFramerate !== b.maxFramerate ||
    a.scalabilityMode !== b.scalabilityMode
  );
}
