/** How long a reader is held back at a time before it looks again: a timetable may change meanwhile. */
const LOOK_MS = 500
/** What may come at once: less makes many small stops, more makes the rate uneven. */
const BURST_MS = 200

/**
 * What all transfers of a process have in common: how many bytes came, and how many a second may
 * come. Over the rate nobody reads for a while, so TCP tells the senders to wait.
 */
export class Traffic {
  readonly #rate: () => number | undefined
  /** Bytes that came and that the rate has not yet paid for. */
  #debt = 0
  #paidAt = 0
  /** Bytes of bodies, as they came over the wire. */
  received = 0

  /** `rate`: bytes a second at this moment; undefined: as many as come. */
  constructor(rate: () => number | undefined = () => undefined) {
    this.#rate = rate
  }

  took(bytes: number): void {
    this.received += bytes
    if (this.#rate() !== undefined) this.#debt += bytes
  }

  /** Milliseconds to hold a reader back before asking again, 0: it may read on. `now` is monotonic. */
  heldMs(now: number): number {
    const rate = this.#rate()
    const elapsed = now - this.#paidAt
    this.#paidAt = now
    if (rate === undefined) {
      this.#debt = 0
      return 0
    }
    this.#debt = Math.max(0, this.#debt - (elapsed * rate) / 1000)
    const ms = (this.#debt * 1000) / rate
    return ms <= BURST_MS ? 0 : Math.min(LOOK_MS, ms - BURST_MS / 2)
  }
}
