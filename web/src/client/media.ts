import { preferOpus, preferVideo, videoCodecs, type VideoCodec } from "./codecs";
import type { DeviceClass } from "./device";
import type { Picture } from "./encodings";
import { TolkynError } from "./errors";
import { dependencyDescriptor, Outgoing, takeExtensions } from "./outgoing";
import { Vigil } from "./vigil";

/** What a track shows, or lets hear. */
export type Source = "microphone" | "camera" | "screen" | "screen-audio";

/** How many receive slots a client offers. */
export interface SlotCounts {
  audio: number; // 1 to 16
  video: number; // 1 to 49
}

/** How a media connection is made. */
export interface MediaOptions {
  slots: SlotCounts;
  device: DeviceClass;
  /** Codecs to send, most wanted first; the server takes one. */
  codecs: readonly VideoCodec[];
  /** The server is on this machine's loopback. */
  nearby: boolean;
  /** The server's relays. */
  relays: RTCIceServer[];
  /** Through these alone. */
  relayOnly: boolean;
  /** The ICE connection's state changed. */
  onState: (state: RTCIceConnectionState) => void;
  /** Nothing comes over UDP any more where packets were due; not sure: for a moment. */
  onSilence: (sure: boolean) => void;
  /** Whether sound costs little now, reports too. */
  saver: () => boolean;
}

// ms between two reports of the server, sfu/internal/shard's reportInterval and saverReports
const reportEvery = 1_000;
const saverReportEvery = 5_000;
const gatherDeadline = 1_000; // ms; own addresses are known in a few, without a STUN server to ask
const screenAudioRate = 96_000; // bit/s: a screen's sound may be music

// Header extensions the server reads on receive slots; the rest of the browser's list only makes offers longer.
const slotExtensions = [
  "urn:ietf:params:rtp-hdrext:sdes:mid",
  "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
  "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
  "http://www.webrtc.org/experiments/rtp-hdrext/color-space", // without it Chromium shows canvases in wrong colours
];

/**
 * Media is one RTCPeerConnection in the shape the server expects: first the m-lines we send on (microphone, camera),
 * then a fixed pool of receive slots, later one more m-line for the screen, one for its sound, and one for each codec in which
 * the server asks for a picture a second time. m-lines are never taken away and never made inactive, but for slots of video where
 * each byte counts: what flows in them changes by replaceTrack on our side and by the slot map on the server's.
 */
export class Media {
  readonly pc: RTCPeerConnection;
  readonly audioSlots: readonly RTCRtpTransceiver[];
  videoSlots: readonly RTCRtpTransceiver[];
  readonly #options: MediaOptions;
  readonly #vigil: Vigil;
  readonly #sounds = new Map<Source, RTCRtpTransceiver>();
  readonly #pictures = new Map<string, Outgoing>(); // by source, and a second codec behind it

  constructor(options: MediaOptions) {
    if (typeof RTCPeerConnection === "undefined" || typeof CompressionStream === "undefined") {
      throw new TolkynError("unsupported-browser", "this browser lacks WebRTC or CompressionStream");
    }
    this.#options = options;
    const pc = new RTCPeerConnection(this.#configuration(options.relays));
    this.pc = pc;
    this.open("microphone");
    this.open("camera");
    this.audioSlots = Array.from({ length: options.slots.audio }, () => receive(pc, "audio"));
    this.videoSlots = Array.from({ length: options.slots.video }, () => receive(pc, "video"));
    this.#vigil = new Vigil(pc, options.onSilence, () => (options.saver() ? saverReportEvery : reportEvery));
    pc.oniceconnectionstatechange = () => {
      if (pc.iceConnectionState === "connected") this.#vigil.start();
      options.onState(pc.iceConnectionState);
    };
  }

  // A server on this machine is reached without a relay.
  #configuration(relays: RTCIceServer[]): RTCConfiguration {
    const { nearby, relayOnly } = this.#options;
    return {
      bundlePolicy: "max-bundle",
      iceServers: nearby && !relayOnly ? [] : relays,
      iceTransportPolicy: relayOnly ? "relay" : "all",
    };
  }

  /** Takes newer relays, for the next ICE restart; true: that is due, since what is in use goes through one of the old. */
  async renew(relays: RTCIceServer[]): Promise<boolean> {
    if (this.pc.signalingState === "closed") return false;
    this.pc.setConfiguration(this.#configuration(relays));
    const stats = await this.pc.getStats();
    for (const s of stats.values()) {
      if (s.type !== "candidate-pair" || !s.nominated || s.state !== "succeeded") continue;
      if (stats.get(s.localCandidateId)?.candidateType === "relay") return true;
    }
    return false;
  }

  /**
   * Makes the m-line of a source on first use; the next offer opens it. backup: a second one, for the same picture in this
   * codec.
   */
  open(source: Source, backup?: VideoCodec): void {
    if (this.transceiver(source, backup)) return;
    if (source === "microphone" || source === "screen-audio") {
      const encoding = source === "screen-audio" ? { maxBitrate: screenAudioRate } : {};
      const t = this.pc.addTransceiver("audio", { direction: "sendonly", sendEncodings: [encoding] });
      preferOpus(t);
      this.#sounds.set(source, t);
      return;
    }
    const picture: Picture = source;
    const codecs = backup ? [backup] : this.#options.codecs;
    this.#pictures.set(key(source, backup), new Outgoing(this.pc, picture, this.#options.device, codecs));
  }

  /** Has so many slots for video from the next offer on: a slot in which nothing flows costs a report a second. */
  showVideos(n: number): void {
    for (const t of this.videoSlots.slice(n)) t.stop();
    const kept = this.videoSlots.slice(0, n);
    this.videoSlots = [...kept, ...Array.from({ length: n - kept.length }, () => receive(this.pc, "video"))];
  }

  /** The m-line of a source, undefined before it was opened. */
  transceiver(source: Source, backup?: VideoCodec): RTCRtpTransceiver | undefined {
    return this.outgoing(source, backup)?.transceiver ?? (backup ? undefined : this.#sounds.get(source));
  }

  /** The same of a picture. */
  outgoing(source: Source, backup?: VideoCodec): Outgoing | undefined {
    return this.#pictures.get(key(source, backup));
  }

  /** Sends this track on the m-line of a source, if it is open. */
  async send(source: Source, track: MediaStreamTrack | null, backup?: VideoCodec): Promise<void> {
    const picture = this.outgoing(source, backup);
    if (picture) await picture.replaceTrack(track);
    else await this.transceiver(source, backup)?.sender.replaceTrack(track);
  }

  /** Which source an m-line sends; undefined for a slot. */
  sourceOf(t: RTCRtpTransceiver): Source | undefined {
    for (const [source, sound] of this.#sounds) if (sound === t) return source;
    for (const [k, picture] of this.#pictures) if (picture.transceiver === t) return k.split(" ")[0] as Source;
    return undefined;
  }

  /**
   * An offer, set as the local description. It leaves without candidates: the server advertises its own in the answer
   * and learns ours from the checks. Only for a server on loopback it waits for them: Firefox pairs no address with a
   * loopback one and so sends no check there, but answers those that come.
   */
  async offer(): Promise<string> {
    await this.pc.setLocalDescription(await this.pc.createOffer());
    if (this.#options.nearby) await this.#gathered();
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

  /** Takes the server's answer; overTCP: without its UDP addresses, which lead nowhere. */
  async answer(sdp: string, overTCP = false): Promise<void> {
    const taken = overTCP ? sdp.replace(/^a=candidate:\S+ \d+ udp .*\r\n/gim, "") : sdp;
    try {
      await this.pc.setRemoteDescription({ type: "answer", sdp: taken });
    } catch (e) {
      throw new TolkynError("bad-sdp", `the browser refused the server's answer: ${String(e)}`, { cause: e });
    }
    // It may take another codec than we asked for, or fewer encodings.
    await Promise.all([...this.#pictures.values()].map((p) => p.fit()));
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

  /** Somebody whom we may have heard has gone silent and says so. */
  calm(): void {
    this.#vigil.calm();
  }

  /** Whether nothing has come over UDP up to now where packets were due. */
  silent(): Promise<boolean> {
    return this.#vigil.silent();
  }

  /** Tells nothing any more; what flows still flows. */
  retire(): void {
    this.pc.oniceconnectionstatechange = null;
    this.#vigil.stop();
  }

  close(): void {
    this.retire();
    this.pc.close();
  }
}

function key(source: Source, backup: VideoCodec | undefined): string {
  return backup ? `${source} ${backup}` : source;
}

function receive(pc: RTCPeerConnection, kind: "audio" | "video"): RTCRtpTransceiver {
  const t = pc.addTransceiver(kind, { direction: "recvonly" });
  if (kind === "video") preferVideo(t, "receive", videoCodecs);
  else preferOpus(t);
  takeExtensions(
    t,
    (uri) => kind === "video" && uri === dependencyDescriptor,
    (uri) => slotExtensions.includes(uri),
  );
  return t;
}
