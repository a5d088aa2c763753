import { TolkynError } from "./errors";

/** What a track shows. */
export type Source = "microphone" | "camera" | "screen";

/** How many receive slots a client offers. */
export interface SlotCounts {
  audio: number; // 1 to 16
  video: number; // 1 to 49
}

export interface MediaEvents {
  /** The ICE connection's state changed. */
  onState: (state: RTCIceConnectionState) => void;
}

// Without layers yet, every subscriber gets what the camera sends, so it stays within a phone's downlink.
const cameraEncoding = { maxBitrate: 1_500_000, maxFramerate: 30 };
const screenEncoding = { maxBitrate: 2_500_000, maxFramerate: 15 };

const gatherDeadline = 1_000; // ms; own addresses are known in a few, without a STUN server to ask

// Header extensions the server reads on receive slots; the rest of the browser's list only makes offers longer.
const slotExtensions = [
  "urn:ietf:params:rtp-hdrext:sdes:mid",
  "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
  "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
  "http://www.webrtc.org/experiments/rtp-hdrext/color-space", // without it Chromium shows canvases in wrong colours
];

/** Not in every browser yet: https://w3c.github.io/webrtc-extensions/#rtp-header-extension-control */
interface HeaderExtensionControl {
  getHeaderExtensionsToNegotiate?(): { uri: string; direction: RTCRtpTransceiverDirection }[];
  setHeaderExtensionsToNegotiate?(e: { uri: string; direction: RTCRtpTransceiverDirection }[]): void;
}

/**
 * Media is one RTCPeerConnection in the shape the server expects: first the m-lines we send on (microphone, camera),
 * then a fixed pool of receive slots, later one more m-line for the screen. m-lines are never taken away and never made
 * inactive: what flows in them changes by replaceTrack on our side and by the slot map on the server's.
 */
export class Media {
  readonly pc: RTCPeerConnection;
  readonly senders: Record<Source, RTCRtpTransceiver | undefined>;
  readonly audioSlots: readonly RTCRtpTransceiver[];
  readonly videoSlots: readonly RTCRtpTransceiver[];

  readonly #nearby: boolean;

  /** nearby: the server is on this machine's loopback. */
  constructor(slots: SlotCounts, events: MediaEvents, nearby = false) {
    if (typeof RTCPeerConnection === "undefined" || typeof CompressionStream === "undefined") {
      throw new TolkynError("unsupported-browser", "this browser lacks WebRTC or CompressionStream");
    }
    const pc = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
    this.pc = pc;
    this.#nearby = nearby;
    const microphone = pc.addTransceiver("audio", { direction: "sendonly" });
    prefer(microphone, "audio/opus");
    const camera = pc.addTransceiver("video", { direction: "sendonly", sendEncodings: [cameraEncoding] });
    prefer(camera, "video/vp8", "video/rtx");
    this.senders = { microphone, camera, screen: undefined };
    this.audioSlots = Array.from({ length: slots.audio }, () => receive(pc, "audio", "audio/opus"));
    this.videoSlots = Array.from({ length: slots.video }, () => receive(pc, "video", "video/vp8", "video/rtx"));
    pc.oniceconnectionstatechange = () => events.onState(pc.iceConnectionState);
  }

  /** Makes the screen's m-line on first use; the next offer opens it. */
  openScreen(): void {
    if (this.senders.screen) return;
    const screen = this.pc.addTransceiver("video", { direction: "sendonly", sendEncodings: [screenEncoding] });
    prefer(screen, "video/vp8", "video/rtx");
    this.senders.screen = screen;
  }

  /**
   * An offer, set as the local description. It leaves without candidates: the server advertises its own in the answer
   * and learns ours from the checks. Only for a server on loopback it waits for them: Firefox pairs no address with a
   * loopback one and so sends no check there, but answers those that come.
   */
  async offer(): Promise<string> {
    await this.pc.setLocalDescription(await this.pc.createOffer());
    if (this.#nearby) await this.#gathered();
    return this.pc.localDescription?.sdp ?? "";
  }

  async #gathered(): Promise<void> {
    if (this.pc.iceGatheringState === "complete") return;
    await new Promise<void>((done) => {
      setTimeout(done, gatherDeadline);
      this.pc.addEventListener("icegatheringstatechange", () => {
        if (this.pc.iceGatheringState === "complete") done();
      });
    });
  }

  /** Takes the server's answer. */
  async answer(sdp: string): Promise<void> {
    try {
      await this.pc.setRemoteDescription({ type: "answer", sdp });
    } catch (e) {
      throw new TolkynError("bad-sdp", `the browser refused the server's answer: ${String(e)}`, { cause: e });
    }
  }

  /** Takes an offer back that was not answered. */
  async rollback(): Promise<void> {
    if (this.pc.signalingState === "have-local-offer") await this.pc.setLocalDescription({ type: "rollback" });
  }

  /** Where the server says it can be reached: "192.0.2.1:7882/udp". */
  get advertised(): string[] {
    const found = new Set<string>();
    for (const m of (this.pc.remoteDescription?.sdp ?? "").matchAll(
      /^a=candidate:\S+ \d+ (\S+) \d+ (\S+) (\d+) typ/gm,
    )) {
      const [, protocol = "", host = "", port = ""] = m;
      found.add(`${host.includes(":") ? `[${host}]` : host}:${port}/${protocol.toLowerCase()}`);
    }
    return [...found];
  }

  close(): void {
    this.pc.oniceconnectionstatechange = null;
    this.pc.close();
  }
}

function receive(pc: RTCPeerConnection, kind: "audio" | "video", ...codecs: string[]): RTCRtpTransceiver {
  const t = pc.addTransceiver(kind, { direction: "recvonly" });
  prefer(t, ...codecs);
  const control = t as HeaderExtensionControl;
  const extensions = control.getHeaderExtensionsToNegotiate?.();
  if (extensions) {
    for (const e of extensions) if (!slotExtensions.includes(e.uri)) e.direction = "stopped";
    control.setHeaderExtensionsToNegotiate?.(extensions);
  }
  return t;
}

/** Offers these codecs alone: a stock offer of 12 slots is 68 kB, this one 19 kB before compression. */
function prefer(t: RTCRtpTransceiver, ...mimeTypes: string[]): void {
  const kind = t.receiver.track.kind;
  const codecs = (RTCRtpReceiver.getCapabilities(kind)?.codecs ?? []).filter((c) =>
    mimeTypes.includes(c.mimeType.toLowerCase()),
  );
  if (codecs.length > 0) t.setCodecPreferences(codecs);
}
