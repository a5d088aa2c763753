// Browsers notice a dead path after five seconds and keep no other ready. A voice that is gone so long is a call that is over, so
// we look ourselves: UDP is suspect when packets came all the time and then none, though the server had some to send. It has while
// we send a picture, for it tells of arrivals all the time; else at the latest when its next report is due, for whoever we heard may
// have muted himself or be cut off, and a whole audience would join again at once.

const lookEvery = 250; // ms
const lookAgain = 100; // ms, while nothing comes
const deadSilence = 500; // ms, while we send a picture
const reports = 1.3; // times the time between two reports of the server, else
const gaps = 4; // or so many times the usual gap between packets
const pictures = 0.01; // packets a ms: a camera's; a screen that stands still has fewer
const doubtAfter = 0.6; // of that: time to find out whether the server can be reached otherwise
const denseGap = 250; // ms: where packets come less often, nobody speaks and the browser's own checks do

// The fields we read of getStats.
interface Stat {
  id: string;
  type: string;
  timestamp: number;
  selectedCandidatePairId?: string;
  selected?: boolean;
  nominated?: boolean;
  state?: string;
  remoteCandidateId?: string;
  bytesReceived?: number;
  packetsSent?: number;
  kind?: string;
  packetsReceived?: number;
  lastPacketReceivedTimestamp?: number;
  protocol?: string;
}

/** What a look at the connection saw. */
export interface Sight {
  /** ms, on any clock */
  now: number;
  /** ms, when the newest packet came, if the browser knows. */
  heard: number | undefined;
  /** Packets since the beginning; guessed where the browser counts bytes alone. */
  received: number;
  /** Packets of our own picture since the beginning. */
  pictures: number;
  udp: boolean;
}

/** Silence decides from what each look saw whether packets are missing. Pure. */
export class Silence {
  #last: Sight | undefined;
  #heard = 0;
  #came: Sight | undefined; // the newest look that saw packets
  #gap = Infinity; // ms between packets, usually
  #counts = 0;
  #limit = Infinity;

  /** Forgets what was usual: somebody has gone silent who says so. */
  calm(): void {
    this.#gap = Infinity;
    this.#counts = 0;
  }

  /**
   * Returns for how long packets have been missing, in ms; 0: they come, or are not due. The server sends a report every
   * reportEvery ms.
   */
  see(s: Sight, reportEvery: number): number {
    const last = this.#last;
    this.#last = s;
    this.#came ??= s;
    if (!last || !s.udp || s.received < last.received || s.now - last.now > 10 * lookEvery) {
      // The first look, another path, or we were asleep and do not know.
      this.#heard = s.now;
      this.#came = s;
      this.#limit = Infinity;
      if (!last || !s.udp) this.#gap = Infinity;
      return 0;
    }
    const count = s.received - last.received;
    if (count > 0) {
      this.#counts++;
      this.#limit = Infinity;
      const since = Math.max(s.now - this.#came.now, 1);
      const gap = last === this.#came ? since / count : since; // they came in one go
      this.#came = s;
      this.#gap = Number.isFinite(this.#gap) ? this.#gap + (gap - this.#gap) / 4 : gap;
      this.#heard = Math.max(this.#heard, Math.min(s.heard ?? s.now, s.now));
      return 0;
    }
    if (this.#counts < 4 || this.#gap > denseGap) return 0;
    const rate = (s.pictures - this.#came.pictures) / Math.max(s.now - this.#came.now, 1);
    const limit = Math.max(rate >= pictures ? deadSilence : reports * reportEvery, gaps * this.#gap);
    this.#limit = Math.min(this.#limit, limit); // within one silence a picture counts even when it ends
    return s.now - this.#heard;
  }

  /** How long silence may last, as of the newest look. */
  get limit(): number {
    return this.#limit;
  }
}

/** Vigil looks at a connection from start to stop and tells when UDP seems to fall silent, and when it has. */
export class Vigil {
  readonly #pc: RTCPeerConnection;
  readonly #tell: (sure: boolean) => void;
  readonly #reportEvery: () => number;
  #silence = new Silence();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #running = false;
  #told = 0; // 1: of doubt, 2: that it is sure

  /** reportEvery: ms between two reports of the server. */
  constructor(pc: RTCPeerConnection, tell: (sure: boolean) => void, reportEvery: () => number) {
    this.#pc = pc;
    this.#tell = tell;
    this.#reportEvery = reportEvery;
  }

  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#silence = new Silence();
    this.#timer = setTimeout(() => void this.#look(), lookEvery);
  }

  stop(): void {
    this.#running = false;
    clearTimeout(this.#timer);
  }

  /** Expects nothing for a while: somebody has gone silent who says so. */
  calm(): void {
    this.#silence.calm();
  }

  /** Whether nothing has come up to now. */
  async silent(): Promise<boolean> {
    return this.#silence.see(await this.#sight(), this.#reportEvery()) >= this.#silence.limit;
  }

  async #look(): Promise<void> {
    const missing = this.#silence.see(await this.#sight(), this.#reportEvery());
    if (!this.#running) return;
    this.#timer = setTimeout(() => void this.#look(), missing > 0 ? lookAgain : lookEvery);
    const { limit } = this.#silence;
    const known = missing >= limit ? 2 : missing >= doubtAfter * limit ? 1 : 0;
    if (missing === 0) this.#told = 0;
    if (known <= this.#told) return;
    this.#told = known;
    this.#tell(known === 2);
  }

  // Through one sender or receiver, for Chromium then makes a dozen objects of it and not a hundred. Firefox leaves the pair out.
  async #sight(): Promise<Sight> {
    const one = this.#pc.getSenders().find((s) => s.track?.kind === "video") ?? this.#pc.getReceivers()[0];
    return sight((await one?.getStats()) ?? new Map()) ?? sight(await this.#pc.getStats()) ?? nothing();
  }
}

function sight(report: { forEach(f: (s: Stat) => void): void }): Sight | undefined {
  const all = new Map<string, Stat>();
  report.forEach((s) => all.set(s.id, s));
  const transport = [...all.values()].find((s) => s.type === "transport");
  const pair =
    all.get(transport?.selectedCandidatePairId ?? "") ??
    [...all.values()].find((s) => s.type === "candidate-pair" && (s.selected || (s.nominated && s.state === "succeeded")));
  if (!pair) return undefined;
  return {
    now: pair.timestamp,
    heard: pair.lastPacketReceivedTimestamp,
    received: pair.packetsReceived ?? Math.ceil((pair.bytesReceived ?? 0) / 100),
    pictures: [...all.values()]
      .filter((s) => s.type === "outbound-rtp" && s.kind === "video")
      .reduce((n, s) => n + (s.packetsSent ?? 0), 0),
    udp: all.get(pair.remoteCandidateId ?? "")?.protocol === "udp",
  };
}

function nothing(): Sight {
  return { now: performance.now(), heard: undefined, received: 0, pictures: 0, udp: false };
}
