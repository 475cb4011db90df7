import type { Dispatcher } from 'undici'
import type { MirrorError } from '../error.ts'
import { Aborts } from './aborts.ts'
import { judge, type Taken, type Verdict } from './answer.ts'
import { type Asked, isBulk, tooLong, wrongLength } from './asked.ts'
import { Chunks, type Decode, type Sink, Whole } from './body.ts'
import type { Route } from './egress.ts'
import { Garbled, TransferCut, WrongForm } from './faults.ts'
import { gunzip } from './gzip.ts'
import type { Host } from './host.ts'
import { LIMITS } from './limits.ts'
import { refusedBy } from './proxy.ts'
import type { HttpTimes } from './retry.ts'
import type { Traffic } from './traffic.ts'
import type { ArtifactBody } from './upstream.ts'
import { type Place, shown } from './url-policy.ts'
import { isSocketClosed, named } from './wire-errors.ts'

/** What one exchange brings: a body, or what to do instead. */
export type Answer =
  | Exclude<Verdict, Taken>
  | { readonly next: 'took'; readonly body: ArtifactBody; readonly taken: Taken }

/** What an exchange works with. `headers` is flat: name, value, name, value. */
export interface ExchangeOptions {
  readonly dispatcher: Dispatcher
  readonly route: Route
  readonly host: Host
  readonly headers: readonly string[]
  readonly times: HttpTimes
  readonly traffic: Traffic
  readonly signal: AbortSignal
}

/** One request and its answer on one connection; how it went is told to the host. */
export function exchange(place: Place, asked: Asked, options: ExchangeOptions): Promise<Answer> {
  return new Promise((resolve, reject) => {
    new Exchange(place, asked, { ...options, resolve, reject }).begin()
  })
}

const aborts = new Aborts()

interface Settling {
  resolve(answer: Answer): void
  reject(error: unknown): void
}

type Controller = Dispatcher.DispatchController
type Headers = Parameters<NonNullable<Dispatcher.DispatchHandler['onResponseStart']>>[2]

/** Undici's view of an exchange; it calls nothing more after `onResponseEnd` or `onResponseError`. */
class Exchange implements Dispatcher.DispatchHandler {
  readonly #place: Place
  readonly #asked: Asked
  readonly #options: ExchangeOptions & Settling
  readonly #onAbort = (): void => this.#giveUp(this.#options.signal.reason)
  #begun = 0
  #isFreeRetryLeft: boolean
  #timer: NodeJS.Timeout | undefined
  /** While our own rate holds this body back. */
  #brake: NodeJS.Timeout | undefined
  /** How many hold it back: its reader, the rate. */
  #holds = 0
  /** Undefined until a connection is ours. */
  #controller: Controller | undefined
  #isAnswerBegun = false
  #hasHead = false
  /** Both undefined until a head is judged, and for a body that is of no use. */
  #taken: Taken | undefined
  #sink: Sink | undefined
  #received = 0
  #receivedBefore = 0
  /** Whether our own reader held the sender back at any time in this window. */
  #wasHeldBack = false
  /** Whoever asked has its answer; a body of no use may still come. */
  #isSettled = false

  constructor(place: Place, asked: Asked, options: ExchangeOptions & Settling) {
    this.#place = place
    this.#asked = asked
    this.#options = options
    this.#isFreeRetryLeft = options.host.hasServed
  }

  begin(): void {
    const { dispatcher, route, headers, times, signal } = this.#options
    this.#begun = performance.now()
    if (signal.aborted) {
      this.#giveUp(signal.reason)
      return
    }
    aborts.add(signal, this.#onAbort)
    dispatcher.dispatch(
      {
        origin: route.origin,
        path: route.path,
        method: 'GET',
        headers: headers as string[],
        headersTimeout: times.headersMs,
        bodyTimeout: times.bodyMs,
      },
      this,
    )
  }

  onRequestStart(controller: Controller): void {
    this.#controller = controller
    if (this.#isSettled) {
      controller.abort(new Error('given up while waiting for a connection'))
      return
    }
    this.#begun = performance.now()
    this.#watch()
  }

  onResponseStarted(): void {
    this.#isAnswerBegun = true
  }

  onResponseStart(controller: Controller, status: number, headers: Headers): void {
    // Interim answers say nothing; that they do not go on for ever is for the watch to see.
    if (status < 200) return
    const { proxy } = this.#options.route
    if (status === 407 && proxy !== undefined) {
      controller.abort(refusedBy(proxy, new URL(this.#place.origin).host, status))
      return
    }
    this.#hasHead = true
    this.#options.host.answered()
    try {
      this.#follow(judge({ status, headers }, this.#asked, this.#place, new Date()))
    } catch (error) {
      if (status < 300) controller.abort(error as Error)
      else this.#settleWithout(error as MirrorError)
    }
  }

  onResponseData(controller: Controller, chunk: Buffer): void {
    this.#received += chunk.length
    this.#options.traffic.took(chunk.length)
    if (this.#taken === undefined) {
      if (this.#received > LIMITS.discardedBytes) controller.abort(new Error('of no use'))
    } else if (this.#received > this.#taken.wireBytesMax) {
      controller.abort(this.#tooMuch(this.#taken))
    } else {
      this.#sink?.take(chunk)
      this.#slowDown()
    }
  }

  onResponseEnd(): void {
    this.#finish()
  }

  onResponseError(_controller: Controller, error: Error): void {
    if (this.#isSettled) this.#close()
    else if (this.#isStale(error)) this.#beginAgain()
    else if (this.#isAllHere()) this.#finish()
    else this.#fail(error)
  }

  #follow(verdict: Verdict): void {
    const { host, resolve } = this.#options
    if (verdict.next === 'take') {
      this.#taken = verdict
      this.#sink = this.#sinkFor(verdict)
      return
    }
    this.#isSettled = true
    if (verdict.next === 'wait') host.brake(this.#begun, verdict)
    else host.served()
    resolve(verdict)
  }

  #sinkFor(taken: Taken): Sink {
    const { resolve, reject } = this.#options
    const { offset, length, isGzip } = taken
    const isArtifact = this.#asked.kind === 'artifact'
    if (!isArtifact || (length !== undefined && length <= LIMITS.wholeBytes)) {
      const took = (body: ArtifactBody): void => resolve({ next: 'took', body, taken })
      const decode = isGzip ? this.#gunzip : undefined
      return new Whole({ resolve: took, reject }, { offset, keepsCut: isArtifact, decode })
    }
    const chunks = new Chunks({
      pause: () => this.#hold(),
      resume: () => this.#release(),
      abort: () => this.#giveUp(new Error('the reader left')),
    })
    resolve({ next: 'took', body: { offset, chunks }, taken })
    return chunks
  }

  #slowDown(): void {
    if (this.#brake !== undefined) return
    const ms = this.#options.traffic.heldMs(performance.now())
    if (ms === 0) return
    this.#hold()
    this.#brake = setTimeout(() => this.#goOn(), ms)
  }

  #goOn(): void {
    this.#brake = undefined
    this.#slowDown()
    this.#release()
  }

  #hold(): void {
    this.#wasHeldBack = true
    this.#holds += 1
    if (this.#holds === 1) this.#controller?.pause()
  }

  #release(): void {
    this.#holds -= 1
    if (this.#holds === 0) this.#controller?.resume()
  }

  readonly #gunzip: Decode = pieces => {
    const bytes = gunzip(Buffer.concat(pieces), this.#asked, this.#place)
    return bytes instanceof Uint8Array ? [bytes] : bytes
  }

  /** An answer that is an error but no damage: its body is thrown away, its connection kept. */
  #settleWithout(error: MirrorError): void {
    const { host, reject } = this.#options
    this.#isSettled = true
    if (error.transient) {
      reject(host.failed(this.#begun, error))
    } else {
      host.served()
      reject(error)
    }
  }

  /** The last byte came: the body is whole and handed over, or of no use. */
  #finish(): void {
    const fault = this.#missing() ?? this.#sink?.end()
    if (fault !== undefined) {
      this.#fail(fault)
      return
    }
    this.#close()
    if (this.#taken === undefined) return
    this.#isSettled = true
    this.#options.host.served()
  }

  #fail(cause: Error): void {
    const { host } = this.#options
    const isConnected = this.#controller !== undefined
    const at = { isConnected, hasHead: this.#hasHead, received: this.#received }
    const error = named(cause, this.#asked, this.#place, at)
    const isAnswered = this.#hasHead || error instanceof Garbled || error instanceof WrongForm
    this.#end(isAnswered ? host.failed(this.#begun, error) : host.unanswered(this.#begun, error))
  }

  /** An abort, or a reader that left: nobody's fault. */
  #giveUp(reason: unknown): void {
    if (this.#isSettled) return
    this.#end(reason)
    this.#controller?.abort(new Error('given up'))
  }

  #end(error: unknown): void {
    if (this.#isSettled) return
    this.#isSettled = true
    this.#close()
    if (this.#sink === undefined) this.#options.reject(error)
    else this.#sink.fail(error)
  }

  #close(): void {
    clearTimeout(this.#timer)
    clearTimeout(this.#brake)
    aborts.remove(this.#options.signal, this.#onAbort)
  }

  #tooMuch({ exact }: Taken): MirrorError {
    if (exact === undefined) return tooLong(this.#asked, this.#place)
    return wrongLength(this.#asked, this.#place, { expected: exact, found: 'more' })
  }

  /** What a body of known length lacks at its end; a framed one of another length is no cut. */
  #missing(): MirrorError | undefined {
    const { exact, isFramed } = this.#taken ?? {}
    const found = this.#received
    if (exact === undefined || found === exact) return undefined
    if (isFramed) return wrongLength(this.#asked, this.#place, { expected: exact, found })
    return new TransferCut(`${shown(this.#place)}: cut after ${found} of ${exact} bytes`)
  }

  /** A body without frame is whole at its known length, however its connection ended. */
  #isAllHere(): boolean {
    return this.#taken?.isFramed === false && this.#received === this.#taken.exact
  }

  /** A kept connection that the server was just closing: asked once more, free (RFC 9112 9.3.1). */
  #isStale(error: Error): boolean {
    const isUntouched = this.#controller !== undefined && !this.#isAnswerBegun
    return this.#isFreeRetryLeft && isUntouched && !this.#isSettled && isSocketClosed(error)
  }

  #beginAgain(): void {
    this.#isFreeRetryLeft = false
    this.#controller = undefined
    this.#close()
    this.begin()
  }

  /** Undici times each silence; this times the whole, or for bulk the rate, head included. */
  #watch(): void {
    const { requestMs, floorWindowMs } = this.#options.times
    this.#timer = isBulk(this.#asked)
      ? setInterval(() => this.#checkRate(), floorWindowMs)
      : setTimeout(() => this.#tooSlow(`took longer than ${requestMs / 1000} s`), requestMs)
  }

  #checkRate(): void {
    const { floorBytesPerSecond, floorWindowMs } = this.#options.times
    const came = this.#received - this.#receivedBefore
    const isReaderSlow = this.#wasHeldBack
    this.#receivedBefore = this.#received
    this.#wasHeldBack = this.#controller?.paused ?? false
    // Held back by our own reader: the sender is not to blame.
    if (isReaderSlow) return
    if (came * 1000 >= floorBytesPerSecond * floorWindowMs) this.#options.host.served()
    else
      this.#tooSlow(
        `${came} bytes in ${floorWindowMs / 1000} s, expected ${floorBytesPerSecond} a second`,
      )
  }

  #tooSlow(why: string): void {
    this.#controller?.abort(new TransferCut(`${shown(this.#place)}: ${why}`))
  }
}
