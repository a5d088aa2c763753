/**
 * Exponential backoff with full jitter: the n-th wait is uniform in [0, min(cap, base × 2ⁿ)), so that clients which
 * lost one server together do not come back together.
 */
export class Backoff {
  #tries = 0;

  constructor(
    readonly base = 300, // ms: a wait nobody notices
    readonly cap = 8_000, // ms: a user who got the network back is not left waiting
    readonly random: () => number = Math.random,
  ) {}

  /** Milliseconds to wait before the next try. */
  next(): number {
    return this.random() * Math.min(this.cap, this.base * 2 ** this.#tries++);
  }

  /** Forget the failures: something worked. */
  reset(): void {
    this.#tries = 0;
  }
}
