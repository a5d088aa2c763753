import { Connection } from "./connection";
import { TolkynError } from "./errors";

const subprotocol = "tolkyn";

/** A connection over WebSocket: one binary message a frame. */
export class WebSocketConnection extends Connection {
  override readonly transport = "websocket";
  readonly #socket: WebSocket;

  /** Dials. Throws "connection-failed" for an address that is none. */
  constructor(url: string) {
    super();
    try {
      this.#socket = new WebSocket(url, subprotocol);
    } catch (e) {
      throw new TolkynError("connection-failed", `bad server address ${url}`, { cause: e });
    }
    this.#socket.binaryType = "arraybuffer";
    this.#socket.onopen = () => this.opened();
    this.#socket.onmessage = (m: MessageEvent<unknown>) => {
      if (m.data instanceof ArrayBuffer) this.received(new Uint8Array(m.data));
      else this.broke(new TolkynError("protocol", "the server sent something that is not a frame"));
    };
    this.#socket.onclose = (e) =>
      this.broke(new TolkynError("connection-failed", `${url} closed the connection (${e.code} ${e.reason})`));
  }

  protected override put(frame: Uint8Array<ArrayBuffer>): void {
    this.#socket.send(frame);
  }

  protected override shut(): void {
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
  }
}

/** "https://host", "wss://host/v1/ws" or a page's own location: all name the same WebSocket. */
export function socketURL(url: string): string {
  const u = new URL(url, location.href);
  u.protocol = u.protocol === "https:" || u.protocol === "wss:" ? "wss:" : "ws:";
  if (u.pathname === "/") u.pathname = "/v1/ws";
  u.hash = "";
  return u.href;
}
