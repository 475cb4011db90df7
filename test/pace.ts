import { setTimeout as sleep } from 'node:timers/promises'

/** A rate that several senders share: each piece waits for its place on one line of time. */
export class Pace {
  /** A piece of this size is sent at once: about twenty a second, so that a rate feels like one. */
  readonly pieceBytes: number
  readonly #bytesPerSecond: number
  #freeAt = 0

  constructor(bytesPerSecond: number) {
    this.#bytesPerSecond = bytesPerSecond
    this.pieceBytes = Math.max(1, Math.floor(bytesPerSecond / 20))
  }

  /** Returns when so many bytes may go. */
  async take(bytes: number): Promise<void> {
    const now = performance.now()
    const at = Math.max(now, this.#freeAt)
    this.#freeAt = at + (bytes / this.#bytesPerSecond) * 1000
    await sleep(this.#freeAt - now)
  }
}
