import { join } from 'node:path'
import { expect, test } from 'vitest'
import { sha256 } from '../../src/registry/checksum.ts'
import { type IndexPath, parseIndexPath } from '../../src/registry/sparse-path.ts'
import { contents } from '../crateferry.ts'
import { CratesIoModel } from '../crates-io-model.ts'
import { dumpZip } from '../dump.ts'
import { advisoriesXml, cratesXml, updatesXml } from '../feeds.ts'
import { type Observable, Observing } from '../observing.ts'
import { HOSTILE, type Hostile } from '../upstream/hostile-answers.ts'
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
    const dump = await dumpZip({ crates: names.map(name => ({ name })), deleted: [] })
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
    expect((await mirror.sync()).exit).toBe(0)
    return new Case(registry, mirror)
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

const rows = Object.entries(HOSTILE)

test.concurrent.for(rows)('an index file: %s', { timeout }, async ([, hostile], { expect }) => {
  await using at = await Case.make()
  const { registry, mirror } = at
  registry.model.advance(HOUR)
  registry.model.publish('target', '1.0.1')
  registry.misbehave(`/index/${TARGET}`, hostile)
  const before = await at.shown()
  const { exit, json, said } = await mirror.sync({ sweep: true })
  console.log(exit, JSON.stringify(json['heldCrates']), said)
  expect(await at.shown()).toEqual(before)
  await at.expectHealed()
})
