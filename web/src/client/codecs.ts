/** Video codecs that the server forwards, as JoinOptions and events name them. */
export type VideoCodec = "vp8" | "h264" | "vp9" | "av1";

/** All of them, in the order in which receive slots offer them. */
export const videoCodecs: readonly VideoCodec[] = ["vp8", "vp9", "h264", "av1"];

/** "VP8", as SDP and the server name it, to ours; undefined for what this SDK does not know. */
export function codecOf(name: string | undefined): VideoCodec | undefined {
  const short = name?.toLowerCase().replace(/^video\//, "");
  return videoCodecs.find((c) => c === short);
}

/** Carries spatial layers in one stream, so that it needs no simulcast. */
export function isScalable(codec: VideoCodec | undefined): boolean {
  return codec === "vp9" || codec === "av1";
}

// Of a codec's many variants one is offered: the one that everybody decodes. An offer of 12 slots with all that Chromium has
// is 68 kB.
const variants: Record<VideoCodec, RegExp> = {
  vp8: /^/,
  h264: /^(?=.*packetization-mode=1)(?=.*profile-level-id=42e01f)/i,
  vp9: /^(?!.*profile-id=[1-9])/,
  av1: /^(?!.*profile=[1-9])/,
};
const anyH264 = /packetization-mode=1/;

/** Which of these codecs the browser sends or receives, in their order, each in one variant. */
export function supported(direction: "send" | "receive", codecs: readonly VideoCodec[]): RTCRtpCodec[] {
  const all = (direction === "send" ? RTCRtpSender : RTCRtpReceiver).getCapabilities("video")?.codecs ?? [];
  return codecs.flatMap((codec) => {
    const same = all.filter((c) => codecOf(c.mimeType) === codec);
    const found =
      same.find((c) => variants[codec].test(c.sdpFmtpLine ?? "")) ??
      (codec === "h264" ? same.find((c) => anyH264.test(c.sdpFmtpLine ?? "")) : undefined);
    return found ? [found] : [];
  });
}

/** Makes an m-line offer these codecs alone, with retransmission; false where the browser has none of them. */
export function preferVideo(t: RTCRtpTransceiver, direction: "send" | "receive", codecs: readonly VideoCodec[]): boolean {
  const chosen = supported(direction, codecs);
  if (chosen.length === 0) return false;
  const all = (direction === "send" ? RTCRtpSender : RTCRtpReceiver).getCapabilities("video")?.codecs ?? [];
  t.setCodecPreferences([...chosen, ...all.filter((c) => c.mimeType.toLowerCase() === "video/rtx")]);
  return true;
}

/** Makes an m-line offer Opus alone, and RED, in which copies of it come (RFC 2198): behind Opus, or nothing else would be sent. */
export function preferOpus(t: RTCRtpTransceiver): void {
  const all = RTCRtpReceiver.getCapabilities("audio")?.codecs ?? [];
  const named = (name: string) => all.filter((c) => c.mimeType.toLowerCase() === `audio/${name}`);
  const opus = named("opus");
  if (opus.length > 0) t.setCodecPreferences([...opus, ...named("red")]);
}
