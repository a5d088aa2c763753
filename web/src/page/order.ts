const dwell = 2_000; // ms: a face on the stage that changes faster is not looked at, it flickers

/**
 * Order is in which order the others stand, and who of them is on the stage. Nobody moves because of what others do, with one
 * exception: who begins to speak on a later page changes places with whoever on the first was silent longest.
 */
export class Order {
  #ids: string[] = [];
  readonly #spoke = new Map<string, number>(); // when last, in ms
  #speaking: readonly string[] = [];
  #stage = "";
  #since = -Infinity;

  /** Takes in who is there: newcomers stand at the end. */
  follow(there: Iterable<string>): void {
    const all = new Set(there);
    this.#ids = this.#ids.filter((id) => all.has(id));
    const have = new Set(this.#ids);
    for (const id of all) if (!have.has(id)) this.#ids.push(id);
    for (const id of this.#spoke.keys()) if (!all.has(id)) this.#spoke.delete(id);
  }

  /** Takes in who speaks, loudest first; first is how many stand on the first page. */
  heard(speaking: readonly string[], first: number, now: number): void {
    this.#speaking = speaking.filter((id) => this.#ids.includes(id));
    for (const id of this.#speaking) {
      this.#spoke.set(id, now);
      const at = this.#ids.indexOf(id);
      if (at < first) continue;
      const last = (i: number): number => this.#spoke.get(this.#ids[i]!) ?? -Infinity;
      let place = Math.min(first, this.#ids.length) - 1;
      for (let i = place - 1; i >= 0; i--) if (last(i) < last(place)) place = i;
      if (place >= 0) [this.#ids[place], this.#ids[at]] = [id, this.#ids[place]!];
    }
  }

  get ids(): readonly string[] {
    return this.#ids;
  }

  /** Who is on the stage now, "" when nobody is there; due: in how many ms to ask again, if the stage should change then. */
  stage(now: number): { id: string; due?: number } {
    const [loudest] = this.#speaking;
    if (!this.#ids.includes(this.#stage)) {
      this.#stage = loudest ?? this.#ids[0] ?? ""; // the one before has left: at once
      this.#since = now;
    } else if (loudest && loudest !== this.#stage) {
      const due = this.#since + dwell - now;
      if (due > 0) return { id: this.#stage, due };
      this.#stage = loudest;
      this.#since = now;
    }
    return { id: this.#stage };
  }
}
