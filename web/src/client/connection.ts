import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { ClientFrameSchema, ServerFrameSchema, type ClientFrame, type ServerFrame } from "../wire/tolkyn_pb";
import { TolkynError } from "./errors";

/** What carries the frames. */
export type Transport = "webtransport" | "websocket";

/** Who takes what a connection brings. */
export interface Listener {
  frame(f: ServerFrame): void;
  /** The connection is over; nothing comes after this. Not called after close(). */
  ended(e: TolkynError): void;
}

/**
 * Connection carries frames to a server and back, over one kind of transport:
 *
 *   dialled ──► open ──► ended (by the server or the network; the listener is told)
 *      └─────────┴─────► closed (by us; nobody is told)
 *
 * What comes while nobody listens is kept for the next listener. Each frame is handed over in a task of its own, so that
 * whoever waited for an answer has taken it before the event behind it comes.
 */
export abstract class Connection {
  abstract readonly transport: Transport;

  #open = false;
  #over = false;
  #onOpen: (() => void) | undefined;
  #listener: Listener | undefined;
  #waiting: ServerFrame[] = []; // only for as long as it takes to hand the connection over
  #end: TolkynError | undefined; // that nobody has been told of

  /** Dialled, not closed, not ended. */
  get isOpen(): boolean {
    return this.#open && !this.#over;
  }

  /** Calls back once frames can be sent, or at once. */
  whenOpen(f: () => void): void {
    if (this.isOpen) f();
    else this.#onOpen = f;
  }

  /** Hands everything that comes to this listener from now on; undefined keeps it for the next one. */
  listen(listener: Listener | undefined): void {
    this.#listener = listener;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const f of waiting) this.took(f);
    if (this.#end && this.#listener) {
      const end = this.#end;
      this.#end = undefined;
      this.#listener.ended(end);
    }
  }

  /** Sends a frame; one that cannot be sent is lost, as on a connection that breaks a moment later. */
  send(frame: ClientFrame): void {
    if (this.isOpen) this.put(toBinary(ClientFrameSchema, frame) as Uint8Array<ArrayBuffer>);
  }

  /** Closes it at once: what was sent may not arrive. */
  close(): void {
    if (this.#over) return;
    this.#over = true;
    this.#listener = this.#onOpen = undefined;
    this.shut();
  }

  // --- for the transports -------------------------------------------------------------------------------------------

  protected abstract put(frame: Uint8Array<ArrayBuffer>): void;
  protected abstract shut(): void;

  protected opened(): void {
    if (this.#over || this.#open) return;
    this.#open = true;
    this.#onOpen?.();
    this.#onOpen = undefined;
  }

  protected received(frame: Uint8Array): void {
    if (this.#over) return;
    let f: ServerFrame;
    try {
      f = fromBinary(ServerFrameSchema, frame);
    } catch (e) {
      return this.broke(new TolkynError("protocol", "the server sent something that is not a frame", { cause: e }));
    }
    this.took(f);
  }

  protected broke(e: TolkynError): void {
    if (this.#over) return;
    this.#over = true;
    this.shut();
    if (this.#listener) this.#listener.ended(e);
    else this.#end = e;
  }

  private took(f: ServerFrame): void {
    if (this.#listener) this.#listener.frame(f);
    else this.#waiting.push(f);
  }
}
