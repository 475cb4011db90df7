import type { MirrorError } from '../error.ts'
import { HostGone } from './faults.ts'
import { RequestRate } from './request-rate.ts'
import { backoff, type HttpTimes, wait } from './retry.ts'

/** What a host needs to know to judge itself. */
export interface HostOptions {
  readonly tries: number
  readonly times: HttpTimes
  readonly random: () => number
  /** So many requests are begun at most; undefined: as many as there are. */
  readonly requestsPerSecond?: number | undefined
}

/**
 * What all requests to one host share: the brake that a 429 or 503 sets, and whether the host still
 * serves at all. A crate may be judged only while its host serves others; a host that answers
 * nobody in `tries` rounds, or completes nothing in the time that a crate's tries can take twice,
 * is gone for this run: so a sync whose upstream hangs ends within minutes.
 */
export class Host {
  readonly #origin: string
  readonly #options: HostOptions
  #gone: HostGone | undefined
  #brakedUntil = 0
  #brakes = 0
  #silences = 0
  #answeredAt = Number.NEGATIVE_INFINITY
  #troubleSince: number | undefined
  readonly #rate: RequestRate | undefined
  /** Whether an answer was ever completed: only then can a socket be one that was used before. */
  hasServed = false

  constructor(origin: string, options: HostOptions) {
    this.#origin = origin
    this.#options = options
    const { requestsPerSecond } = options
    if (requestsPerSecond !== undefined) this.#rate = new RequestRate(requestsPerSecond)
  }

  /** Waits until this request may go; throws where the host is done. */
  async ready(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    await this.#unbraked(signal)
    if (this.#rate === undefined) return
    const ms = this.#rate.take(performance.now())
    // a timer knows no less
    if (ms >= 1) await wait(ms, signal)
    // a brake that was set meanwhile holds this one too
    await this.#unbraked(signal)
  }

  /** The head of an answer came, whatever it says. */
  answered(): void {
    this.#answeredAt = performance.now()
    this.#silences = 0
  }

  /** An answer is complete, or its body comes at a fair rate. */
  served(): void {
    this.hasServed = true
    this.#brakes = 0
    this.#troubleSince = undefined
  }

  /** The host asked for patience (429, 503 with Retry-After), which counts against it, not the answer. */
  brake(begun: number, options: { readonly ms: number; readonly why: string }): void {
    const { times, tries } = this.#options
    if (options.ms > times.retryAfterMsMax) {
      const seconds = Math.ceil(options.ms / 1000)
      this.#leave(
        `${options.why} and asks to wait ${seconds} s, at most ${times.retryAfterMsMax / 1000} s are waited`,
      )
    } else if (begun >= this.#brakedUntil) {
      this.#brakes += 1
      if (this.#brakes >= tries) this.#leave(`${options.why}, ${tries} times in a row`)
      else this.#pause(this.#brakes, options.ms)
    }
  }

  /** A try without an answer, begun then: the error to throw, which may be that the host is gone. */
  unanswered(begun: number, error: MirrorError): MirrorError {
    // somebody on the way knows that no other try will help
    if (error instanceof HostGone) {
      this.#gone ??= error
      return this.#gone
    }
    // Requests that were under way together fail together: one round, one count.
    if (this.#answeredAt >= begun || begun < this.#brakedUntil) return this.failed(begun, error)
    this.#silences += 1
    if (this.#silences >= this.#options.tries) {
      return this.#leave(`${error.message}; nothing was answered in ${this.#silences} tries`, error)
    }
    this.#pause(this.#silences, 0)
    return this.failed(begun, error)
  }

  /** A try that failed after its answer began. */
  failed(begun: number, error: MirrorError): MirrorError {
    this.#troubleSince ??= begun
    const ms = performance.now() - this.#troubleSince
    if (ms < this.#patienceMs()) return this.#gone ?? error
    return this.#leave(
      `${error.message}; nothing was completed in ${Math.round(ms / 1000)} s`,
      error,
    )
  }

  /** Woken one after another. */
  async #unbraked(signal: AbortSignal): Promise<void> {
    for (let left = this.#left(); left > 0; left = this.#left()) {
      await wait(left + this.#options.random() * this.#options.times.backoffMs, signal)
    }
    if (this.#gone !== undefined) throw this.#gone
  }

  #left(): number {
    return this.#gone === undefined ? this.#brakedUntil - performance.now() : 0
  }

  #pause(round: number, ms: number): void {
    const { times, random } = this.#options
    this.#brakedUntil = performance.now() + Math.max(ms, backoff(round, times, random))
  }

  #patienceMs(): number {
    const { times, tries } = this.#options
    return 2 * tries * Math.max(times.requestMs, times.headersMs, times.bodyMs, times.floorWindowMs)
  }

  #leave(why: string, cause?: unknown): HostGone {
    this.#gone ??= new HostGone(`${this.#origin} is done for this run: ${why}`, cause)
    return this.#gone
  }
}
