import { Agent } from 'undici'
import { MirrorError } from '../error.ts'
import type { Asked } from './answer.ts'
import { type Answer, exchange } from './exchange.ts'
import { Garbled, Unavailable, WrongForm } from './faults.ts'
import { Host, type HostOptions } from './host.ts'
import { LIMITS } from './limits.ts'
import { backoff, HTTP_TIMES, type HttpTimes, wait } from './retry.ts'
import type { ArtifactBody } from './upstream.ts'
import { followed, type Place, shown } from './url-policy.ts'

/** How the client behaves towards its hosts. */
export interface HttpOptions {
  /** `crateferry/VERSION (+URL; contact)`: who asks, and how to reach them. */
  readonly userAgent: string
  readonly connections?: number
  /** How often one answer is asked for in all. */
  readonly tries?: number
  readonly times?: Partial<HttpTimes>
  /** Hosts (with their port, where it is not the scheme's own) that a redirect may lead to. */
  readonly redirectHosts?: readonly string[]
  readonly random?: () => number
}

/** What is asked for beside the place. */
export interface Request {
  readonly kind: Exclude<Asked['kind'], 'artifact'>
  readonly bytesMax: number
  /** The signed length, where there is one. */
  readonly length?: number
  readonly signal: AbortSignal
}

/**
 * The one polite client: HTTP/1.1 over undici's `dispatch`, never `fetch` (which inflates without
 * limit and takes a cut gzip body for whole) and never interceptors: retry, brake, limits and
 * redirects are here and nowhere else. A client lives as long as a run: what it learns of a host
 * (the brake, that it is gone) holds that long.
 */
export class HttpClient {
  readonly #agent: Agent
  readonly #hosts = new Map<string, Host>()
  readonly #host: HostOptions
  readonly #headers: readonly string[]
  readonly #redirectHosts: readonly string[]

  constructor(options: HttpOptions) {
    const times = { ...HTTP_TIMES, ...options.times }
    this.#host = { times, tries: options.tries ?? 3, random: options.random ?? Math.random }
    this.#headers = ['accept-encoding', 'identity', 'user-agent', options.userAgent]
    this.#redirectHosts = options.redirectHosts ?? []
    this.#agent = new Agent({
      allowH2: false,
      connections: options.connections ?? 32,
      pipelining: 1,
      connect: { timeout: times.connectMs },
      headersTimeout: times.headersMs,
      bodyTimeout: times.bodyMs,
      keepAliveTimeout: 4000,
      maxHeaderSize: LIMITS.headerBytes,
      maxResponseSize: LIMITS.artifactBytes,
    })
  }

  /** A small thing, whole; asked for again while that may help. */
  async get(place: Place, { kind, bytesMax, length, signal }: Request): Promise<Uint8Array> {
    const asked = { kind, bytesMax, length, offset: 0 }
    for (let attempt = 1; ; attempt += 1) {
      try {
        const body = await this.#body(place, asked, signal)
        if ('pieces' in body) return joined(body.pieces)
        throw new Error(`${kind} in chunks`)
      } catch (error) {
        if (!(error instanceof MirrorError) || !error.transient) throw error
        if (attempt >= this.#triesFor(error)) throw error
        await this.pause(attempt, error, { signal })
      }
    }
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
    await this.#agent.destroy()
  }

  async #body(place: Place, asked: Asked, signal: AbortSignal): Promise<ArtifactBody> {
    const answer = await this.#settled(place, asked, signal)
    if (answer.next === 'took') return answer.body
    const whole = await this.#settled(place, { ...asked, offset: 0 }, signal)
    if (whole.next === 'took') return whole.body
    throw new Error('a whole answer to begin again with')
  }

  /** One answer that is not a redirect and not a plea for patience. */
  async #settled(
    home: Place,
    asked: Asked,
    signal: AbortSignal,
  ): Promise<Extract<Answer, { readonly next: 'took' | 'restart' }>> {
    let place = home
    let redirects = 0
    let waits = 0
    for (;;) {
      const answer = await this.#exchange(place, asked, signal)
      if (answer.next === 'took' || answer.next === 'restart') return answer
      if (answer.next === 'wait') {
        waits += 1
        // The brake counts against the host; this bounds one answer of a host that serves others.
        if (waits >= this.#host.tries) throw new Unavailable(`${answer.why}, ${waits} times`)
      } else {
        redirects += 1
        if (redirects > LIMITS.redirects) {
          const message = `${shown(home)}: more than ${LIMITS.redirects} redirects`
          throw new WrongForm('incomplete', message)
        }
        place = followed(place, answer.location, { home, hosts: this.#redirectHosts })
      }
    }
  }

  async #exchange(place: Place, asked: Asked, signal: AbortSignal): Promise<Answer> {
    const host = this.#hosts.getOrInsertComputed(
      place.origin,
      origin => new Host(origin, this.#host),
    )
    await host.ready(signal)
    const { offset } = asked
    const headers = offset === 0 ? this.#headers : [...this.#headers, 'range', `bytes=${offset}-`]
    const { times } = this.#host
    return exchange(place, asked, { agent: this.#agent, host, headers, times, signal })
  }

  #triesFor(error: MirrorError): number {
    return error instanceof Garbled ? Math.min(2, this.#host.tries) : this.#host.tries
  }
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const [first] = pieces
  return pieces.length === 1 && first !== undefined ? first : Buffer.concat(pieces)
}
