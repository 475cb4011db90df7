import { execFile } from 'node:child_process'
import { cpSync, existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, test as base, beforeAll, expect } from 'vitest'
import { type Checksum, sha256 } from '../../src/registry/checksum.ts'
import type { Prefix } from '../../src/registry/sparse-path.ts'
import { startServer } from '../../src/serve/server.ts'
import { MirrorReader } from '../../src/store/reader.ts'
import { checksumOf, contents, type Ended, expectExit, Registry } from '../crateferry.ts'
import { type LoopbackUpstream, serveFolder } from '../upstream.ts'

const run = promisify(execFile)
const cargo = await run('cargo', ['--version']).then(
  ({ stdout }) => stdout.trim(),
  () => void process.stderr.write('NO CARGO JOURNEYS: there is no cargo here\n'),
)

const timeout = 90_000

/** One registry with a mirror that was never synced; each test has a copy behind the same URL. */
let made: Registry
let upstream: LoopbackUpstream

beforeAll(async () => {
  made = await Registry.make()
  upstream = await serveFolder(made.public)
  await made.mirror('mirror', upstream.url)
}, 60_000)

afterAll(async () => {
  await upstream[Symbol.asyncDispose]()
  await made[Symbol.asyncDispose]()
})

/** A registry with its upstream and a mirror, and what that holds, as `NAME VERSION`. */
class Site implements AsyncDisposable {
  readonly registry: Registry
  readonly upstream: LoopbackUpstream
  readonly mirror: string

  private constructor(registry: Registry) {
    this.registry = registry
    this.upstream = upstream
    this.mirror = registry.at('mirror')
  }

  static async make(): Promise<Site> {
    const registry = await Registry.copyOf(made)
    upstream.folder = registry.public
    upstream.behave()
    return new Site(registry)
  }

  /** Writes `[select]` anew, runs a sync, and says which artifacts it asked for. */
  async select(rules: string, exit = 0): Promise<string[]> {
    const file = join(this.mirror, 'crateferry.toml')
    const text = await readFile(file, 'utf8')
    await writeFile(
      file,
      text.replace(/\[select\]\n[\s\S]*?(?=# Crates or versions)/, `[select]\n${rules}\n`),
    )
    return await this.sync(exit)
  }

  async sync(exit = 0): Promise<string[]> {
    this.upstream.requests.clear()
    await expectExit(exit, 'sync', '--mirror', this.mirror)
    return await this.named(
      this.upstream.requests.flatMap(({ path }) => /([0-9a-f]{64})\.crate$/.exec(path)?.[1] ?? []),
    )
  }

  async held(): Promise<string[]> {
    const files = Object.keys(await contents(join(this.mirror, 'public/crates')))
    return await this.named(files.map(file => file.slice(-70, -6)))
  }

  async named(checksums: readonly string[]): Promise<string[]> {
    const index = this.registry.at('plain/index')
    const files = (await readdir(index, { recursive: true })).map(name => join(index, name))
    const names = new Map<string, string>()
    for (const file of files.filter(one => !one.endsWith('.json'))) {
      const text = await readFile(file, 'utf8').catch(() => '')
      for (const line of text.split('\n').filter(Boolean)) {
        const { name, vers, cksum } = JSON.parse(line) as Record<string, string>
        names.set(`${cksum}`, `${name} ${vers}`)
      }
    }
    return checksums.map(checksum => names.get(checksum) ?? checksum).sort()
  }

  async status(): Promise<Record<string, unknown>> {
    return (await expectExit(0, 'status', '--mirror', this.mirror, '--json')).json()
  }

  async verify(exit = 0, ...more: string[]): Promise<Ended> {
    return await expectExit(exit, 'verify', '--mirror', this.mirror, ...more)
  }

  async selected(): Promise<string> {
    const published = await readFile(join(this.mirror, 'state/published'), 'utf8')
    const { selected } = JSON.parse(published) as { selected: string }
    return await readFile(join(this.mirror, 'state/selected', selected), 'utf8')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.registry[Symbol.asyncDispose]()
  }
}

const test = base.extend('site', async ({}, { onCleanup }) => {
  const site = await Site.make()
  onCleanup(() => site[Symbol.asyncDispose]())
  return site
})

const APP = `allow = ["ferry-app"]\nwith-dependencies = true`
/** All that ferry-app can depend on, the optional, the renamed and the one for Windows included. */
const APP_NEEDS = [
  'FerryMast 1.0.0',
  'f 1.0.0',
  'ferry-app 1.0.0',
  'ferry-engine-sys 0.9.0+bunker.2.4.1',
  'ferry-hull 1.1.0',
  'ferry-signal 1.1.0',
  'ferry-ticket 0.1.0',
  'ferry_deck 0.3.1',
  'fry 0.2.1',
  'fy 0.1.0',
]

test('one crate with its dependencies: just those come, the whole index does, and all is right', {
  timeout,
}, async ({ site }) => {
  expect(await site.select(APP)).toEqual(APP_NEEDS)
  expect(await site.held()).toEqual(APP_NEEDS)
  const upstream = await contents(join(site.registry.public, 'index'))
  const index = await contents(join(site.mirror, 'public/index'))
  for (const [file, checksum] of Object.entries(upstream)) {
    if (file !== 'config.json') expect(index[file], file).toBe(checksum)
  }
  await site.verify()
  expect(await site.status()).toMatchObject({
    held: {},
    selection: {
      summary: 'allow ferry-app, with dependencies',
      counts: { crates: 10, listed: 18, selected: 10, here: 10 },
    },
  })
  expect((await expectExit(0, 'status', '--mirror', site.mirror)).stdout).toContain(
    'selection  allow ferry-app, with dependencies: 10 of the 18 versions that 10 crates list, 10 of them here\n',
  )
  expect(await site.selected()).toMatch(
    /^crateferry selection 1\n\{.+\}\n1\/f 1\.0\.0\n2\/fy 0\.1\.0\n/,
  )
})

test('nothing changed costs two requests with a selection as without', { timeout }, async ({
  site,
}) => {
  await site.select(APP)
  await site.sync()
  expect(site.upstream.requests.map(({ path }) => path)).toEqual([
    '/tuf/2.root.json',
    '/tuf/timestamp.json',
  ])
  expect(await site.status()).toMatchObject({ published: { n: 1 } })
})

test('a name more fetches just what is new, though upstream did not change', { timeout }, async ({
  site,
}) => {
  await site.select(`allow = ["ferry-ticket"]\nwith-dependencies = true`)
  const wider = `allow = ["ferry-ticket", "ferry_deck"]\nwith-dependencies = true`
  expect(await site.select(wider)).toEqual([
    'ferry-hull 1.1.0',
    'ferry_deck 0.3.0',
    'ferry_deck 0.3.1',
  ])
  await site.verify()
  expect(await readdir(join(site.mirror, 'state/selected'))).toHaveLength(2)
})

test('a name less deletes nothing; what is not selected any more may be missing', {
  timeout,
}, async ({ site }) => {
  const both = await site.select('allow = ["fry", "fy"]')
  expect(both).toEqual(['fry 0.2.0', 'fry 0.2.1', 'fy 0.1.0'])
  expect(await site.select('allow = ["fy"]')).toEqual([])
  expect(await site.held()).toEqual(both)
  expect(await site.status()).toMatchObject({ selection: { counts: { selected: 1, here: 1 } } })
  const index = join(site.mirror, 'public/index')
  const fry = await checksumOf(index, '3/f/fry', '0.2.0')
  const file = join(site.mirror, `public/crates/3/f/${fry}.crate`)
  await writeFile(file, 'what is here must be right all the same')
  await site.verify(4)
  await site.verify(0, '--repair')
  expect(existsSync(file)).toBe(false)
  await site.verify()
})

test('without rules again, all that was left out comes', { timeout }, async ({ site }) => {
  await site.select('allow = ["fy"]')
  // its record stays as long as a snapshot's record names it
  await rm(join(site.mirror, 'state/snapshots/1.json'))
  expect(await site.select('')).toHaveLength(18)
  expect(await readdir(join(site.mirror, 'state/selected'))).toEqual([])
  await site.verify()
  expect(await site.status()).not.toHaveProperty('selection')
})

test('what is denied stays out, even as a dependency, and the next best comes', {
  timeout,
}, async ({ site }) => {
  const denied = await site.select(`${APP}\ndeny = ["ferry-hull@1.1.*", "FRY"]`)
  expect(denied).toContain('ferry-hull 1.0.0')
  expect(denied.filter(name => /^fry|hull 1\.1/.test(name))).toEqual([])
  await site.verify()
})

test('all but a few lists nothing in its record', { timeout }, async ({ site }) => {
  const all = await site.select('deny = ["ferry-*", "fry@0.2.0"]')
  expect(all).toEqual([
    'FerryMast 1.0.0',
    'f 1.0.0',
    'ferry_deck 0.3.0',
    'ferry_deck 0.3.1',
    'fry 0.2.1',
    'fy 0.1.0',
  ])
  expect((await site.selected()).split('\n')).toHaveLength(3)
  await site.registry.publish('2/fy', 'fy', '0.2.0')
  await site.registry.publish('3/f/fry', 'fry', '0.2.0+again')
  await site.registry.publish('fe/rr/ferry-hull', 'ferry-hull', '3.0.0')
  await site.registry.sign()
  expect(await site.sync()).toEqual(['fry 0.2.0+again', 'fy 0.2.0'])
  await site.verify()
})

test('the newest of each, and what came before stays when a newer one is published', {
  timeout,
}, async ({ site }) => {
  // of ferry-hull 1.2.0 is yanked and 2.0.0 not released
  expect(await site.select('allow = ["ferry-hull", "ferry_deck"]\nnewest = 1')).toEqual([
    'ferry-hull 1.1.0',
    'ferry_deck 0.3.1',
  ])
  await site.registry.publish('fe/rr/ferry-hull', 'ferry-hull', '1.3.0')
  await site.registry.publish('3/f/fry', 'fry', '0.3.0')
  await site.registry.sign()
  expect(await site.sync()).toEqual(['ferry-hull 1.3.0'])
  expect(await site.selected()).toContain('fe/rr/ferry-hull 1.1.0 1.3.0\nfe/rr/ferry_deck 0.3.1\n')
  await site.verify()
})

test('a newer dependency comes on its own, and a crate of which nothing is chosen holds nothing', {
  timeout,
}, async ({ site }) => {
  await site.select(APP)
  await site.registry.publish('2/fy', 'fy', '0.1.7')
  const hull = await site.registry.publish('fe/rr/ferry-hull', 'ferry-hull', '5.0.0')
  await site.registry.publish('fe/rr/ferry-lookout', 'ferry-lookout', '0.1.1')
  await site.registry.sign()
  site.upstream.misbehave(new RegExp(hull), { kind: 'status', status: 403 })
  expect(await site.sync()).toEqual(['fy 0.1.7'])
  expect(await site.status()).toMatchObject({ held: {}, published: { n: 2 } })
  await site.verify()
})

test('a selected artifact that cannot be had holds its crate as ever', { timeout }, async ({
  site,
}) => {
  await site.select(APP)
  const old = await site.registry.publish('2/fy', 'fy', '0.0.7')
  const fy = await site.registry.publish('2/fy', 'fy', '0.1.7')
  await site.registry.sign()
  site.upstream.misbehave(new RegExp(fy), { kind: 'status', status: 404 })
  await site.sync(3)
  expect(Object.keys((await site.status())['held'] as object)).toEqual(['2/fy'])
  const reader = new MirrorReader(site.mirror)
  expect(reader.missing('2' as Prefix, fy as Checksum)).toMatchObject({ status: 503 })
  expect(reader.missing('2' as Prefix, old as Checksum)).toMatchObject({ status: 404 })
  site.upstream.behave()
  expect(await site.sync()).toEqual(['fy 0.1.7'])
  await site.verify()
})

test('a lock file brings all that it pins, and is read anew', { timeout }, async ({ site }) => {
  const lock = join(site.mirror, 'Cargo.lock')
  await site.select('lock-files = ["Cargo.lock"]', 64)
  const text = await readFile('fixtures/program/Cargo.lock', 'utf8')
  await writeFile(lock, text)
  const pinned = await site.sync()
  expect(pinned).toContain('ferry-engine-sys 0.9.0+bunker.2.4.1')
  expect(pinned).toHaveLength(text.match(/^source/gm)?.length ?? 0)

  const other = text.replace(
    /(name = "ferry-hull"\nversion = ")[^"]+(".*\n.*\n)checksum = .*\n/,
    '$11.2.0$2',
  )
  expect(other).not.toBe(text)
  await writeFile(
    lock,
    `${other}\n[[package]]\nname = "f"\nversion = "7.0.0"\nsource = "registry+https://github.com/rust-lang/crates.io-index"\n[[package]]\nname = "g"\nversion = "1.0.0"\nsource = "git+https://git.example/g#0"\n`,
  )
  site.upstream.requests.clear()
  const told = await expectExit(0, 'sync', '--mirror', site.mirror)
  // yanked: whoever pinned it may have it
  expect(await site.held()).toEqual([...pinned, 'ferry-hull 1.2.0'].sort())
  expect(told.stderr).toContain('warning: selection: f@7.0.0 is pinned and not in the index\n')
  expect(told.stderr).toContain('1 packages of the lock files are of other registries or git')
  await site.verify()
})

test('what is asked for and does not exist is told', { timeout }, async ({ site }) => {
  await expectExit(0, 'sync', '--mirror', site.mirror, '--dry-run')
  await site.registry.edit('2/fy', lines =>
    lines.map(line => line.replace('"req":"^1"', '"req":"latest"')),
  )
  await site.registry.sign()
  await site.select('')
  const file = join(site.mirror, 'crateferry.toml')
  const text = await readFile(file, 'utf8')
  await writeFile(
    file,
    text.replace('[select]', '[select]\nallow = ["fy", "frie"]\nwith-dependencies = true'),
  )
  const told = await expectExit(0, 'sync', '--mirror', site.mirror)
  expect(told.stderr).toContain('warning: selection: "frie" names no crate of the index\n')
  expect(told.stderr).toContain(
    'warning: selection: requirement "latest" of fy@0.1.0 cannot be read: it matches nothing\n',
  )
})

test('a dry run counts what is selected, and keeps no selection', { timeout }, async ({ site }) => {
  const file = join(site.mirror, 'crateferry.toml')
  const text = await readFile(file, 'utf8')
  await writeFile(file, text.replace('[select]', `[select]\n${APP}`))
  const told = await expectExit(0, 'sync', '--mirror', site.mirror, '--dry-run')
  expect(told.stdout).toContain('fetch 10 artifacts')
  expect(existsSync(join(site.mirror, 'state/selected'))).toBe(false)
})

test('a lost record is a fault; a repair or the next sync chooses again', { timeout }, async ({
  site,
}) => {
  await site.select(APP)
  const selected = join(site.mirror, 'state/selected')
  const [name = ''] = await readdir(selected)
  const right = await readFile(join(selected, name), 'utf8')
  await writeFile(join(selected, name), right.replace('0.1.0', '0.1.1'))
  expect((await site.verify(4)).stdout).toContain(`damaged: state/selected/${name} does not match`)
  await site.verify(0, '--repair')
  expect(await readFile(join(selected, name), 'utf8')).toBe(right)

  await rm(join(selected, name))
  await expectExit(4, 'status', '--mirror', site.mirror)
  expect(await site.sync()).toEqual([])
  expect(await readFile(join(selected, name), 'utf8')).toBe(right)
  await site.verify()
})

test('a directory is signed in part, and with other rules in another part', { timeout }, async ({
  site,
}) => {
  const { registry } = site
  const target = [registry.at('other'), '--from', registry.at('plain')]
  await expectExit(0, 'upstream', ...target)
  const file = join(registry.at('other'), 'crateferry.toml')
  const text = await readFile(file, 'utf8')
  await writeFile(file, text.replace('[select]', '[select]\nallow = ["fy"]'))
  await rm(registry.at('other/public/crates/3'), { recursive: true })
  expect((await expectExit(0, 'upstream', ...target, '--json')).json()).toMatchObject({
    outcome: 'published',
    snapshot: 2,
  })
  await expectExit(0, 'verify', '--mirror', registry.at('other'))
  await writeFile(file, text.replace('[select]', '[select]\nallow = ["fy", "fry"]\nnewest = 1'))
  expect((await expectExit(0, 'upstream', ...target, '--json')).json()).toMatchObject({
    outcome: 'published',
    artifacts: 1,
  })
  expect((await expectExit(0, 'upstream', ...target, '--json')).json()).toMatchObject({
    outcome: 'unchanged',
    snapshot: 3,
  })
})

test('an artifact outside the selection is answered with the reason', { timeout }, async ({
  site,
}) => {
  await site.select(APP)
  const listen = { host: '127.0.0.1', port: 0 }
  const reader = new MirrorReader(site.mirror)
  await using server = await startServer({
    reader,
    listen,
    url: 'http://unused.example',
    log: () => {},
  })
  const fry = await checksumOf(join(site.mirror, 'public/index'), '3/f/fry', '0.2.0')
  for (const path of [`crates/3/f/${fry}.crate`, 'api/v1/crates/fry/0.2.0/download']) {
    const answer = await fetch(new URL(path, server.url))
    expect(answer.status).toBe(404)
    expect(await answer.text()).toBe(
      "outside this mirror's selection: of what its index lists it holds a part (allow ferry-app, with dependencies)\n",
    )
  }
  expect((await fetch(new URL('api/v1/crates/fry/0.2.1/download', server.url))).status).toBe(200)
})

test.runIf(cargo)(
  'cargo builds each selected crate from the mirror, with no crate missing',
  {
    timeout,
  },
  async ({ site }) => {
    await site.select(`allow = ["ferry-app", "ferry-signal"]\nnewest = 1\nwith-dependencies = true`)
    site.upstream.misbehave(/./, { kind: 'status', status: 500 })
    const listen = { host: '127.0.0.1', port: 0 }
    const reader = new MirrorReader(site.mirror)
    const log = (line: string): void => expect.fail(line)
    await using server = await startServer({ reader, listen, url: 'http://unused.example', log })
    const home = site.registry.at('home')
    await mkdir(home)
    const { stdout: config } = await expectExit(0, 'cargo-config', '--url', server.url)
    await writeFile(join(home, 'config.toml'), config)
    const env = { ...process.env, CARGO_HOME: home, CARGO_TARGET_DIR: site.registry.at('target') }
    cpSync(resolve('fixtures/program'), site.registry.at('program'), { recursive: true })
    await run('cargo', ['build', '--locked'], { cwd: site.registry.at('program'), env })

    // without a lock file, and with everything that can be asked of it
    for (const dependency of [
      'ferry-app = "1"',
      'ferry-signal = { version = "1", features = ["radio", "loud"] }',
    ]) {
      const program = site.registry.at(`program-${sha256(dependency).slice(0, 8)}`)
      await mkdir(join(program, 'src'), { recursive: true })
      await writeFile(join(program, 'src/main.rs'), 'fn main() {}\n')
      const manifest = `[package]\nname = "asks"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\n${dependency}\n[workspace]\n`
      await writeFile(join(program, 'Cargo.toml'), manifest)
      await run('cargo', ['fetch'], { cwd: program, env })
      await run('cargo', ['build', '--offline'], { cwd: program, env })
    }
  },
)
