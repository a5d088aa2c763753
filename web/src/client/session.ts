import { create } from "@bufbuild/protobuf";
import {
  Bye_Action,
  ClientFrameSchema,
  HelloSchema,
  LeaveSchema,
  PingSchema,
  ResumeSchema,
  type Bye,
  type ClientFrame,
  type IceServer,
  type ServerFrame,
  type Snapshot,
  type Welcome,
} from "../wire/tolkyn_pb";
import { Backoff } from "./backoff";
import type { Connection, Transport } from "./connection";
import { Emitter } from "./emitter";
import { endReason, fromWire, TolkynError, type EndReason } from "./errors";
import { race } from "./race";
import { Ways } from "./ways";

/** What a client asks, and what it is answered or told. */
export type ClientMessage = Exclude<ClientFrame["message"], { case: undefined }>;
export type ServerMessage = ServerFrame["message"];

/** A token, or where to get a fresh one: tokens live at most 10 minutes, a session may have to begin anew later. */
export type TokenSource = string | (() => Promise<string>);

export type SessionState = "connecting" | "open" | "reconnecting" | "closed";

export interface SessionEvents {
  state: SessionState;
  /** Something happened in the room; each event comes exactly once and in order, across reconnects. */
  event: ServerMessage;
  /** The missed events are gone; this is the state now. */
  snapshot: Snapshot;
  /** The old session is gone for good and a new one was opened: whoever had joined must join again. */
  renewed: void;
  /** What carries the session from now on. */
  transport: Transport;
  /** Signaling round trip, milliseconds. */
  rtt: number;
  /** There are newer relays (TURN), or newer credentials for them: see iceServers. */
  relays: void;
  /** Over. Nothing comes after this. */
  closed: { reason: EndReason; error?: TolkynError };
}

export interface SessionOptions {
  /** Gives up reconnecting after this many ms; default 120,000. */
  giveUpAfter?: number;
}

const dialTimeout = 6_000; // ms for all handshakes and the first answer on a bad network
const requestTimeout = 20_000; // ms; a join behind the handshake gate waits at most a few seconds
const pingEvery = 5_000; // ms
// ms: slower than this is taken for a dead connection. A full 24 kbit/s link may take five; but where UDP may have been
// cut off, WebSocket is worth a try sooner.
const pongWithin: Record<Transport, number> = { websocket: 8_000, webtransport: 4_000 };
const urgentWithin = 250; // ms
const probeWithin = 2_500; // ms: the same where something already says that the network has changed
const openTries = 3;

interface Pending {
  readonly frame: ClientFrame;
  readonly resolve: (m: ServerMessage) => void;
  readonly reject: (e: TolkynError) => void;
}

/**
 * Session is one client's signaling session: it outlives the connection that carries it, WebTransport or WebSocket (see
 * race). When a connection breaks it dials again with full jitter and resumes; unanswered requests are sent again: every
 * one of them may safely be carried out twice.
 */
export class Session extends Emitter<SessionEvents> {
  /** The server's WebSocket. */
  readonly url: string;
  readonly #ways: Ways;
  readonly #token: TokenSource;
  readonly #giveUpAfter: number;
  readonly #backoff = new Backoff();
  readonly #pending = new Map<bigint, Pending>();

  #state: SessionState = "connecting";
  #welcome: Welcome | undefined;
  #relays: readonly IceServer[] = [];
  #connection: Connection | undefined;
  #transport: Transport | undefined;
  #dialling = new AbortController(); // ends what is under way to get a connection
  #nextId = 1n;
  #lastSeq = 0n;
  #rtt = 0;
  #heard = 0;
  #pinger: ReturnType<typeof setInterval> | undefined;
  #pongTimer: ReturnType<typeof setTimeout> | undefined;
  #wakeUp: (() => void) | undefined; // ends the current backoff wait
  #lastError: TolkynError | undefined; // an Error frame that announced the end

  private constructor(url: string, token: TokenSource, options: SessionOptions) {
    super();
    this.#ways = new Ways(url);
    this.url = this.#ways.url;
    this.#token = token;
    this.#giveUpAfter = options.giveUpAfter ?? 120_000;
  }

  /** Opens a session. Throws "unauthorized", "busy", "connection-failed" and what else the server may answer. */
  static async open(url: string, token: TokenSource, options: SessionOptions = {}): Promise<Session> {
    const s = new Session(url, token, options);
    s.#ways.ask(); // while the token comes
    for (let tries = 1; ; tries++) {
      try {
        await s.#hello(s.#dialling.signal);
        s.#opened();
        addEventListener("online", s.#onNetwork);
        networkInfo()?.addEventListener("change", s.#onNetwork);
        return s;
      } catch (e) {
        const error = asTolkynError(e);
        if (tries >= openTries || !error.temporary) {
          s.#close("lost", error);
          throw error;
        }
        await sleep(Math.max(error.retryAfter, s.#backoff.next()));
      }
    }
  }

  get state(): SessionState {
    return this.#state;
  }
  /** What the server said at the start: identity, room, grants, limits. */
  get welcome(): Welcome {
    if (!this.#welcome) throw new TolkynError("protocol", "the session is not open yet");
    return this.#welcome;
  }
  /** What carries the session: of the last connection, while there is none. */
  get transport(): Transport {
    if (!this.#transport) throw new TolkynError("protocol", "the session is not open yet");
    return this.#transport;
  }
  /** Signaling round trip in ms; 0 before the first Pong. */
  get rtt(): number {
    return this.#rtt;
  }

  /** The server's relays for RTCPeerConnection, with the newest credentials. */
  get iceServers(): RTCIceServer[] {
    return this.#relays.map(({ urls, username, credential }) => ({
      urls: urls.filter((u) => /^turns?:/.test(u)), // a browser refuses all of them for one that it does not know
      username,
      credential,
    })).filter((s) => s.urls.length > 0);
  }

  /** When the server was last heard, on performance.now's clock. */
  get heard(): number {
    return this.#heard;
  }

  /** Sends a request and waits for its answer, across reconnects. Throws the server's Error as a TolkynError. */
  request(message: ClientMessage): Promise<ServerMessage> {
    if (this.#state === "closed") return Promise.reject(new TolkynError("ended", "the session is over"));
    const frame = create(ClientFrameSchema, { id: this.#nextId++, message });
    return new Promise<ServerMessage>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(frame.id);
        reject(new TolkynError("timeout", `${message.case}: no answer in ${requestTimeout / 1000} s`));
      }, requestTimeout);
      this.#pending.set(frame.id, {
        frame,
        resolve: (m) => (clearTimeout(timer), resolve(m)),
        reject: (e) => (clearTimeout(timer), reject(e)),
      });
      if (this.#state === "open") this.#send(frame);
    });
  }

  /** Says goodbye and closes. Never throws; waits at most half a second for the server. */
  async leave(): Promise<void> {
    if (this.#state === "closed") return;
    const left = this.request({ case: "leave", value: create(LeaveSchema) }).catch(() => {}); // without a connection: after the resume
    await Promise.race([left, sleep(500)]);
    this.#close("left");
  }

  /** Throws the old session away and opens a new one: "renewed" follows, or "closed". */
  async renew(): Promise<void> {
    if (this.#state === "closed") return;
    this.#drop();
    this.#setState("reconnecting");
    this.#forget();
    await this.#reconnect(this.#backoff.next());
  }

  // The first connection that is answered, and what. Throws what the server refuses with; a Bye is an answer.
  async #dial(first: ClientFrame, signal: AbortSignal): Promise<ServerMessage> {
    const { dial, headStart } = this.#ways.plan();
    this.#lastError = undefined;
    const { connection, answer } = await race(dial, first, { headStart, within: dialTimeout, signal });
    const m = answer.message;
    const expected = first.message.case === "hello" ? m.case === "welcome" : m.case === "resumed" || m.case === "snapshot";
    if (signal.aborted || !expected) {
      connection.close();
      if (m.case === "error") throw fromWire(m.value);
      if (m.case === "bye") return m;
      throw new TolkynError("protocol", `${first.message.case} answered by ${m.case}`);
    }
    this.#ways.won(connection.transport, m.case === "welcome" ? m.value.transports : undefined);
    this.#connection = connection;
    return m;
  }

  async #hello(signal: AbortSignal): Promise<void> {
    const token = typeof this.#token === "string" ? this.#token : await this.#token();
    const answer = await this.#dial(
      create(ClientFrameSchema, {
        id: this.#nextId++,
        message: { case: "hello", value: create(HelloSchema, { token, client: clientName() }) },
      }),
      signal,
    );
    if (answer.case !== "welcome") throw new TolkynError("protocol", "Hello was answered by Bye");
    this.#welcome = answer.value;
    this.#relays = answer.value.iceServers;
    this.#lastSeq = 0n;
  }

  async #resume(w: Welcome, signal: AbortSignal): Promise<void> {
    const answer = await this.#dial(
      create(ClientFrameSchema, {
        id: this.#nextId++,
        ack: this.#lastSeq,
        message: {
          case: "resume",
          value: create(ResumeSchema, { sessionId: w.sessionId, resumeToken: w.resumeToken, lastSeq: this.#lastSeq }),
        },
      }),
      signal,
    );
    if (answer.case === "bye") {
      if (answer.value.action === Bye_Action.STOP && !signal.aborted) return this.#close(endReason(answer.value.reason));
      throw new TolkynError("resume-expired", `bye: ${endReason(answer.value.reason)}`);
    }
    if (answer.case === "snapshot") {
      this.#lastSeq = answer.value.seq;
      this.emit("snapshot", answer.value);
    }
    this.#opened();
  }

  #opened(): void {
    const connection = this.#connection;
    if (!connection) return; // a listener has closed or begun anew meanwhile
    this.#backoff.reset();
    this.#heard = performance.now();
    connection.listen({ frame: (f) => this.#handle(f), ended: () => this.#lost() });
    if (this.#connection !== connection) return; // it had ended, and #lost has seen to it
    if (this.#transport !== connection.transport) {
      this.#transport = connection.transport;
      this.emit("transport", this.#transport);
    }
    clearInterval(this.#pinger);
    this.#pinger = setInterval(() => this.#ping(), pingEvery);
    this.#ping();
    for (const p of this.#pending.values()) this.#send(p.frame);
    this.#setState("open");
  }

  #handle(f: ServerFrame): void {
    this.#heard = performance.now();
    if (f.seq > 0n) {
      if (f.seq <= this.#lastSeq) return; // replayed, but seen
      this.#lastSeq = f.seq;
    }
    const m = f.message;
    if (m.case === "bye") return this.#bye(m.value);
    if (m.case === "snapshot") {
      if (m.value.seq > this.#lastSeq) this.#lastSeq = m.value.seq;
      return this.emit("snapshot", m.value);
    }
    if (m.case === "pong") return this.#pong(Number(m.value.clientTimeMs));
    if (m.case === "iceServers") {
      this.#relays = m.value.iceServers;
      return this.emit("relays", undefined);
    }
    if (f.id === 0n) {
      if (m.case === "error") this.#lastError = fromWire(m.value);
      else this.emit("event", m);
      return;
    }
    const p = this.#pending.get(f.id);
    if (!p) return; // answered before the reconnect, or timed out
    this.#pending.delete(f.id);
    if (m.case === "error") p.reject(fromWire(m.value));
    else p.resolve(m);
  }

  #bye(b: Bye): void {
    const reason = endReason(b.reason);
    switch (b.action) {
      case Bye_Action.RESUME:
        return this.#redial(this.#backoff.next());
      case Bye_Action.REJOIN:
        void this.renew();
        return;
      default:
        this.#close(reason, this.#lastError);
    }
  }

  // within is shorter than usual for a probe.
  #ping(within?: number): void {
    const usual = pongWithin[this.transport];
    this.#send(
      create(ClientFrameSchema, {
        id: this.#nextId++,
        message: { case: "ping", value: create(PingSchema, { clientTimeMs: BigInt(Math.round(performance.now())) }) },
      }),
    );
    if (within !== undefined && within < usual) clearTimeout(this.#pongTimer);
    else if (this.#pongTimer !== undefined) return; // the oldest unanswered Ping counts
    this.#pongTimer = setTimeout(() => this.#lost(true), within ?? usual);
  }

  #pong(sentAt: number): void {
    clearTimeout(this.#pongTimer);
    this.#pongTimer = undefined;
    this.#rtt = Math.max(0, Math.round(performance.now()) - sentAt);
    this.emit("rtt", this.#rtt);
  }

  // The connection is gone (or as good as gone), the session may not be.
  #lost(silent = false): void {
    if (!this.#connection) return;
    if (this.#connection.transport === "webtransport") this.#ways.failed(); // WebSocket first, then
    // A server that went away has lost all its clients together; a path that fell silent lost this one alone.
    this.#redial(silent ? 0 : this.#backoff.next());
  }

  #redial(wait: number): void {
    this.#drop();
    this.#setState("reconnecting");
    void this.#reconnect(wait);
  }

  async #reconnect(wait: number): Promise<void> {
    this.#dialling = new AbortController();
    const { signal } = this.#dialling;
    const deadline = performance.now() + this.#giveUpAfter;
    for (;;) {
      await new Promise<void>((wake) => {
        this.#wakeUp = wake;
        setTimeout(wake, wait);
      });
      if (signal.aborted) return;
      try {
        if (this.#welcome) return await this.#resume(this.#welcome, signal);
        await this.#hello(signal);
        this.emit("renewed", undefined);
        return this.#opened();
      } catch (e) {
        if (signal.aborted) return;
        const error = asTolkynError(e);
        // The server no longer knows the session, or will not take it back: begin anew.
        const forgotten = ["resume-expired", "protocol", "unauthorized", "not-found"].includes(error.code);
        if (this.#welcome && forgotten) {
          this.#forget();
          wait = 0;
          continue;
        }
        if (!error.temporary || performance.now() > deadline) return this.#close("lost", error);
        wait = Math.max(error.retryAfter, this.#backoff.next());
      }
    }
  }

  #forget(): void {
    this.#welcome = undefined;
    this.#rejectPending(new TolkynError("connection-lost", "the session was begun anew"));
  }

  // The network changed: do not sit out a backoff, and find out at once whether the connection lives.
  readonly #onNetwork = (): void => {
    this.#wakeUp?.();
    this.probe();
  };

  /**
   * Finds out soon whether the connection still lives: something says that the network has changed. urgent: what says so is
   * media that has died, and WebTransport, UDP as it is, has died with it.
   */
  probe(urgent = false): void {
    const within = urgent && this.transport === "webtransport" ? urgentWithin : probeWithin;
    if (this.#state === "open") this.#ping(Math.max(within, 3 * this.#rtt));
  }

  /** Probes, and resolves when the server has answered, over this connection or the next; false: not within ms. */
  reach(within: number): Promise<boolean> {
    return new Promise((done) => {
      const ends = [
        this.on("rtt", () => end(true)),
        this.on("state", (state) => state === "open" && end(true)),
        this.on("closed", () => end(false)),
      ];
      const timer = setTimeout(() => end(false), within);
      const end = (reached: boolean): void => {
        for (const off of ends) off();
        clearTimeout(timer);
        done(reached);
      };
      this.probe(true);
    });
  }

  #send(frame: ClientFrame): void {
    frame.ack = this.#lastSeq;
    this.#connection?.send(frame); // without a connection, or lost with it: sent again after the resume
  }

  #drop(): void {
    this.#dialling.abort();
    clearInterval(this.#pinger);
    clearTimeout(this.#pongTimer);
    this.#pongTimer = undefined;
    this.#connection?.close();
    this.#connection = undefined;
  }

  #close(reason: EndReason, error?: TolkynError): void {
    if (this.#state === "closed") return;
    this.#drop();
    removeEventListener("online", this.#onNetwork);
    networkInfo()?.removeEventListener("change", this.#onNetwork);
    this.#setState("closed");
    this.#wakeUp?.();
    this.#rejectPending(new TolkynError("ended", `the session is over: ${reason}`));
    this.emit("closed", error ? { reason, error } : { reason });
  }

  #rejectPending(e: TolkynError): void {
    const all = [...this.#pending.values()];
    this.#pending.clear();
    for (const p of all) p.reject(e);
  }

  #setState(s: SessionState): void {
    if (s === this.#state) return;
    this.#state = s;
    this.emit("state", s);
  }
}

/** Only Chromium tells of a change from Wi-Fi to mobile data. */
function networkInfo(): EventTarget | undefined {
  return (navigator as { connection?: EventTarget }).connection;
}

function clientName(): string {
  const browser = /(Firefox|Edg|Chrome|Version)\/(\d+)/.exec(navigator.userAgent);
  return `tolkyn-web/0.1${browser ? ` ${browser[1] === "Chrome" ? "Chromium" : browser[1]}/${browser[2]}` : ""}`;
}

function asTolkynError(e: unknown): TolkynError {
  if (e instanceof TolkynError) return e;
  return new TolkynError("connection-failed", e instanceof Error ? e.message : String(e), { cause: e });
}

function sleep(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
