import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { Pace } from './pace.ts'
import { answerFrom, deliver, type Fault } from './upstream-faults.ts'

/**
 * A loopback upstream: an honest static server (keep-alive, lengths, ranges) over a folder that
 * looks like a mirror's `public/`, which does wrong what a test asks for.
 *
 *     await using upstream = await serveFolder(join(mirror, 'public'))
 *     upstream.misbehave(/\.crate$/, { kind: 'cut', at: 0.6 }, { times: 1 })
 *     … sync from upstream.url …
 *     expect(upstream.requests.count(/\.crate$/)).toBe(2)
 *
 * `upstream-faults.ts` says what it can do wrong.
 */
export async function serveFolder(folder: string): Promise<LoopbackUpstream> {
  const upstream = new LoopbackUpstream(folder)
  await upstream.comeBack()
  return upstream
}

/** A request as it came. `path` is as sent, percent signs and query included. */
export interface SeenRequest {
  readonly method: string
  readonly path: string
  /** The Range header, which says what was resumed. */
  readonly range: string | undefined
}

/** All requests in the order they came. */
export class RequestLog extends Array<SeenRequest> {
  /** What `filter` and `map` make of it are plain lists. */
  static override get [Symbol.species](): ArrayConstructor {
    return Array
  }

  count(pattern: RegExp): number {
    return this.filter(({ path }) => matches(path, pattern)).length
  }

  clear(): void {
    this.length = 0
  }
}

/** A fault in force. */
interface Rule {
  readonly pattern: RegExp
  readonly fault: Fault
  readonly pace: Pace | undefined
  /** Matching requests still to be answered well, and then badly. */
  skip: number
  left: number
}

export class LoopbackUpstream implements AsyncDisposable {
  /** What is served; may be changed at any time, for an older state or a newer one. */
  folder: string
  readonly requests: RequestLog = new RequestLog()
  readonly #server: Server
  readonly #sockets: Socket[] = []
  #rules: Rule[] = []
  #pace: Pace | undefined
  #port = 0

  constructor(folder: string) {
    this.folder = folder
    this.#server = createServer((request, response) => {
      this.#answer(request, response).catch(error => response.destroy(error))
    })
    this.#server.on('connection', socket => this.#sockets.push(socket))
  }

  /** Ends in `/`; the same for the life of the upstream, be it here or away. */
  get url(): string {
    return `http://127.0.0.1:${this.#port}/`
  }

  /** Raw bytes, heads included, over all connections. */
  get bytesSent(): number {
    return this.#sockets.reduce((sum, socket) => sum + socket.bytesWritten, 0)
  }

  /** Connections opened so far. */
  get connections(): number {
    return this.#sockets.length
  }

  /**
   * From now on answers requests whose path matches with a fault: every one, or the next `times`,
   * after the next `skip` were answered well. Of rules that match the first not used up decides.
   */
  misbehave(
    pattern: RegExp,
    fault: Fault,
    { times = Number.POSITIVE_INFINITY, skip = 0 }: { times?: number; skip?: number } = {},
  ): void {
    const pace = fault.kind === 'slow' ? new Pace(fault.bytesPerSecond) : undefined
    this.#rules.push({ pattern, fault, pace, skip, left: times })
  }

  /** Forgets all faults; what is under way goes on as it began. */
  behave(): void {
    this.#rules = []
  }

  /** A rate that all bodies share from their next request on, as on a thin line; undefined: none. */
  throttle(bytesPerSecond: number | undefined): void {
    this.#pace = bytesPerSecond === undefined ? undefined : new Pace(bytesPerSecond)
  }

  /** Dies: every connection is cut, new ones are refused. */
  async goAway(): Promise<void> {
    if (!this.#server.listening) return
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    await closed
  }

  /** Listens under the same URL again. */
  async comeBack(): Promise<void> {
    this.#server.listen(this.#port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.#port = (this.#server.address() as AddressInfo).port
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.goAway()
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url: path = '' } = request
    const { range } = request.headers
    this.requests.push({ method, path, range })
    const rule = this.#ruleFor(path)
    const paces = [this.#pace, rule?.pace].filter(pace => pace !== undefined)
    const fault = rule?.fault
    const answer = await answerFrom(this.folder, { path, range }, fault)
    await deliver(response, answer, { fault, paces })
  }

  #ruleFor(path: string): Rule | undefined {
    const rule = this.#rules.find(({ pattern, left }) => left > 0 && matches(path, pattern))
    if (rule === undefined) return undefined
    if (rule.skip > 0) {
      rule.skip -= 1
      return undefined
    }
    rule.left -= 1
    return rule
  }
}

/** `search` and not `test`, which remembers where a pattern with a flag `g` left off. */
function matches(path: string, pattern: RegExp): boolean {
  return path.search(pattern) !== -1
}
