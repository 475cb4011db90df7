import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { CratesIoModel } from './crates-io-model.ts'
import { dumpZip } from './dump.ts'
import { advisoriesXml, cratesXml, updatesXml } from './feeds.ts'
import { RequestLog } from './upstream.ts'
import { type Answer, deliver, type Fault, spoiled } from './upstream-faults.ts'

/**
 * A stand-in for crates.io on loopback: its sparse index, downloads, feeds, dump, and RustSec's
 * advisories, with the headers and status codes of the real hosts, on a clock that the test moves.
 *
 *     await using registry = await CratesIo.start({ now: new Date('2026-03-01T00:00:00Z') })
 *     registry.publish('serde', '1.0.0')
 *     registry.advance(86_400_000)
 *     registry.misbehave(/^\/static\/crates\//, { kind: 'cut', at: 0.5 }, { times: 1 })
 */
export class CratesIo extends CratesIoModel implements AsyncDisposable {
  readonly requests: RequestLog = new RequestLog()
  readonly agents: Set<string> = new Set()
  readonly #server: Server
  #rules: { readonly pattern: RegExp; readonly fault: Fault; skip: number; left: number }[] = []
  #staleMs = 0
  #isPortal = false
  readonly #token: string | undefined
  #port = 0
  #dump: { readonly day: string; readonly bytes: Promise<Buffer> } | undefined

  /** With a token it answers whoever does not tell it as private registries do. */
  static async start(
    options: { readonly now?: Date; readonly token?: string } = {},
  ): Promise<CratesIo> {
    const registry = new CratesIo(options.now ?? new Date(), options.token)
    await registry.comeBack()
    return registry
  }

  /** Filled from a plain directory: `index/` and `crates/NAME/NAME-VERSION.crate`. */
  fill(folder: string): void {
    for (const entry of readdirSync(join(folder, 'index'), {
      recursive: true,
      withFileTypes: true,
    })) {
      if (!entry.isFile() || entry.name === 'config.json') continue
      const text = readFileSync(join(entry.parentPath, entry.name), 'utf8')
      for (const one of text.trimEnd().split('\n')) {
        const line = JSON.parse(one) as Record<string, unknown> & { name: string; vers: string }
        const file = join(folder, 'crates', line.name, `${line.name}-${line.vers}.crate`)
        this.add(line.name, { version: line.vers, line, bytes: readFileSync(file) })
      }
    }
  }

  private constructor(now: Date, token: string | undefined) {
    super(now)
    this.#token = token
    this.#server = createServer((request, response) => {
      this.#serve(request, response).catch(error => response.destroy(error))
    })
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/`
  }
  get index(): string {
    return `${this.url}index/`
  }
  get feeds(): string {
    return `${this.url}static/rss/`
  }
  get dump(): string {
    return `${this.url}static/db-dump.zip`
  }
  get advisoriesFeed(): string {
    return `${this.url}advisories/feed.xml`
  }

  /** As `LoopbackUpstream.misbehave`. */
  misbehave(
    pattern: RegExp,
    fault: Fault,
    { times = Number.POSITIVE_INFINITY, skip = 0 }: { times?: number; skip?: number } = {},
  ): void {
    this.#rules.push({ pattern, fault, skip, left: times })
  }

  behave(): void {
    this.#rules = []
  }

  /** From now on a CDN answers with index files that are so old; 0: with the newest. */
  stale(minutes: number): void {
    this.#staleMs = minutes * 60_000
  }

  /** One page for every request, with 200. */
  captivePortal(isOn: boolean): void {
    this.#isPortal = isOn
  }

  async goAway(): Promise<void> {
    if (!this.#server.listening) return
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    await closed
  }

  async comeBack(): Promise<void> {
    this.#server.listen(this.#port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.#port = (this.#server.address() as AddressInfo).port
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.goAway()
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '', url: path = '', headers } = request
    this.requests.push({ method, path, range: headers.range })
    this.agents.add(headers['user-agent'] ?? '')
    const fault = this.#isPortal ? ({ kind: 'page' } as const) : this.#faultFor(path)
    const honest = await this.#answer(method, path, headers)
    await deliver(response, spoiled(honest, fault), { fault, paces: [] })
  }

  #faultFor(path: string): Fault | undefined {
    const rule = this.#rules.find(({ pattern, left }) => left > 0 && path.search(pattern) !== -1)
    if (rule === undefined) return undefined
    if (rule.skip > 0) {
      rule.skip -= 1
      return undefined
    }
    rule.left -= 1
    return rule.fault
  }

  async #answer(
    method: string,
    path: string,
    headers: IncomingMessage['headers'],
  ): Promise<Answer> {
    if (method !== 'GET' && method !== 'HEAD') return plain(401, 'Unauthorized')
    if (this.#token !== undefined && headers.authorization !== this.#token) {
      return { ...plain(401, 'who are you?\n'), headers: { 'www-authenticate': 'Cargo' } }
    }
    const [, room = '', ...rest] = path.split('/')
    const name = rest.join('/')
    if (room === 'index') return this.#indexAnswer(name, headers)
    if (room === 'advisories') {
      return conditional(xml(advisoriesXml(this.advisories, this.now)), headers)
    }
    if (room === 'dump') return ranged(await this.#dumpBytes(), headers)
    if (room !== 'static') return plain(403, 'this is the API, which is not for bulk\n')
    if (name === 'rss/updates.xml')
      return conditional(xml(updatesXml(this.#recent('updates'))), headers)
    if (name === 'rss/crates.xml') return conditional(xml(cratesXml(this.#recent('news'))), headers)
    if (name === 'db-dump.zip') {
      return { ...plain(307, ''), headers: { location: `${this.url}dump/db-dump.zip` } }
    }
    return this.#download(name, headers)
  }

  #indexAnswer(name: string, headers: IncomingMessage['headers']): Answer {
    if (name === 'config.json') {
      const config = { dl: `${this.url}static/crates`, api: `${this.url}api` }
      return plain(200, JSON.stringify(config))
    }
    const file = this.indexFile(name, this.#staleMs)
    if (file === undefined) return plain(404, 'not found\n')
    const answer = {
      status: 200,
      headers: {
        'content-type': 'text/plain',
        'cache-control': 'public,max-age=600',
        etag: file.etag,
        'last-modified': file.since.toUTCString(),
      },
      body: file.bytes,
    }
    return conditional(answer, headers)
  }

  /** Both forms of the URL; a `+` comes literally or as `%2B`; what is missing is 403, as S3 has it. */
  #download(name: string, headers: IncomingMessage['headers']): Answer {
    const [crates, crate = '', file = '', download] = name.replaceAll('%2B', '+').split('/')
    const version = download === 'download' ? file : file.slice(crate.length + 1, -'.crate'.length)
    const isForm = download === 'download' || file === `${crate}-${version}.crate`
    const bytes = crates === 'crates' && isForm ? this.artifact(crate, version) : undefined
    if (bytes === undefined) return plain(403, '<Error><Code>AccessDenied</Code></Error>')
    const answer = ranged(bytes, headers)
    const more = {
      'content-type': 'application/gzip',
      'cache-control': 'public,max-age=31536000,immutable',
    }
    return { ...answer, headers: { ...answer.headers, ...more } }
  }

  /** What is in a feed: an hour, and at least so many. */
  #recent<Which extends 'updates' | 'news'>(which: Which): CratesIoModel[Which] {
    const least = which === 'updates' ? 100 : 50
    const since = this.now.getTime() - 3_600_000
    const all = this[which]
    return all.filter(
      ({ at }, index) => index < least || at.getTime() >= since,
    ) as CratesIoModel[Which]
  }

  async #dumpBytes(): Promise<Buffer> {
    const day = this.now.toISOString().slice(0, 10)
    if (this.#dump?.day !== day) {
      const crates = this.names().map(name => ({ name }))
      const deleted = this.deleted.map(({ name, at }) => ({ name, deletedAt: at.toISOString() }))
      this.#dump = { day, bytes: dumpZip({ crates, deleted }) }
    }
    return await this.#dump.bytes
  }
}

function plain(status: number, text: string): Answer {
  return { status, headers: {}, body: Buffer.from(text) }
}

function xml(text: string): Answer {
  return { status: 200, headers: { 'content-type': 'text/xml' }, body: Buffer.from(text) }
}

/** 304 where the client's copy is this one; a feed's ETag is made of its bytes. */
function conditional(answer: Answer, asked: IncomingMessage['headers']): Answer {
  const etag = answer.headers['etag'] ?? `"${answer.body.length}-${hashOf(answer.body)}"`
  const { 'if-none-match': match, 'if-modified-since': since } = asked
  const isSame =
    match === undefined
      ? since !== undefined && since === answer.headers['last-modified']
      : match.replace(/^W\//, '') === etag
  const headers = { ...answer.headers, etag }
  return isSame ? { status: 304, headers, body: Buffer.alloc(0) } : { ...answer, headers }
}

function hashOf(bytes: Buffer): string {
  let hash = 0
  for (const byte of bytes) hash = (Math.imul(hash, 31) + byte) | 0
  return (hash >>> 0).toString(16)
}

function ranged(bytes: Buffer, { range }: IncomingMessage['headers']): Answer {
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(range ?? '') ?? []
  if (from === undefined) return { status: 200, headers: { 'accept-ranges': 'bytes' }, body: bytes }
  const first = Number(from)
  const last =
    to === '' || to === undefined ? bytes.length - 1 : Math.min(Number(to), bytes.length - 1)
  if (first > last) return plain(416, '')
  const headers = { 'content-range': `bytes ${first}-${last}/${bytes.length}` }
  return { status: 206, headers, body: bytes.subarray(first, last + 1) }
}
