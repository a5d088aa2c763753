import type { Transport } from "./connection";
import type { Source } from "./media";
import type { Room } from "./room";

/** What flows in one receive slot, over the time since the last reading. */
export interface SlotStats {
  mid: string;
  codec: string; // "VP8", "Opus"; "" before anything came
  bitrate: number; // bit/s of payload
  loss: number; // 0 to 1
  jitter: number; // ms, of the network (RFC 3550)
  bufferDelay: number; // ms a sample or frame waits before it is played
  packets: number; // since the start
  // Video.
  width: number;
  height: number;
  fps: number;
  framesDecoded: number; // since the start
  freezes: number; // since the start
  // Audio.
  concealed: number; // 0 to 1, of the samples played
  concealedSamples: number; // since the start
}

/** One encoding of what we send. */
export interface EncodingStats {
  rid: string; // "" without simulcast
  bitrate: number; // bit/s
  width: number; // of the last picture; 0 before the first, and while nobody watches it
  height: number;
  fps: number;
  frames: number; // since the start; each spatial layer counts
}

/** What we send from one source, in one codec. */
export interface SendStats {
  source: Source;
  codec: string;
  bitrate: number; // of all encodings
  loss: number; // 0 to 1, as the server reports; of the worst encoding
  rtt: number; // ms, as the server reports; 0 when unknown
  width: number; // of the largest picture
  height: number;
  fps: number;
  encodings: EncodingStats[];
  /** What keeps the quality down: "none", "bandwidth", "cpu", "other". */
  limitedBy: string;
}

export interface CallStats {
  /** Round trip of the media path, ms; of signaling while there is none. */
  rtt: number;
  /** Worst receiving slot's loss, 0 to 1. */
  loss: number;
  bitrateIn: number;
  bitrateOut: number;
  /** What a minute of the call costs, bytes, those of IP and UDP counted: over the last minute, or since the first reading. */
  perMinuteIn: number;
  perMinuteOut: number;
  /** "udp 192.0.2.1:7882", "" while there is no path. */
  path: string;
  /** What carries signaling. */
  signaling: Transport;
  /** The negotiated SRTP cipher, e.g. "AEAD_AES_128_GCM". */
  cipher: string;
  slots: Map<string, SlotStats>;
  sending: SendStats[];
  /** 3 good, 2 fair, 1 poor, 0 no media. */
  quality: 0 | 1 | 2 | 3;
}

const checkSize = 100; // bytes of a connectivity check (RFC 8445), as Chromium and the server write them

// The fields we read; not all of them are in every browser or in TypeScript's own types.
interface Stat {
  id: string;
  type: string;
  timestamp: number;
  kind?: string;
  mid?: string;
  codecId?: string;
  mimeType?: string;
  bytesReceived?: number;
  bytesSent?: number;
  packetsReceived?: number;
  packetsSent?: number;
  packetsLost?: number;
  jitter?: number;
  jitterBufferDelay?: number;
  jitterBufferEmittedCount?: number;
  frameWidth?: number;
  frameHeight?: number;
  framesPerSecond?: number;
  framesDecoded?: number;
  framesSent?: number;
  rid?: string;
  active?: boolean;
  freezeCount?: number;
  concealedSamples?: number;
  silentConcealedSamples?: number;
  totalSamplesReceived?: number;
  fractionLost?: number;
  roundTripTime?: number;
  currentRoundTripTime?: number;
  requestsSent?: number;
  responsesReceived?: number;
  qualityLimitationReason?: string;
  localId?: string;
  remoteCandidateId?: string;
  selectedCandidatePairId?: string;
  selected?: boolean;
  nominated?: boolean;
  state?: string;
  srtpCipher?: string;
  address?: string;
  port?: number;
  protocol?: string;
}

/** Meter turns getStats' counters into figures for the time between two readings. One meter, one reader. */
export class Meter {
  readonly #room: Room;
  #last = new Map<string, Stat>();
  #of: RTCPeerConnection | undefined; // whose counters these are
  #sums: { at: number; in: number; out: number }[] = []; // of a minute

  constructor(room: Room) {
    this.#room = room;
  }

  async read(): Promise<CallStats> {
    const pc = this.#room.connection;
    if (pc !== this.#of) this.#sums = []; // another one begins at 0
    this.#of = pc;
    const all = new Map<string, Stat>();
    (await pc.getStats()).forEach((s: Stat) => all.set(s.id, s));
    const of = (id: string | undefined): Stat | undefined => (id === undefined ? undefined : all.get(id));
    const sources = this.#sources();

    const result: CallStats = {
      rtt: this.#room.session.rtt,
      loss: 0,
      bitrateIn: 0,
      bitrateOut: 0,
      perMinuteIn: 0,
      perMinuteOut: 0,
      path: "",
      signaling: this.#room.session.transport,
      cipher: "",
      slots: new Map(),
      sending: [],
      quality: 0,
    };
    const mids = new Map<string, SendStats>();
    let received = false;
    for (const s of all.values()) {
      if (s.type === "inbound-rtp" && s.mid !== undefined) {
        const slot = this.#slot(s, of(s.codecId));
        result.slots.set(slot.mid, slot);
        result.bitrateIn += slot.bitrate;
        result.loss = Math.max(result.loss, slot.loss);
        received ||= slot.bitrate > 0;
      } else if (s.type === "outbound-rtp" && s.mid !== undefined) {
        const source = sources.get(s.mid);
        if (!source) continue;
        const remote = [...all.values()].find((r) => r.type === "remote-inbound-rtp" && r.localId === s.id);
        const encoding = this.#encoding(s);
        let sending = mids.get(s.mid);
        if (!sending) {
          mids.set(s.mid, (sending = silence(source, codecName(of(s.codecId)))));
          result.sending.push(sending);
        }
        add(sending, encoding, s, remote);
        result.bitrateOut += encoding.bitrate;
      } else if (s.type === "transport") {
        result.cipher = s.srtpCipher ?? "";
      }
    }
    const transport = [...all.values()].find((s) => s.type === "transport");
    const pair =
      of(transport?.selectedCandidatePairId) ??
      [...all.values()].find(
        (s) => s.type === "candidate-pair" && (s.selected || (s.nominated && s.state === "succeeded")),
      );
    const remote = of(pair?.remoteCandidateId);
    if (pair?.currentRoundTripTime !== undefined) result.rtt = Math.round(pair.currentRoundTripTime * 1000);
    if (remote) result.path = `${remote.protocol ?? ""} ${remote.address ?? ""}:${remote.port ?? ""}`.trim();
    if (transport) this.#sum(result, transport, pair, remote);
    result.quality = grade(result, received, pc.iceConnectionState);
    this.#last = all;
    return result;
  }

  // Browsers count what is inside of UDP, without checks of the path.
  #sum(result: CallStats, transport: Stat, pair: Stat | undefined, remote: Stat | undefined): void {
    const header = (remote?.address?.includes(":") ? 40 : 20) + (remote?.protocol === "tcp" ? 22 : 8);
    const count = (bytes = 0, packets = 0, checks = 0) => bytes + packets * header + checks * (checkSize + header);
    const now = {
      at: transport.timestamp,
      in: count(transport.bytesReceived, transport.packetsReceived, pair?.responsesReceived),
      out: count(transport.bytesSent, transport.packetsSent, pair?.requestsSent),
    };
    this.#sums = this.#sums.filter((s) => s.at > now.at - 60_000);
    const first = this.#sums[0];
    this.#sums.push(now);
    if (!first || now.at <= first.at) return;
    const minutes = (now.at - first.at) / 60_000;
    result.perMinuteIn = Math.max(0, Math.round((now.in - first.in) / minutes));
    result.perMinuteOut = Math.max(0, Math.round((now.out - first.out) / minutes));
  }

  #slot(s: Stat, codec: Stat | undefined): SlotStats {
    const was = this.#last.get(s.id);
    const got = grown(s.packetsReceived, was?.packetsReceived);
    const lost = grown(s.packetsLost, was?.packetsLost);
    const emitted = grown(s.jitterBufferEmittedCount, was?.jitterBufferEmittedCount);
    // Samples concealed as silence are pauses of the sender, not holes in its speech.
    const holes =
      grown(s.concealedSamples, was?.concealedSamples) - grown(s.silentConcealedSamples, was?.silentConcealedSamples);
    return {
      mid: s.mid ?? "",
      codec: codecName(codec),
      bitrate: rate(s, was, "bytesReceived"),
      loss: got + lost > 0 ? lost / (got + lost) : 0,
      jitter: Math.round((s.jitter ?? 0) * 1000),
      bufferDelay:
        emitted > 0 ? Math.round((grown(s.jitterBufferDelay, was?.jitterBufferDelay) / emitted) * 1000) : 0,
      packets: s.packetsReceived ?? 0,
      width: s.frameWidth ?? 0,
      height: s.frameHeight ?? 0,
      fps: Math.round(s.framesPerSecond ?? 0),
      framesDecoded: s.framesDecoded ?? 0,
      freezes: s.freezeCount ?? 0,
      concealed: Math.max(0, holes) / Math.max(1, grown(s.totalSamplesReceived, was?.totalSamplesReceived)),
      concealedSamples: s.concealedSamples ?? 0,
    };
  }

  #encoding(s: Stat): EncodingStats {
    const active = s.active !== false;
    return {
      rid: s.rid ?? "",
      bitrate: rate(s, this.#last.get(s.id), "bytesSent"),
      width: active ? (s.frameWidth ?? 0) : 0,
      height: active ? (s.frameHeight ?? 0) : 0,
      fps: active ? Math.round(s.framesPerSecond ?? 0) : 0,
      frames: s.framesSent ?? 0,
    };
  }

  #sources(): Map<string, Source> {
    const map = new Map<string, Source>();
    for (const t of this.#room.connection.getTransceivers()) {
      const source = this.#room.sourceOf(t);
      if (t.mid !== null && source && t.sender.track) map.set(t.mid, source);
    }
    return map;
  }
}

function silence(source: Source, codec: string): SendStats {
  return { source, codec, bitrate: 0, loss: 0, rtt: 0, width: 0, height: 0, fps: 0, limitedBy: "none", encodings: [] };
}

function add(sum: SendStats, e: EncodingStats, s: Stat, remote: Stat | undefined): void {
  sum.encodings.push(e);
  sum.bitrate += e.bitrate;
  sum.loss = Math.max(sum.loss, remote?.fractionLost ?? 0);
  sum.rtt = Math.max(sum.rtt, Math.round((remote?.roundTripTime ?? 0) * 1000));
  if (e.width * e.height >= sum.width * sum.height) {
    sum.width = e.width;
    sum.height = e.height;
    sum.fps = e.fps;
  }
  if (s.qualityLimitationReason && s.qualityLimitationReason !== "none") sum.limitedBy = s.qualityLimitationReason;
}

// By ear and eye: below 2 % loss and 150 ms nobody complains, from 10 % or 400 ms on everybody does (ITU-T G.114).
function grade(s: CallStats, received: boolean, ice: RTCIceConnectionState): CallStats["quality"] {
  if (ice !== "connected" && ice !== "completed") return 0;
  const loss = Math.max(received ? s.loss : 0, ...s.sending.map((x) => x.loss));
  if (loss >= 0.1 || s.rtt >= 400) return 1;
  if (loss >= 0.02 || s.rtt >= 150) return 2;
  return 3;
}

function grown(now: number | undefined, was: number | undefined): number {
  return Math.max(0, (now ?? 0) - (was ?? 0));
}

function rate(s: Stat, was: Stat | undefined, field: "bytesReceived" | "bytesSent"): number {
  const seconds = was ? (s.timestamp - was.timestamp) / 1000 : 0;
  return seconds > 0 ? Math.round((grown(s[field], was?.[field]) * 8) / seconds) : 0;
}

function codecName(codec: Stat | undefined): string {
  const name = codec?.mimeType?.split("/")[1] ?? "";
  return name === "opus" ? "Opus" : name;
}
