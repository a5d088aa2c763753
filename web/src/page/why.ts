import type { Limit, SendStats, SlotLayers } from "../client";
import { say, type Word } from "./words";

const reasons: Record<Limit, Word> = {
  none: "whyNone",
  wish: "whyWish",
  publisher: "whyPublisher",
  bandwidth: "whyBandwidth",
  device: "whyDevice",
  codec: "whyCodec",
  paused: "whyPaused",
};

/** What of the server's word on a slot matters here. */
export type Shown = Pick<SlotLayers, "width" | "height" | "limit">;

/** Why a picture is no larger, with its size: "360p: your window is small". */
export function why(layers: Shown): string {
  const reason = say(reasons[layers.limit]);
  const lines = Math.min(layers.width, layers.height);
  return lines > 0 ? say("whySize", { lines, reason }) : reason;
}

/** Whether that is worth a word on the tile itself: what the user, or somebody, might do something about. */
export function isNoteworthy(layers: Shown): boolean {
  return ["bandwidth", "device", "codec"].includes(layers.limit);
}

/** The same of what we send. */
export function whySent(s: SendStats): string {
  return s.limitedBy === "bandwidth" ? say("whyBandwidth") : s.limitedBy === "cpu" ? say("whyDevice") : "";
}
