import { join } from 'node:path'
import { expect, test } from 'vitest'
import { sha256 } from '../../src/registry/checksum.ts'
import { type IndexPath, parseIndexPath } from '../../src/registry/sparse-path.ts'
import { contents } from '../crateferry.ts'
import { CratesIoModel } from '../crates-io-model.ts'
import { dumpZip } from '../dump.ts'
import { advisoriesXml, cratesXml, updatesXml } from '../feeds.ts'
import { type Observable, Observing } from '../observing.ts'
import { HOSTILE, type Hostile, say } from '../upstream/hostile-answers.ts'
import { answer, ok, type RawServer, type Script, serveRaw } from '../upstream/raw-server.ts'

/**
 * A registry that signs nothing answers with the worst there is for one of its files. What is
 * published stays, byte for byte; the crate is held with a reason; the next honest answer heals.
 */

const TARGET = 'ta/rg/target' as IndexPath
const HOUR = 3_600_000
const timeout = 60_000

/** An honest registry of three crates, but for what a test has it answer. */
class Registry implements Observable, AsyncDisposable {
  readonly model: CratesIoModel = new CratesIoModel(new Date('2026-03-01T00:00:00Z'))
  readonly #server: RawServer
  readonly #dump: Buffer
  #hostile: { readonly path: string; readonly script: Script } | undefined

  private constructor(server: RawServer, dump: Buffer) {
    this.#server = server
    this.#dump = dump
  }

  static async start(): Promise<Registry> {
    const names = ['target', 'sound', 'another']
    const dump = await dumpZip({ crates: [...names, '../x'].map(name => ({ name })) })
    let registry: Registry | undefined
    const server = await serveRaw((socket, request) => registry?.answerTo(socket, request))
    registry = new Registry(server, dump)
    for (const name of names) registry.model.publish(name, '1.0.0')
    registry.model.advance(HOUR)
    return registry
  }

  get url(): string {
    return this.#server.origin
  }
  get index(): string {
    return `${this.url}/index/`
  }
  get feeds(): string {
    return `${this.url}/rss/`
  }
  get dump(): string {
    return `${this.url}/dump.zip`
  }
  get advisoriesFeed(): string {
    return `${this.url}/advisories.xml`
  }
  get now(): Date {
    return this.model.now
  }

  /** From now on the file is answered so. */
  misbehave(path: string, hostile: Hostile): void {
    this.#hostile = { path, script: hostile(this.file(path)) }
  }

  behave(): void {
    this.#hostile = undefined
  }

  answerTo(...[socket, request]: Parameters<Script>): void {
    if (this.#hostile?.path === request.path) this.#hostile.script(socket, request)
    else if (request.path === '/dump.zip') {
      const [, from = 0, to = 0] = /bytes=(\d+)-(\d+)/.exec(request.range ?? '') ?? []
      const part = this.#dump.subarray(Number(from), Number(to) + 1)
      const range = `content-range: bytes ${from}-${to}/${this.#dump.length}`
      socket.write(answer('206 Partial Content', [`content-length: ${part.length}`, range], part))
    } else socket.write(ok(this.file(request.path)))
  }

  /** What an honest registry has there. */
  file(path: string): Buffer {
    const { updates, news, advisories } = this.model
    if (path === '/index/config.json') {
      return Buffer.from(JSON.stringify({ dl: `${this.url}/crates`, api: this.url }))
    }
    if (path === '/rss/updates.xml') return Buffer.from(updatesXml(updates))
    if (path === '/rss/crates.xml') return Buffer.from(cratesXml(news))
    if (path === '/advisories.xml') return Buffer.from(advisoriesXml(advisories, this.now))
    const [, name = '', version = ''] = /^\/crates\/([^/]+)\/([^/]+)\/download$/.exec(path) ?? []
    const bytes = this.model.artifact(name, version) ?? this.model.indexFile(path.slice(7))?.bytes
    if (bytes === undefined) throw new Error(`${path} is asked for`)
    return bytes
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]()
  }
}

/** A registry with a mirror that has all of it. */
class Case implements AsyncDisposable {
  readonly registry: Registry
  readonly mirror: Observing

  private constructor(registry: Registry, mirror: Observing) {
    this.registry = registry
    this.mirror = mirror
  }

  static async make(): Promise<Case> {
    const registry = await Registry.start()
    const mirror = await Observing.make(registry)
    await mirror.configure('[sync]', '[sync]\nconnect-seconds = 1\nrequest-seconds = 1')
    const { exit, said } = await mirror.sync()
    expect(said).toEqual([
      'warning: the dump has 1 names that are no crate\'s, the first "../x": left out',
    ])
    expect(exit).toBe(0)
    return new Case(registry, mirror)
  }

  /** An hour later there is a version more, and one file of it, or of a feed, is answered so. */
  misbehave(path: string, hostile: Hostile): void {
    const { model } = this.registry
    model.advance(HOUR)
    model.publish('target', '1.0.1')
    this.registry.misbehave(path, hostile)
  }

  /** What cargo sees. */
  async shown(): Promise<Record<string, string>> {
    const all = await contents(join(this.mirror.mirror, 'public'))
    const isShown = (file: string): boolean =>
      file.startsWith('crates/') || parseIndexPath(file.slice('index/'.length)) !== undefined
    return Object.fromEntries(Object.entries(all).filter(([file]) => isShown(file)))
  }

  /** With the next honest answers the mirror is what the registry is. */
  async expectHealed(): Promise<void> {
    this.registry.behave()
    this.registry.model.advance(HOUR)
    const { exit, said } = await this.mirror.sync({ sweep: true })
    expect(exit, said.join('\n')).toBe(0)
    const found = await contents(join(this.mirror.mirror, 'public/index'))
    for (const [path, bytes] of this.registry.model.state()) {
      expect(found[path], path).toBe(sha256(bytes))
    }
    expect((await this.mirror.verify()).exit).toBe(0)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.mirror[Symbol.asyncDispose]()
    await this.registry[Symbol.asyncDispose]()
  }
}

/** Under which reason the crate is held; a test fails where an answer has none. */
const SAYS: Readonly<Record<string, RegExp>> = {
  'FIN at 60 %': /cut after \d+ bytes/,
  'RST at 60 %': /cut after \d+ bytes/,
  'no length, RST at 60 %': /came without a length, so a cut could not be seen/,
  'no length, FIN at 60 %': /came without a length, so a cut could not be seen/,
  'a length that is too small': /last line has no newline \(the answer was cut\)/,
  'chunked, cut': /cut after \d+ bytes/,
  'a bad chunk size': /cut after 0 bytes/,
  'a stall after the head': /took longer than 1 s/,
  'a stall at 60 %': /took longer than 1 s/,
  'one byte every 20 ms': /took longer than 1 s/,
  'no answer at all': /took longer than 1 s/,
  'two lengths': /not HTTP\/1\.1/,
  'a length and chunks': /not HTTP\/1\.1/,
  'a negative length': /not HTTP\/1\.1/,
  'a length of 10^22': /not HTTP\/1\.1|took longer/,
  '20 KiB of headers': /more than 16384 bytes of headers/,
  '5,000 headers': /more than 16384 bytes of headers/,
  'bare LF in the head': /not HTTP\/1\.1/,
  '1,000 times 100 Continue': /not HTTP\/1\.1/,
  'an upgrade that nobody asked for': /not HTTP\/1\.1/,
  'what is not HTTP': /not HTTP\/1\.1/,
  'status 000': /not HTTP\/1\.1/,
  'status 999': /expected status 200, found 999/,
  'status 201': /expected status 200, found 201/,
  'status 204 with a body': /expected status 200, found 204/,
  'status 206 that nobody asked for': /found 206, which was not asked for/,
  'status 401': /status 401: it wants a token/,
  'status 403': /not there \(status 403\)/,
  'status 500': /status 500/,
  'status 503': /status 503/,
  'a redirect to itself': /more than 5 redirects/,
  'a redirect to a file': /redirect to "file:" refused/,
  'a redirect to another host': /redirect to "169\.254\.169\.254" refused/,
  'a redirect with a password': /refused: it has user info/,
  'a gzip bomb': /longer than 67108864 bytes/,
  'gzip twice': /encoded as "gzip, gzip"/,
  'gzip claimed of plain bytes': /says that it is gzip, and is not/,
  'gzip cut, lengths consistent': /cut after \d+ bytes of gzip/,
  brotli: /encoded as "br"/,
  'an endless body': /longer than 67108864 bytes/,
  'a captive portal': /not a JSON object \(starts with "<html>/,
  'nothing, with 200': /empty; a crate without versions has no file/,
  zeros: /a NUL at its byte 0/,
}

/** Who closes each connection without a word is gone for this run: nothing more is asked. */
const { 'a close without an answer': closes, ...held } = HOSTILE

test.concurrent.for(Object.entries(held))(
  'an index file in a sweep: %s',
  {
    timeout,
  },
  async ([name, hostile], { expect }) => {
    await using at = await Case.make()
    at.misbehave(`/index/${TARGET}`, hostile)
    const before = await at.shown()
    const { exit, json } = await at.mirror.sync({ sweep: true })
    expect(exit).toBe(3)
    const { reason, have } = (json['heldCrates'] as Record<string, Held>)[TARGET] ?? {}
    expect(reason).toMatch(SAYS[name] ?? /there is none for this answer/)
    expect(have).toBe(before[`index/${TARGET}`])
    expect(await at.shown()).toEqual(before)
    await at.expectHealed()
  },
)

// a page and an empty answer are no artifact either, but only their hash tells
const OF_ARTIFACTS: Readonly<Record<string, Hostile>> = {
  ...held,
  'other bytes of the same length': body => say(ok(Buffer.alloc(body.length, 'x'))),
  'a bit more than it has': body => say(ok(Buffer.concat([body, Buffer.from('x')]))),
}
/** The floor rate is measured over 30 seconds, and the most of an artifact is 1 GiB. */
const TOO_LONG = [
  'a stall after the head',
  'a stall at 60 %',
  'one byte every 20 ms',
  'an endless body',
  'no answer at all',
]

test.concurrent.for(Object.entries(OF_ARTIFACTS).filter(([name]) => !TOO_LONG.includes(name)))(
  'an artifact: %s',
  { timeout },
  async ([, hostile], { expect }) => {
    await using at = await Case.make()
    at.misbehave('/crates/target/1.0.1/download', hostile)
    const before = await at.shown()
    const { exit, json, said } = await at.mirror.sync({ sweep: true })
    expect(exit, said.join('\n')).toBe(3)
    expect(json['heldCrates'], said.join('\n')).toMatchObject({
      [TARGET]: {
        have: before[`index/${TARGET}`],
        reason: expect.stringMatching(/^target@1\.0\.1: /),
      },
    })
    expect(await at.shown()).toEqual(before)
    await at.expectHealed()
  },
)

test.concurrent.for(Object.entries(HOSTILE))(
  'a feed in a tick: %s',
  {
    timeout,
  },
  async ([, hostile], { expect }) => {
    await using at = await Case.make()
    at.misbehave('/rss/updates.xml', hostile)
    const before = await at.shown()
    expect((await at.mirror.sync()).exit).toBe(3)
    expect(await at.shown()).toEqual(before)
    await at.expectHealed()
  },
)

test('a host that closes every connection is gone for this run, and nothing changed', {
  timeout,
}, async () => {
  await using at = await Case.make()
  at.misbehave(`/index/${TARGET}`, closes as Hostile)
  const before = await at.shown()
  const { exit, said } = await at.mirror.sync({ sweep: true })
  expect(exit).toBe(3)
  expect(said.join()).toMatch(/is done for this run: .*no answer/)
  expect(await at.shown()).toEqual(before)
  await at.expectHealed()
})

test.for([404, 410, 451])(
  'an index file with status %d is a sighting, and stays',
  {
    timeout,
  },
  async status => {
    await using at = await Case.make()
    at.misbehave(`/index/${TARGET}`, () => say(answer(`${status} Gone`, ['content-length: 0'])))
    const before = await at.shown()
    for (const isSecond of [false, true]) {
      const { exit } = await at.mirror.sync({ sweep: true })
      expect(exit).toBe(0)
      expect(await at.mirror.status()).toMatchObject({ kept: { [TARGET]: { versions: null } } })
      expect(await at.shown(), `${isSecond}`).toEqual(before)
      at.registry.model.advance(HOUR)
    }
    await at.expectHealed()
    expect(await at.mirror.status()).toMatchObject({ kept: {} })
  },
)

/** Made of an honest index file with one line or two. */
type Spoil = (body: Buffer) => Buffer | string
const line = (body: Buffer, fields: object = {}): string =>
  `${JSON.stringify({ ...JSON.parse(body.toString().split('\n')[0] ?? ''), ...fields })}\n`
const nested = `${'['.repeat(40)}${']'.repeat(40)}`

test.concurrent.for<[string, Spoil, RegExp]>([
  ['cut inside a line', body => body.subarray(0, -20), /last line has no newline/],
  ['lines of another crate', body => body.toString().replaceAll('"target"', '"sound"'), /"sound"/],
  [
    'one line of another crate, as of a mixed-up socket',
    body => body.toString() + line(body, { name: 'tokio', vers: '9.0.0' }),
    /line 3: .*"tokio"/,
  ],
  ['a byte order mark', body => `\ufeff${body}`, /line 1: /],
  ['a NUL', body => `${body}\0\n`, /line 3: a NUL/],
  [
    'what is not UTF-8',
    body => Buffer.concat([body, Buffer.from([0x7b, 0xff, 0x7d, 0x0a])]),
    /line 3: .*UTF-8/,
  ],
  [
    'a line over 4 MiB',
    body => line(body, { x: 'x'.repeat(4 * 1024 * 1024) }),
    /longer than 4 MiB/,
  ],
  ['over 50,000 lines', body => body.toString() + line(body).repeat(50_000), /50,?000 lines/],
  ['a list', body => `[${body.toString().trim().replace('\n', ',')}]\n`, /not a JSON object/],
])(
  'an index file that is none holds its crate: %s',
  { timeout },
  async ([, spoil, reason], { expect }) => {
    await using at = await Case.make()
    at.misbehave(`/index/${TARGET}`, body => say(ok(Buffer.from(spoil(body)))))
    const before = await at.shown()
    const { exit, json } = await at.mirror.sync({ sweep: true })
    expect(exit).toBe(3)
    expect(json['heldCrates']).toMatchObject({
      [TARGET]: { have: before[`index/${TARGET}`], reason: expect.stringMatching(reason) },
    })
    expect(await at.shown()).toEqual(before)
    await at.expectHealed()
  },
)

test.concurrent.for<[string, (body: Buffer) => string, RegExp | undefined]>([
  ['a short checksum', body => line(body, { vers: '2.0.0', cksum: 'abc' }), /cksum/],
  [
    'a checksum in upper case',
    body => line(body, { vers: '2.0.0', cksum: 'A'.repeat(64) }),
    /cksum/,
  ],
  ['no checksum', body => line(body, { vers: '2.0.0', cksum: undefined }), /cksum/],
  [
    'a key twice',
    body => line(body, { vers: '2.0.0' }).replace('{', '{"cksum":"x",'),
    /line 3: .*twice/,
  ],
  ['a depth over 32', body => line(body, { vers: '2.0.0', x: JSON.parse(nested) }), /deep/],
  ['a name that leads elsewhere', body => line(body, { name: '../x' }), /"\.\.\/x"/],
  ['a version that is none', body => line(body, { vers: '1.0.0/../../x' }), /vers/],
  ['yanked as a string', body => line(body, { vers: '2.0.0', yanked: 'no' }), /yanked/],
  ['a format that nobody knows', body => line(body, { vers: '2.0.0', v: 99 }), undefined],
  [
    'keys of every object',
    body => line(body).replace('{', '{"__proto__":{"vers":"3.0.0"},'),
    undefined,
  ],
  ['its name in capitals', body => line(body, { name: 'TARGET' }), undefined],
])(
  'a line that cargo would skip is relayed, and nothing else waits for it: %s',
  { timeout },
  async ([, more, warning], { expect }) => {
    await using at = await Case.make()
    let sent = Buffer.alloc(0)
    at.misbehave(`/index/${TARGET}`, body => {
      sent = Buffer.from(body.toString() + more(body))
      return say(ok(sent))
    })
    const { exit, said } = await at.mirror.sync({ sweep: true })
    expect(exit, said.join('\n')).toBe(0)
    if (warning !== undefined) expect(said.join('\n')).toMatch(warning)
    expect((await at.shown())[`index/${TARGET}`]).toBe(sha256(sent))
    expect((await at.mirror.verify()).exit).toBe(0)
  },
)

test('a checksum that changes is an alarm; both artifacts are kept, and the index names the first', {
  timeout,
}, async () => {
  await using at = await Case.make()
  const { registry, mirror } = at
  const before = await at.shown()
  registry.model.advance(HOUR)
  registry.model.deleteCrate('target')
  const other = Buffer.from('other bytes of the same version')
  registry.model.publish('target', '1.0.0', { bytes: other })
  const { exit, json } = await mirror.sync({ sweep: true })
  expect(exit).toBe(17)
  expect(json['rollbacks']).toEqual([TARGET])
  const { [`crates/ta/rg/${sha256(other)}.crate`]: second, ...rest } = await at.shown()
  expect(second).toBe(sha256(other))
  expect(rest).toEqual(before)
  expect((await mirror.verify()).exit).toBe(0)
})

test('a line that is gone is a sighting: it goes at the second, an hour later', {
  timeout,
}, async () => {
  await using at = await Case.make()
  const { registry, mirror } = at
  registry.model.publish('target', '1.0.1')
  registry.model.advance(HOUR)
  expect((await mirror.sync({ sweep: true })).exit).toBe(0)
  const before = await at.shown()
  registry.model.deleteVersion('target', '1.0.0')
  registry.model.advance(HOUR)
  expect((await mirror.sync({ sweep: true })).exit).toBe(0)
  expect(await at.shown()).toEqual(before)
  expect(await mirror.status()).toMatchObject({ kept: { [TARGET]: { versions: ['1.0.0'] } } })
  await at.expectHealed()
})

interface Held {
  readonly have: string | null
  readonly reason: string
}
