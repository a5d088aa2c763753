import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  Bye_Action,
  ClientFrameSchema,
  HelloSchema,
  LeaveSchema,
  PingSchema,
  ResumeSchema,
  ServerFrameSchema,
  type Bye,
  type ClientFrame,
  type ServerFrame,
  type Snapshot,
  type Welcome,
} from "../wire/tolkyn_pb";
import { Backoff } from "./backoff";
import { Emitter } from "./emitter";
import { endReason, fromWire, TolkynError, type EndReason } from "./errors";

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
  /** Signaling round trip, milliseconds. */
  rtt: number;
  /** Over. Nothing comes after this. */
  closed: { reason: EndReason; error?: TolkynError };
}

export interface SessionOptions {
  /** Gives up reconnecting after this many ms; default 120,000. */
  giveUpAfter?: number;
}

const subprotocol = "tolkyn";
const dialTimeout = 6_000; // ms for TCP, TLS and the WebSocket upgrade on a bad network
const requestTimeout = 20_000; // ms; a join behind the handshake gate waits at most a few seconds
const pingEvery = 5_000; // ms
const pongWithin = 8_000; // ms: slower than this is taken for a dead connection; a full 24 kbit/s link may take five
const probeWithin = 2_500; // ms: the same where something already says that the network has changed
const openTries = 3;

interface Pending {
  readonly frame: ClientFrame;
  readonly resolve: (m: ServerMessage) => void;
  readonly reject: (e: TolkynError) => void;
}

/**
 * Session is one client's signaling session: it outlives the WebSocket that carries it. When a connection breaks it
 * dials again with full jitter and resumes; unanswered requests are sent again: every one of them may safely be carried
 * out twice.
 */
export class Session extends Emitter<SessionEvents> {
  readonly url: string;
  readonly #token: TokenSource;
  readonly #giveUpAfter: number;
  readonly #backoff = new Backoff();
  readonly #pending = new Map<bigint, Pending>();

  #state: SessionState = "connecting";
  #welcome: Welcome | undefined;
  #socket: WebSocket | undefined;
  #nextId = 1n;
  #lastSeq = 0n;
  #rtt = 0;
  #pinger: ReturnType<typeof setInterval> | undefined;
  #pongTimer: ReturnType<typeof setTimeout> | undefined;
  #wakeUp: (() => void) | undefined; // ends the current backoff wait
  #lastError: TolkynError | undefined; // an Error frame that announced the end

  private constructor(url: string, token: TokenSource, options: SessionOptions) {
    super();
    this.url = socketURL(url);
    this.#token = token;
    this.#giveUpAfter = options.giveUpAfter ?? 120_000;
  }

  /** Opens a session. Throws "unauthorized", "busy", "connection-failed" and what else the server may answer. */
  static async open(url: string, token: TokenSource, options: SessionOptions = {}): Promise<Session> {
    const s = new Session(url, token, options);
    for (let tries = 1; ; tries++) {
      try {
        await s.#hello();
        addEventListener("online", s.#onOnline);
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
  /** Signaling round trip in ms; 0 before the first Pong. */
  get rtt(): number {
    return this.#rtt;
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
    if (this.#state === "open") {
      const left = this.request({ case: "leave", value: create(LeaveSchema) }).catch(() => {});
      await Promise.race([left, sleep(500)]);
    }
    this.#close("left");
  }

  /** Throws the old session away and opens a new one: "renewed" follows, or "closed". */
  async renew(): Promise<void> {
    this.#drop();
    this.#setState("reconnecting");
    this.#rejectPending(new TolkynError("connection-lost", "the session was begun anew"));
    this.#welcome = undefined;
    await this.#reconnect();
  }

  // One dial: WebSocket up, first frame sent, its answer received. Events may follow in the same breath, so the
  // message handler is in place before.
  async #dial(first: (id: bigint) => ClientFrame): Promise<ServerMessage> {
    let socket: WebSocket;
    try {
      socket = new WebSocket(this.url, subprotocol);
    } catch (e) {
      throw new TolkynError("connection-failed", `bad server address ${this.url}`, { cause: e });
    }
    socket.binaryType = "arraybuffer";
    this.#lastError = undefined;
    return new Promise((resolve, reject) => {
      const frame = first(this.#nextId++);
      let answered = false;
      const fail = (e: TolkynError): void => {
        clearTimeout(timer);
        socket.onmessage = socket.onclose = socket.onopen = null;
        socket.close();
        reject(e);
      };
      const timer = setTimeout(
        () => fail(new TolkynError("connection-failed", `${this.url} did not answer in ${dialTimeout / 1000} s`)),
        dialTimeout,
      );
      socket.onopen = () => socket.send(toBinary(ClientFrameSchema, frame) as Uint8Array<ArrayBuffer>);
      socket.onmessage = (m: MessageEvent<ArrayBuffer>) => {
        const f = parse(m.data);
        if (!f) return fail(new TolkynError("protocol", "the server sent something that is not a frame"));
        if (answered) return this.#handle(f);
        if (f.message.case === "error") return fail(fromWire(f.message.value));
        if (f.message.case === "bye") {
          const stop = f.message.value.action === Bye_Action.STOP;
          return fail(new TolkynError(stop ? "ended" : "resume-expired", `bye: ${endReason(f.message.value.reason)}`));
        }
        if (f.id !== frame.id) return;
        answered = true;
        clearTimeout(timer);
        this.#socket = socket;
        socket.onclose = () => {
          if (this.#socket === socket) this.#lost();
        };
        // resolve() runs its listeners only after this handler: no event is handled before the answer is.
        resolve(f.message);
      };
      socket.onclose = (e) =>
        fail(this.#lastError ?? new TolkynError("connection-failed", `${this.url} closed the connection (${e.code} ${e.reason})`));
    });
  }

  async #hello(): Promise<void> {
    const token = typeof this.#token === "string" ? this.#token : await this.#token();
    const answer = await this.#dial((id) =>
      create(ClientFrameSchema, {
        id,
        message: { case: "hello", value: create(HelloSchema, { token, client: clientName() }) },
      }),
    );
    if (answer.case !== "welcome") throw new TolkynError("protocol", `Hello answered by ${answer.case}`);
    this.#welcome = answer.value;
    this.#lastSeq = 0n;
    this.#opened();
  }

  async #resume(w: Welcome): Promise<void> {
    const answer = await this.#dial((id) =>
      create(ClientFrameSchema, {
        id,
        ack: this.#lastSeq,
        message: {
          case: "resume",
          value: create(ResumeSchema, { sessionId: w.sessionId, resumeToken: w.resumeToken, lastSeq: this.#lastSeq }),
        },
      }),
    );
    if (answer.case !== "resumed" && answer.case !== "snapshot") {
      throw new TolkynError("protocol", `Resume answered by ${answer.case}`);
    }
    if (answer.case === "snapshot") {
      this.#lastSeq = answer.value.seq;
      this.emit("snapshot", answer.value);
    }
    this.#opened();
    for (const p of this.#pending.values()) this.#send(p.frame);
  }

  #opened(): void {
    this.#backoff.reset();
    this.#setState("open");
    this.#ping();
    clearInterval(this.#pinger);
    this.#pinger = setInterval(() => this.#ping(), pingEvery);
  }

  #handle(f: ServerFrame): void {
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
        this.#lost();
        return;
      case Bye_Action.REJOIN:
        void this.renew();
        return;
      default:
        this.#close(reason, this.#lastError);
    }
  }

  #ping(within = pongWithin): void {
    this.#send(
      create(ClientFrameSchema, {
        id: this.#nextId++,
        message: { case: "ping", value: create(PingSchema, { clientTimeMs: BigInt(Math.round(performance.now())) }) },
      }),
    );
    if (within < pongWithin) clearTimeout(this.#pongTimer);
    else if (this.#pongTimer !== undefined) return; // the oldest unanswered Ping counts
    this.#pongTimer = setTimeout(() => this.#lost(), within);
  }

  #pong(sentAt: number): void {
    clearTimeout(this.#pongTimer);
    this.#pongTimer = undefined;
    this.#rtt = Math.max(0, Math.round(performance.now()) - sentAt);
    this.emit("rtt", this.#rtt);
  }

  // The connection is gone (or as good as gone), the session may not be.
  #lost(): void {
    if (this.#state !== "open") return;
    this.#drop();
    this.#setState("reconnecting");
    void this.#reconnect();
  }

  async #reconnect(): Promise<void> {
    const deadline = performance.now() + this.#giveUpAfter;
    let error = new TolkynError("connection-lost", "the connection to the server was lost");
    let wait = this.#backoff.next();
    for (;;) {
      await new Promise<void>((wake) => {
        this.#wakeUp = wake;
        setTimeout(wake, wait);
      });
      if (this.#state !== "reconnecting") return;
      try {
        if (this.#welcome) return await this.#resume(this.#welcome);
        await this.#hello();
        this.emit("renewed", undefined);
        return;
      } catch (e) {
        error = asTolkynError(e);
        // The server no longer knows the session, or will not take it back: begin anew.
        const forgotten = ["resume-expired", "protocol", "unauthorized", "not-found"].includes(error.code);
        if (this.#welcome && forgotten) {
          this.#welcome = undefined;
          this.#rejectPending(new TolkynError("connection-lost", "the session was begun anew"));
          wait = 0;
          continue;
        }
        if (!error.temporary || performance.now() > deadline) return this.#close("lost", error);
        wait = Math.max(error.retryAfter, this.#backoff.next());
      }
    }
  }

  // The network changed for the better: do not sit out a backoff, and find out at once whether the connection lives.
  readonly #onOnline = (): void => {
    this.#wakeUp?.();
    this.probe();
  };

  /** Finds out soon whether the connection still lives: something says that the network has changed. */
  probe(): void {
    if (this.#state === "open") this.#ping(Math.max(probeWithin, 3 * this.#rtt));
  }

  #send(frame: ClientFrame): void {
    if (this.#socket?.readyState !== WebSocket.OPEN) return; // pending requests are sent after the resume
    frame.ack = this.#lastSeq;
    this.#socket.send(toBinary(ClientFrameSchema, frame) as Uint8Array<ArrayBuffer>);
  }

  #drop(): void {
    clearInterval(this.#pinger);
    clearTimeout(this.#pongTimer);
    this.#pongTimer = undefined;
    const socket = this.#socket;
    this.#socket = undefined;
    if (socket) socket.onmessage = socket.onclose = null;
    socket?.close();
  }

  #close(reason: EndReason, error?: TolkynError): void {
    if (this.#state === "closed") return;
    this.#drop();
    removeEventListener("online", this.#onOnline);
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

function parse(data: unknown): ServerFrame | undefined {
  if (!(data instanceof ArrayBuffer)) return undefined;
  try {
    return fromBinary(ServerFrameSchema, new Uint8Array(data));
  } catch {
    return undefined;
  }
}

/** "https://host", "wss://host/v1/ws" or a page's own location: all name the same WebSocket. */
function socketURL(url: string): string {
  const u = new URL(url, location.href);
  u.protocol = u.protocol === "https:" || u.protocol === "wss:" ? "wss:" : "ws:";
  if (u.pathname === "/") u.pathname = "/v1/ws";
  u.hash = "";
  return u.href;
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
