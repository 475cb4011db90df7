/**
 * At most so many requests a second, evenly: each is given the next free instant, so there are no
 * bursts at all, however many transfers wait. The instant of one that gave up is not handed on.
 */
export class RequestRate {
  readonly #intervalMs: number
  #nextAt = 0

  constructor(perSecond: number) {
    this.#intervalMs = 1000 / perSecond
  }

  /** How long the next request waits, from `now` on the monotonic clock. */
  take(now: number): number {
    const at = Math.max(now, this.#nextAt)
    this.#nextAt = at + this.#intervalMs
    return at - now
  }
}
