import { MirrorError } from '../error.ts'
import { type Asked, isBulk, type SmallKind } from './asked.ts'
import { Egress, type EgressOptions, type Route } from './egress.ts'
import { type Answer, exchange } from './exchange.ts'
import { Garbled, Unavailable, WrongForm } from './faults.ts'
import { Host, type HostOptions } from './host.ts'
import { LIMITS } from './limits.ts'
import { rangeHeader } from './range.ts'
import { backoff, HTTP_TIMES, type HttpTimes, wait } from './retry.ts'
import { Traffic } from './traffic.ts'
import type { ArtifactBody } from './upstream.ts'
import { followed, type Place, shown } from './url-policy.ts'
import { conditionFor, type Validators, validatorsOf } from './validators.ts'

/** How the client behaves towards its hosts. */
export interface HttpOptions extends Partial<Omit<EgressOptions, 'times'>> {
  /** `crateferry/VERSION (+URL; contact)`: who asks, and how to reach them. */
  readonly userAgent: string
  /** How often one answer is asked for in all. */
  readonly tries?: number
  readonly times?: Partial<HttpTimes>
  /** Hosts (with their port, where it is not the scheme's own) that a redirect may lead to. */
  readonly redirectHosts?: readonly string[]
  /** What these origins, and no host that they redirect to, are told in `Authorization`. */
  readonly token?: { readonly value: string; readonly origins: readonly string[] } | undefined
  /** For each host, over all transfers. */
  readonly requestsPerSecond?: number | undefined
  readonly random?: () => number
  /** What it shares with other clients of this process. */
  readonly traffic?: Traffic
}

/** What is asked for beside the place. */
export interface Request {
  readonly kind: SmallKind
  /** The most that is taken, after decoding. */
  readonly bytesMax: number
  /** The signed length, where there is one. */
  readonly length?: number
  readonly signal: AbortSignal
}

/** A small thing that may have been had before, with what its answer then said of itself. */
export interface Revalidation extends Pick<Request, 'kind' | 'bytesMax' | 'signal'> {
  readonly etag?: string | undefined
  readonly lastModified?: string | undefined
}

/** It is as it was, or it comes anew with what is to be remembered of it. */
export type Revalidated =
  | { readonly isUnchanged: true }
  | ({ readonly isUnchanged: false; readonly bytes: Uint8Array } & Validators)

/** A part of a file, and what it is a part of. */
export interface Part {
  readonly bytes: Uint8Array
  /** The length of the whole file. */
  readonly total: number
  readonly etag: string | undefined
}

type Took = Extract<Answer, { readonly next: 'took' }>
type Settled = Exclude<Answer, { readonly next: 'follow' | 'wait' }>

/**
 * The one polite client: HTTP/1.1 over undici's `dispatch`, never `fetch` (which inflates without
 * limit and takes a cut gzip body for whole) and never interceptors: retry, brake, limits and
 * redirects are here and nowhere else. A client lives as long as a run: what it learns of a host
 * (the brake, that it is gone) holds that long.
 */
export class HttpClient {
  readonly #egress: Egress
  readonly #hosts = new Map<string, Host>()
  readonly #host: HostOptions
  readonly #bulkHeaders: readonly string[]
  readonly #smallHeaders: readonly string[]
  readonly #redirectHosts: readonly string[]
  readonly #token: HttpOptions['token']
  readonly #traffic: Traffic

  constructor(options: HttpOptions) {
    const times = { ...HTTP_TIMES, ...options.times }
    const { userAgent, tries = 3, random = Math.random, requestsPerSecond } = options
    this.#host = { times, tries, random, requestsPerSecond }
    this.#bulkHeaders = ['accept-encoding', 'identity', 'user-agent', userAgent]
    this.#smallHeaders = ['accept-encoding', 'gzip', 'user-agent', userAgent]
    this.#redirectHosts = options.redirectHosts ?? []
    this.#token = options.token
    this.#traffic = options.traffic ?? new Traffic()
    this.#egress = new Egress({ connections: 32, ...options, times })
  }

  /** A small thing, whole; asked for again while that may help. */
  async get(place: Place, { kind, bytesMax, length, signal }: Request): Promise<Uint8Array> {
    const asked = { kind, bytesMax, length, offset: 0 }
    return small(await this.#answered(place, asked, signal)).bytes
  }

  /** The same, and what the clock of the server said, if it did. */
  async dated(
    place: Place,
    { kind, bytesMax, signal }: Request,
  ): Promise<{ readonly bytes: Uint8Array; readonly date: Date | undefined }> {
    const asked = { kind, bytesMax, length: undefined, offset: 0 }
    const { bytes, taken } = small(await this.#answered(place, asked, signal))
    const at = Date.parse(String(taken.headers['date']))
    return { bytes, date: Number.isNaN(at) ? undefined : new Date(at) }
  }

  /**
   * A small thing anew, or that it is unchanged, which is believed only where we asked whether it
   * is: what the validators are of, only the caller knows.
   */
  async revalidate(
    place: Place,
    { kind, bytesMax, etag, lastModified, signal }: Revalidation,
  ): Promise<Revalidated> {
    const condition = conditionFor({ etag, lastModified })
    const asked = { kind, bytesMax, length: undefined, offset: 0, condition }
    const answer = await this.#answered(place, asked, signal)
    if (answer.next === 'unchanged') return { isUnchanged: true }
    const { bytes, taken } = small(answer)
    return { isUnchanged: false, bytes, ...validatorsOf(taken.headers) }
  }

  /**
   * At most `length` bytes of a large file from `offset` on, fewer only at its end. Who reads
   * several hands in the ETag of the first, so that no two files are put together; a server that
   * gives none is not noticed to change its file but by a checksum inside.
   */
  async part(
    place: Place,
    options: {
      readonly offset: number
      readonly length: number
      readonly etag?: string | undefined
      readonly signal: AbortSignal
    },
  ): Promise<Part> {
    const { offset, length, etag, signal } = options
    if (length < 1 || length > LIMITS.partBytes) throw new RangeError(`a part of ${length} bytes`)
    const asked = { kind: 'part', bytesMax: length, length: undefined, offset, etag } as const
    const { bytes, taken } = small(await this.#answered(place, asked, signal))
    return { bytes, total: taken.total ?? bytes.length, etag: validatorsOf(taken.headers).etag }
  }

  /**
   * An artifact from `offset` on, or from 0 where its range cannot be had. One attempt: whoever
   * keeps the bytes knows from where to go on, and waits in `pause` before.
   */
  artifact(
    place: Place,
    { offset, signal }: { readonly offset: number; readonly signal: AbortSignal },
  ): Promise<ArtifactBody> {
    const asked = { kind: 'artifact', bytesMax: LIMITS.artifactBytes, length: undefined } as const
    return this.#body(place, { ...asked, offset }, signal)
  }

  /** The wait after failed attempt 1, 2, …; none after an error that waiting does not mend. */
  async pause(
    attempt: number,
    error: MirrorError,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<void> {
    const { times, random } = this.#host
    if (error.transient) await wait(backoff(attempt, times, random), signal)
  }

  /** Ends what is still under way; nothing is asked for after it. */
  async close(): Promise<void> {
    await this.#egress.destroy()
  }

  async #body(place: Place, asked: Asked, signal: AbortSignal): Promise<ArtifactBody> {
    const answer = await this.#settled(place, asked, signal)
    if (answer.next === 'took') return answer.body
    const whole = await this.#settled(place, { ...asked, offset: 0 }, signal)
    if (whole.next === 'took') return whole.body
    throw new Error('a whole answer to begin again with')
  }

  /** The settled answer of the first try that has one; asked for again while that may help. */
  async #answered(place: Place, asked: Asked, signal: AbortSignal): Promise<Settled> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#settled(place, asked, signal)
      } catch (error) {
        if (!(error instanceof MirrorError) || !error.transient) throw error
        if (attempt >= this.#triesFor(error)) throw error
        await this.pause(attempt, error, { signal })
      }
    }
  }

  /** One answer that is not a redirect and not a plea for patience. */
  async #settled(home: Place, asked: Asked, signal: AbortSignal): Promise<Settled> {
    let place = home
    let redirects = 0
    let waits = 0
    for (;;) {
      const answer = await this.#exchange(place, asked, signal)
      if (answer.next === 'wait') {
        waits += 1
        // The brake counts against the host; this bounds one answer of a host that serves others.
        if (waits >= this.#host.tries) throw new Unavailable(`${answer.why}, ${waits} times`)
      } else if (answer.next === 'follow') {
        redirects += 1
        if (redirects > LIMITS.redirects) {
          const message = `${shown(home)}: more than ${LIMITS.redirects} redirects`
          throw new WrongForm('incomplete', message)
        }
        place = followed(place, answer.location, { home, hosts: this.#redirectHosts })
      } else {
        return answer
      }
    }
  }

  async #exchange(place: Place, asked: Asked, signal: AbortSignal): Promise<Answer> {
    const host = this.#hosts.getOrInsertComputed(
      place.origin,
      origin => new Host(origin, this.#host),
    )
    await host.ready(signal)
    const route = this.#egress.route(place)
    const headers = this.#headersFor(place, asked, route)
    const { times } = this.#host
    const { agent: dispatcher } = this.#egress
    const traffic = this.#traffic
    return exchange(place, asked, { dispatcher, route, host, headers, times, traffic, signal })
  }

  #headersFor({ origin }: Place, asked: Asked, route: Route): readonly string[] {
    const range = rangeHeader(asked)
    return [
      ...(isBulk(asked) ? this.#bulkHeaders : this.#smallHeaders),
      ...(range === undefined ? [] : ['range', range]),
      ...(asked.condition ?? []),
      ...(this.#token?.origins.includes(origin) ? ['authorization', this.#token.value] : []),
      ...(route.headers ?? []),
    ]
  }

  #triesFor(error: MirrorError): number {
    return error instanceof Garbled ? Math.min(2, this.#host.tries) : this.#host.tries
  }
}

/** Of a small answer, which came whole. */
function small(answer: Settled): Took & { readonly bytes: Uint8Array } {
  if (answer.next !== 'took' || !('pieces' in answer.body)) throw new Error('an answer in chunks')
  return { ...answer, bytes: joined(answer.body.pieces) }
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const [first] = pieces
  return pieces.length === 1 && first !== undefined ? first : Buffer.concat(pieces)
}
