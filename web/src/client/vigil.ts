// Browsers notice a dead path after five seconds and keep no other ready. A voice that is gone so long is a call that is over, so
// we look ourselves: UDP is suspect when packets came all the time and then none for half a second.

const lookEvery = 250; // ms
const lookAgain = 100; // ms, while nothing comes
const deadSilence = 500; // ms, or gaps times the usual gap between packets
const gaps = 4;
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
  /** Packets, or bytes where the browser does not count them, since the beginning. */
  received: number;
  udp: boolean;
}

/** Silence decides from what each look saw whether packets are missing. Pure. */
export class Silence {
  #last: Sight | undefined;
  #heard = 0;
  #gap = Infinity; // ms between packets, usually
  #counts = 0;

  /** Returns for how long packets have been missing, in ms; 0: they come, or are not due. */
  see(s: Sight): number {
    const last = this.#last;
    this.#last = s;
    if (!last || !s.udp || s.received < last.received || s.now - last.now > 10 * lookEvery) {
      // The first look, another path, or we were asleep and do not know.
      this.#heard = s.now;
      if (!last || !s.udp) this.#gap = Infinity;
      return 0;
    }
    const count = s.received - last.received;
    if (count > 0) {
      this.#counts++;
      const gap = Math.max(s.now - last.now, 1) / count;
      this.#gap = Number.isFinite(this.#gap) ? this.#gap + (gap - this.#gap) / 4 : gap;
      this.#heard = Math.max(this.#heard, Math.min(s.heard ?? s.now, s.now));
      return 0;
    }
    if (this.#counts < 4 || this.#gap > denseGap) return 0;
    return s.now - this.#heard;
  }

  /** How long silence may last. */
  get limit(): number {
    return Math.max(deadSilence, gaps * this.#gap);
  }
}

/** Vigil looks at a connection from start to stop and tells when UDP seems to fall silent, and when it has. */
export class Vigil {
  readonly #pc: RTCPeerConnection;
  readonly #tell: (sure: boolean) => void;
  #silence = new Silence();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #running = false;
  #told = 0; // 1: of doubt, 2: that it is sure

  constructor(pc: RTCPeerConnection, tell: (sure: boolean) => void) {
    this.#pc = pc;
    this.#tell = tell;
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

  /** Whether nothing has come up to now. */
  async silent(): Promise<boolean> {
    return this.#silence.see(await this.#sight()) >= this.#silence.limit;
  }

  async #look(): Promise<void> {
    const missing = this.#silence.see(await this.#sight());
    if (!this.#running) return;
    this.#timer = setTimeout(() => void this.#look(), missing > 0 ? lookAgain : lookEvery);
    const { limit } = this.#silence;
    const known = missing >= limit ? 2 : missing >= doubtAfter * limit ? 1 : 0;
    if (missing === 0) this.#told = 0;
    if (known <= this.#told) return;
    this.#told = known;
    this.#tell(known === 2);
  }

  // Through one receiver, for Chromium then makes a dozen objects of it and not a hundred. Firefox leaves the pair out.
  async #sight(): Promise<Sight> {
    const receiver = this.#pc.getReceivers()[0];
    return sight((await receiver?.getStats()) ?? new Map()) ?? sight(await this.#pc.getStats()) ?? nothing();
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
    received: pair.packetsReceived ?? pair.bytesReceived ?? 0,
    udp: all.get(pair.remoteCandidateId ?? "")?.protocol === "udp",
  };
}

function nothing(): Sight {
  return { now: performance.now(), heard: undefined, received: 0, udp: false };
}
