import { create } from "@bufbuild/protobuf";
import { ClientFrameSchema, LeaveSchema, type ClientFrame, type ServerFrame } from "../wire/tolkyn_pb";
import type { Connection } from "./connection";
import { TolkynError } from "./errors";

/** The connection that was answered first, and the answer. Nobody listens to it: what comes meanwhile waits. */
export interface Winner {
  readonly connection: Connection;
  readonly answer: ServerFrame;
}

export interface Rules {
  /** ms that a way has before the next one is tried beside it; a way that fails has none. */
  readonly headStart: number;
  /** ms for all of it. */
  readonly within: number;
  readonly signal: AbortSignal;
}

const leastPatience = 1_000; // ms for an answer on a connection that is open
const retiredFor = 10_000; // ms in which a late Welcome is still answered by Leave: as long as a server waits for a Hello

/**
 * Dials the ways to a server in their order, the next one a head start later or when one has failed, and says the greeting
 * on the first connection that opens: opening has proved the path both ways, so waiting for both to be answered would not
 * be faster. The others are closed without having said a word, and leave no session behind. Only where an open connection
 * does not answer in time the next one speaks; the silent one, should it be answered after all, takes its leave.
 *
 * Whatever the server answers (Error and Bye, too) decides the race. Rejects with the last way's error, "connection-failed"
 * when time is up, "ended" when aborted.
 */
export function race(ways: readonly (() => Promise<Connection>)[], greeting: ClientFrame, rules: Rules): Promise<Winner> {
  return new Promise((resolve, reject) => new Race(ways, greeting, rules, resolve, reject).begin());
}

class Race {
  readonly #began = performance.now();
  readonly #running = new Set<Connection>(); // dialled, neither failed nor retired
  readonly #queue: Connection[] = []; // open, with nothing said yet
  #speaker: Connection | undefined;
  #overdue = false; // the speaker has not been answered in time
  #next = 0;
  #dialling = 0;
  #over = false;
  #headStart: ReturnType<typeof setTimeout> | undefined;
  #patience: ReturnType<typeof setTimeout> | undefined;
  #deadline: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly ways: readonly (() => Promise<Connection>)[],
    readonly greeting: ClientFrame,
    readonly rules: Rules,
    readonly resolve: (w: Winner) => void,
    readonly reject: (e: TolkynError) => void,
  ) {}

  begin(): void {
    const { signal, within } = this.rules;
    if (signal.aborted) return this.#abort();
    signal.addEventListener("abort", this.#abort);
    this.#deadline = setTimeout(
      () => this.#fail(new TolkynError("connection-failed", `the server did not answer in ${within / 1000} s`)),
      within,
    );
    this.#dial();
  }

  readonly #abort = (): void => this.#fail(new TolkynError("ended", "the session is over"));

  #dial(): void {
    clearTimeout(this.#headStart);
    const way = this.ways[this.#next++];
    if (!way || this.#over) return;
    if (this.#next < this.ways.length) this.#headStart = setTimeout(() => this.#dial(), this.rules.headStart);
    this.#dialling++;
    way().then(
      (c) => {
        this.#dialling--;
        this.#dialled(c);
      },
      (e: unknown) => {
        this.#dialling--;
        this.#failed(e instanceof TolkynError ? e : new TolkynError("connection-failed", String(e), { cause: e }));
      },
    );
  }

  #dialled(c: Connection): void {
    if (this.#over) return c.close();
    this.#running.add(c);
    c.listen({
      frame: (f) => this.#took(c, f),
      ended: (e) => {
        this.#running.delete(c);
        const i = this.#queue.indexOf(c);
        if (i >= 0) this.#queue.splice(i, 1);
        if (c === this.#speaker) this.#quiet();
        this.#failed(e);
      },
    });
    c.whenOpen(() => {
      this.#queue.push(c);
      this.#speak();
    });
  }

  // One speaks at a time.
  #speak(): void {
    if (this.#over || (this.#speaker && !this.#overdue)) return;
    const c = this.#queue.shift();
    if (!c) return;
    if (this.#speaker) this.#retire(this.#speaker);
    this.#quiet();
    this.#speaker = c;
    // A path that took long to open takes long to answer.
    const patience = Math.max(leastPatience, performance.now() - this.#began);
    this.#patience = setTimeout(() => {
      this.#overdue = true;
      this.#dial();
      this.#speak();
    }, patience);
    c.send(this.greeting);
  }

  #quiet(): void {
    clearTimeout(this.#patience);
    this.#speaker = undefined;
    this.#overdue = false;
  }

  #took(c: Connection, f: ServerFrame): void {
    const last = f.message.case === "error" || f.message.case === "bye";
    if (this.#over || c !== this.#speaker || (f.id !== this.greeting.id && !last)) return;
    this.#running.delete(c);
    this.#finish();
    c.listen(undefined);
    this.resolve({ connection: c, answer: f });
  }

  #failed(e: TolkynError): void {
    if (this.#over) return;
    this.#dial();
    this.#speak();
    if (this.#running.size === 0 && this.#dialling === 0) this.#fail(e);
  }

  #fail(e: TolkynError): void {
    if (this.#over) return;
    const speaker = this.#speaker;
    if (speaker) this.#retire(speaker);
    this.#finish();
    this.reject(e);
  }

  #finish(): void {
    this.#over = true;
    this.rules.signal.removeEventListener("abort", this.#abort);
    clearTimeout(this.#headStart);
    clearTimeout(this.#deadline);
    this.#quiet();
    for (const c of this.#running) c.close();
    this.#running.clear();
  }

  // It has spoken and was not heard in time. A session that opens on it after all must not stay behind.
  #retire(c: Connection): void {
    this.#running.delete(c);
    if (this.greeting.message.case !== "hello") return c.close();
    setTimeout(() => c.close(), retiredFor);
    c.listen({
      frame: (f) => {
        if (f.message.case === "welcome") {
          c.send(create(ClientFrameSchema, { id: this.greeting.id + 1n, message: { case: "leave", value: create(LeaveSchema) } }));
        } else if (f.message.case !== "ok") {
          c.close(); // Bye: it has left; anything else: it never was in
        }
      },
      ended: () => {},
    });
  }
}
