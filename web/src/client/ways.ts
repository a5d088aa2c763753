import { Transport_Kind, type Transport as WireTransport } from "../wire/tolkyn_pb";
import type { Connection, Transport } from "./connection";
import { socketURL, WebSocketConnection } from "./websocket";
import { hasWebTransport, WebTransportConnection, type WebTransportAddress } from "./webtransport";
import { TolkynError } from "./errors";

const headStart = 250; // ms that WebTransport has before WebSocket is tried beside it
const secondChance = 2_000; // ms that WebSocket has where WebTransport did not work
const avoidFor = 10 * 60_000; // ms that WebTransport is not tried first after a failure
const keptFor = 24 * 3_600_000; // ms that a server's address is remembered: its certificate changes every few days
const keptServers = 16;
const keptNetworks = 8; // of one server
const askFor = 3_000; // ms for /v1/transports
const storageKey = "tolkyn.ways";

/** What a browser remembers of a server. Times are in ms since 1970. */
interface Memory {
  at: number;
  /** Where it speaks WebTransport; null: nowhere; absent: not known. */
  place?: Place | null;
  /** When WebTransport failed, by network. */
  failed: Record<string, number>;
}

interface Place {
  port: number;
  path: string;
  hashes: string[]; // base64
}

/**
 * Ways are the ways to one server: which there are, and which to try first from this network. Found by asking the server,
 * or what it said last time; remembered by the browser where it lets us.
 */
export class Ways {
  /** The WebSocket. */
  readonly url: string;
  readonly #host: string;
  #place: Promise<Place | null> | undefined;
  #tried: Place | null = null; // what was dialled last
  #failed = new Map<string, number>();

  constructor(url: string) {
    this.url = socketURL(url);
    // Chromium dials ::1 for localhost, and gives up where nobody is there.
    const { hostname } = new URL(this.url);
    this.#host = hostname === "localhost" || hostname.endsWith(".localhost") ? "127.0.0.1" : hostname;
    const known = recall()[this.url];
    if (!known) return;
    if (known.place !== undefined) this.#place = Promise.resolve(known.place);
    this.#failed = new Map(Object.entries(known.failed));
  }

  /** Finds out where WebTransport is, unless that is known. Call it early: the answer takes a round trip. */
  ask(): void {
    if (hasWebTransport()) this.#place ??= this.#fetch();
  }

  /** What to dial, first things first, and how long the first one has before the second is tried, too. */
  plan(): { dial: (() => Promise<Connection>)[]; headStart: number } {
    const socket = async (): Promise<Connection> => new WebSocketConnection(this.url);
    if (!hasWebTransport()) return { dial: [socket], headStart };
    const transport = async (): Promise<Connection> => {
      this.ask();
      this.#tried = (await this.#place) ?? null;
      if (!this.#tried) throw new TolkynError("connection-failed", "the server names no WebTransport");
      return new WebTransportConnection(this.#address(this.#tried));
    };
    const failedAt = this.#failed.get(network()) ?? -Infinity;
    if (Date.now() - failedAt < avoidFor) return { dial: [socket, transport], headStart: secondChance };
    return { dial: [transport, socket], headStart };
  }

  /** This one was answered first. told is what the server says of its transports; undefined when it did not say. */
  won(by: Transport, told?: readonly WireTransport[]): void {
    let changed = false;
    if (told) {
      const t = told.find((t) => t.kind === Transport_Kind.WEBTRANSPORT);
      const place = t ? { port: t.port, path: t.path, hashes: t.certificateSha256.map(encode) } : null;
      changed = JSON.stringify(place) !== JSON.stringify(this.#tried);
      this.#place = Promise.resolve(place);
      remember(this.url, (m) => (m.place = place));
    }
    if (by === "webtransport") this.#note((m) => m.delete(network()));
    // An old address that failed says nothing of the new one.
    else if (this.#tried && !changed) this.failed();
    this.#tried = null;
  }

  /** WebTransport worked here and no longer does. */
  failed(): void {
    this.#note((m) => m.set(network(), Date.now()));
  }

  #note(change: (failed: Map<string, number>) => void): void {
    change(this.#failed);
    remember(this.url, (m) => (m.failed = Object.fromEntries([...this.#failed].slice(-keptNetworks))));
  }

  #address(p: Place): WebTransportAddress {
    const u = new URL(`https://${this.#host}:${p.port}`);
    u.pathname = p.path;
    return { url: u.href, hashes: p.hashes.map(decode) };
  }

  async #fetch(): Promise<Place | null> {
    const u = new URL("transports", this.url);
    u.protocol = u.protocol === "wss:" ? "https:" : "http:";
    try {
      const answer = await fetch(u, { cache: "no-store", credentials: "omit", signal: AbortSignal.timeout(askFor) });
      if (!answer.ok) return null;
      // Canonical proto3 JSON of wire.Transports: what is zero or empty is left out.
      const { transports = [] } = (await answer.json()) as {
        transports?: { kind?: string; port?: number; path?: string; certificateSha256?: string[] }[];
      };
      const t = transports.find((t) => t.kind === "WEBTRANSPORT");
      return t?.port ? { port: t.port, path: t.path ?? "/", hashes: t.certificateSha256 ?? [] } : null;
    } catch {
      return null; // then by WebSocket; its Welcome tells
    }
  }
}

/** The network that this device is on, as far as the browser tells: a hint. */
function network(): string {
  const c = (navigator as { connection?: { type?: string; effectiveType?: string } }).connection;
  return c?.type ?? c?.effectiveType ?? "";
}

function recall(): Record<string, Memory> {
  try {
    const all = JSON.parse(localStorage.getItem(storageKey) ?? "{}") as Record<string, Memory>;
    for (const [url, m] of Object.entries(all)) {
      if (!(Date.now() - m.at < keptFor) || typeof m.failed !== "object" || m.failed === null) delete all[url];
    }
    return all;
  } catch {
    return {}; // storage forbidden or broken: the server is asked
  }
}

function remember(url: string, change: (m: Memory) => void): void {
  try {
    const all = recall();
    const m = all[url] ?? { at: 0, failed: {} };
    delete all[url];
    m.at = Date.now();
    change(m);
    localStorage.setItem(storageKey, JSON.stringify(Object.fromEntries([...Object.entries(all), [url, m]].slice(-keptServers))));
  } catch {
    // Not remembered, then.
  }
}

function encode(b: Uint8Array): string {
  return btoa(String.fromCharCode(...b));
}

function decode(text: string): Uint8Array {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}
