import { Connection } from "./connection";
import { TolkynError } from "./errors";

/** Where a server speaks WebTransport. */
export interface WebTransportAddress {
  readonly url: string;
  /** SHA-256 of the certificates it may show; empty where an authority vouches for it. */
  readonly hashes: readonly Uint8Array[];
}

const maxFrame = 1 << 20; // bytes: the protocol's bound for a server's frame

/** Safari has it since 26.4; pages that did not come securely have it nowhere. */
export function hasWebTransport(): boolean {
  return typeof WebTransport === "function";
}

/** A connection over WebTransport: frames on the first bidirectional stream, each with its length before it. */
export class WebTransportConnection extends Connection {
  override readonly transport = "webtransport";
  readonly #session: WebTransport;
  #writer: WritableStreamDefaultWriter<Uint8Array<ArrayBuffer>> | undefined;

  /** Dials. Throws "connection-failed" for an address that is none. */
  constructor({ url, hashes }: WebTransportAddress) {
    super();
    try {
      this.#session = new WebTransport(url, {
        congestionControl: "low-latency",
        ...(hashes.length > 0 && {
          serverCertificateHashes: hashes.map((value) => ({ algorithm: "sha-256", value: value as BufferSource })),
        }),
      });
    } catch (e) {
      throw new TolkynError("connection-failed", `bad WebTransport address ${url}`, { cause: e });
    }
    const over = (why: unknown): void =>
      this.broke(
        why instanceof TolkynError
          ? why
          : new TolkynError("connection-failed", `${url} closed the connection (${String(why)})`, { cause: why }),
      );
    this.#session.closed.then(({ closeCode, reason }) => over(`${closeCode ?? 0} ${reason ?? ""}`), over);
    this.#run().catch(over);
  }

  async #run(): Promise<void> {
    await this.#session.ready;
    const stream = (await this.#session.createBidirectionalStream()) as {
      readable: ReadableStream<Uint8Array>;
      writable: WritableStream<Uint8Array<ArrayBuffer>>;
    };
    this.#writer = stream.writable.getWriter();
    this.#writer.closed.catch(() => {}); // the reader and `closed` tell the same
    this.opened();
    const frames = new FrameReader(maxFrame);
    for (const reader = stream.readable.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) throw new TolkynError("connection-failed", "the server ended the stream");
      frames.push(value);
      for (let f = frames.next(); f; f = frames.next()) {
        this.received(f);
        await nextTask(); // what the answer woke runs before the event behind it
      }
    }
  }

  protected override put(frame: Uint8Array<ArrayBuffer>): void {
    // Failing is told by `closed`, too.
    this.#writer?.write(withLength(frame)).catch(() => {});
  }

  protected override shut(): void {
    try {
      this.#session.close({ closeCode: 1000 });
    } catch {
      // Failed already: there is nothing to close.
    }
  }
}

/** A frame as it goes over a stream: its length as an unsigned varint (as in protobuf), then the frame. */
export function withLength(frame: Uint8Array): Uint8Array<ArrayBuffer> {
  const head: number[] = [];
  let n = frame.length;
  for (; n > 0x7f; n >>>= 7) head.push((n & 0x7f) | 0x80);
  head.push(n);
  const all = new Uint8Array(head.length + frame.length);
  all.set(head);
  all.set(frame, head.length);
  return all;
}

/** Takes frames off a stream, whatever pieces it comes in. */
export class FrameReader {
  readonly #limit: number;
  #bytes = new Uint8Array(0);
  #end = 0; // of what came; the rest of #bytes is room

  constructor(limit: number) {
    this.#limit = limit;
  }

  push(piece: Uint8Array): void {
    const need = this.#end + piece.length;
    if (need > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(need, 2 * this.#end));
      grown.set(this.#bytes.subarray(0, this.#end));
      this.#bytes = grown;
    }
    this.#bytes.set(piece, this.#end);
    this.#end = need;
  }

  /** The next whole frame, undefined when it is not there yet. Throws "protocol" for a length that cannot be. */
  next(): Uint8Array | undefined {
    let length = 0;
    for (let i = 0; i < this.#end; i++) {
      const b = this.#bytes[i]!;
      length += (b & 0x7f) * 2 ** (7 * i);
      if (length > this.#limit || i > 8) {
        throw new TolkynError("protocol", `the server announced a frame of more than ${this.#limit} bytes`);
      }
      if (b < 0x80) return this.#take(i + 1, i + 1 + length);
    }
    return undefined;
  }

  #take(from: number, to: number): Uint8Array | undefined {
    if (to > this.#end) return undefined;
    const frame = this.#bytes.slice(from, to);
    this.#bytes.copyWithin(0, to, this.#end);
    this.#end -= to;
    if (this.#end === 0) this.#bytes = new Uint8Array(0);
    return frame;
  }
}

function nextTask(): Promise<void> {
  return new Promise((done) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      done();
    };
    port2.postMessage(0);
  });
}
