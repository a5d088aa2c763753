import { TolkynError } from "../client";

/** What the server's doors answer (signaling/door.go). */
interface Pass {
  token: string;
  identity: string;
  room: string;
}

/** The invite in the page's URL (#invite=…): it names the room, and never leaves the browser in a Referer. */
export function invite(): string {
  return new URLSearchParams(location.hash.slice(1)).get("invite") ?? "";
}

/**
 * Gets tokens for one room: from the invite in the URL, else from the development door, which answers on loopback only.
 * From the latter a session that has to begin anew gets the same identity, so that it takes its own old place.
 */
export class Door {
  readonly #room: string;
  #identity = "";

  constructor(room: string) {
    this.#room = room;
  }

  // Nothing is kept: the reason to ask again may be a server that has started anew, with a new key.
  readonly token = async (): Promise<string> => {
    const pass = await this.#ask();
    this.#identity = pass.identity;
    return pass.token;
  };

  async #ask(): Promise<Pass> {
    const query = new URLSearchParams({ room: this.#room });
    if (this.#identity) query.set("identity", this.#identity);
    const code = invite();
    const url = code ? `/v1/invite/${encodeURIComponent(code)}` : `/v1/dev-token?${query}`;
    let answer: Response;
    try {
      answer = await fetch(url, { method: "POST", cache: "no-store" });
    } catch (e) {
      throw new TolkynError("connection-failed", `${url} cannot be reached`, { cause: e });
    }
    const body = (await answer.json().catch(() => ({}))) as Partial<Pass> & { error?: string };
    if (!answer.ok || !body.token) {
      const code = answer.status === 429 || answer.status === 503 ? "busy" : "unauthorized";
      throw new TolkynError(code, body.error ?? `${url} answered ${answer.status}`);
    }
    return { token: body.token, identity: body.identity ?? "", room: body.room ?? this.#room };
  }
}
