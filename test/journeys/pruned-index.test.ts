import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, test as base, beforeAll, expect } from 'vitest'
import { parseIndexPath } from '../../src/registry/sparse-path.ts'
import { artifactAt, contents, type Ended, expectExit, Registry } from '../crateferry.ts'
import { Site } from '../site.ts'
import { type LoopbackUpstream, serveFolder } from '../upstream.ts'

const timeout = 90_000
const RULES = 'allow = ["ferry-ticket", "ferry_deck"]\nwith-dependencies = true'
const PRUNED = `${RULES}\nprune-index = true`
const DECK = 'fe/rr/ferry_deck'
const HULL = 'fe/rr/ferry-hull'
const SIGNAL = 'fe/rr/ferry-signal'
const TICKET = 'fe/rr/ferry-ticket'

/** A registry that is served, and a mirror of a part of it whose site signs an index of just that. */
let made: Registry
let upstream: LoopbackUpstream

beforeAll(async () => {
  made = await Registry.make()
  upstream = await serveFolder(made.public)
  const mirror = await made.mirror('mirror', upstream.url)
  const site = await Site.make(made.at('keys'))
  choose(mirror, RULES)
  await expectExit(0, 'sync', '--mirror', mirror)
  site.configure(mirror)
  await expectExit(0, 'sign', '--mirror', mirror, '--root', site.root)
  choose(mirror, PRUNED)
  await expectExit(0, 'sync', '--mirror', mirror)
}, timeout)

afterAll(async () => {
  await upstream[Symbol.asyncDispose]()
  await made[Symbol.asyncDispose]()
})

function choose(mirror: string, rules: string): void {
  const file = join(mirror, 'crateferry.toml')
  const text = readFileSync(file, 'utf8')
  const section = /\[select\]\n[\s\S]*?(?=# Crates or versions)/
  expect(text).toMatch(section)
  writeFileSync(file, text.replace(section, `[select]\n${rules}\n`))
}

/** Everything of `made` once more, behind the same URL. */
class Case implements AsyncDisposable {
  readonly registry: Registry
  readonly mirror: string

  private constructor(registry: Registry) {
    this.registry = registry
    this.mirror = registry.at('mirror')
  }

  static async make(): Promise<Case> {
    const registry = await Registry.copyOf(made)
    upstream.folder = registry.public
    upstream.behave()
    return new Case(registry)
  }

  async run(exit: number, command: string, ...args: string[]): Promise<Ended> {
    return await expectExit(exit, command, '--mirror', this.mirror, ...args)
  }

  public(file: string): string {
    return join(this.mirror, 'public', file)
  }

  /** What cargo sees: `NAME VERSION` of each line under the paths, which is as upstream wrote it. */
  listed(): string[] {
    return this.paths().flatMap(path => {
      const theirs = readFileSync(join(this.registry.public, 'index', path), 'utf8').split('\n')
      const lines = readFileSync(this.public(`index/${path}`), 'utf8')
        .trimEnd()
        .split('\n')
      for (const line of lines) expect(theirs).toContain(line)
      return lines.map(line => `${JSON.parse(line).name} ${JSON.parse(line).vers}`)
    })
  }

  paths(): string[] {
    const names = readdirSync(this.public('index'), { recursive: true, encoding: 'utf8' })
    return names.filter(name => parseIndexPath(name) !== undefined).sort()
  }

  /** The artifacts that the lines name are those that are here, each once. */
  async expectOnlyHere(): Promise<void> {
    const named = this.paths().flatMap(path =>
      readFileSync(this.public(`index/${path}`), 'utf8')
        .trimEnd()
        .split('\n')
        .map(line => artifactAt(path, JSON.parse(line).cksum)),
    )
    const here = Object.keys(await contents(this.public('crates'))).map(file => `crates/${file}`)
    expect(named.sort()).toEqual(here.sort())
  }

  async published(): Promise<{ n: number; tree: string; pruned?: { tree: string } }> {
    return JSON.parse(readFileSync(join(this.mirror, 'state/published'), 'utf8'))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.registry[Symbol.asyncDispose]()
  }
}

const test = base.extend('at', async ({}, { onCleanup }) => {
  const at = await Case.make()
  onCleanup(() => at[Symbol.asyncDispose]())
  return at
})

const LISTED = [
  'fry 0.2.1',
  'ferry-hull 1.1.0',
  'ferry-signal 1.1.0',
  'ferry-ticket 0.1.0',
  'ferry_deck 0.3.0',
  'ferry_deck 0.3.1',
]

test('the paths list only what is here; whole files and the upstream chain stay', {
  timeout,
}, async ({ at }) => {
  expect(at.listed()).toEqual(LISTED)
  await at.expectOnlyHere()
  for (const [file, checksum] of Object.entries(
    await contents(join(at.registry.public, 'index')),
  )) {
    const [path, name] = [
      file.slice(0, file.lastIndexOf('/')),
      file.slice(file.lastIndexOf('/') + 1),
    ]
    if (/^[0-9a-f]{64}\./.test(name)) {
      expect((await contents(at.public(`index/${path}`)))[name]).toBe(checksum)
    }
  }
  expect((await at.run(0, 'verify')).stdout).toBe('no fault found\n')
  const { stdout } = await at.run(0, 'status')
  expect(stdout).toMatch(/^pruned {5}[0-9a-f]{64}: the 5 crates of which something is here$/m)
  expect(stdout).toContain('signs what is published')
  const before = await contents(join(at.mirror, 'public'))
  expect((await at.run(0, 'sync')).stdout).toContain('nothing changed: snapshot 2, 11 crates')
  expect(await contents(join(at.mirror, 'public'))).toEqual(before)
})

test('a mirror that pins the site’s root gets only what is here, and is whole', {
  timeout,
}, async ({ at }) => {
  await using site = await serveFolder(at.public(''))
  const below = at.registry.at('below')
  const root = at.registry.at('keys/1.root.json')
  await expectExit(0, 'init', below, '--upstream', site.url, '--root', root)
  await expectExit(0, 'sync', '--mirror', below)
  await expectExit(0, 'verify', '--mirror', below)
  const index = async (folder: string): Promise<[string, string][]> =>
    Object.entries(await contents(folder)).filter(([file]) => parseIndexPath(file) !== undefined)
  const theirs = await index(join(below, 'public/index'))
  expect(theirs).toEqual(await index(at.public('index')))
  expect(theirs).toHaveLength(5)
  expect(await contents(join(below, 'public/crates'))).toEqual(await contents(at.public('crates')))
})

test('what comes later is listed when it is here, and not before', { timeout }, async ({ at }) => {
  const checksum = await at.registry.publish(DECK, 'ferry_deck', '0.3.2')
  await at.registry.sign()
  upstream.misbehave(new RegExp(checksum), { kind: 'status', status: 403 })
  await at.run(3, 'sync')
  expect(at.listed()).toEqual(LISTED)
  upstream.behave()
  await at.run(0, 'sync')
  const one = [...LISTED, 'ferry_deck 0.3.2']
  expect(at.listed()).toEqual(one)
  choose(at.mirror, PRUNED.replace('allow = [', 'allow = ["fy", '))
  upstream.requests.clear()
  const { stdout } = await at.run(0, 'sync')
  expect(upstream.requests.count(/\.crate$/)).toBe(2)
  expect(stdout).toMatch(/^signed: targets \d/m)
  expect(at.listed().toSorted()).toEqual([...one, 'f 1.0.0', 'fy 0.1.0'].toSorted())
  await at.expectOnlyHere()
  expect((await at.run(0, 'verify')).stdout).toBe('no fault found\n')
})

test('switched off, the whole index is back under the paths; and on again', {
  timeout,
}, async ({ at }) => {
  choose(at.mirror, RULES)
  await at.run(0, 'sync')
  const upstreams = await contents(join(at.registry.public, 'index'))
  expect(await contents(at.public('index'))).toMatchObject({
    ...upstreams,
    'config.json': expect.anything(),
  })
  expect((await at.published()).pruned).toBeUndefined()
  expect((await at.run(0, 'verify')).stdout).toContain('no fault found')
  choose(at.mirror, PRUNED)
  await at.run(0, 'sync')
  expect(at.listed()).toEqual(LISTED)
  expect((await at.run(0, 'verify')).stdout).toBe('no fault found\n')
})

test('what is withdrawn is listed no more, and the site signs that', { timeout }, async ({
  at,
}) => {
  const reason = ['--reason', 'court order 12/345']
  await at.run(0, 'withdraw', 'ferry-signal@1.1.0', ...reason)
  expect(at.listed()).toEqual(LISTED.filter(one => one !== 'ferry-signal 1.1.0'))
  expect(existsSync(at.public(`index/${SIGNAL}`))).toBe(false)
  expect((await at.run(0, 'status')).stdout).toContain('signs what is published')
  expect((await at.run(0, 'verify')).stdout).toBe('no fault found\n')
  expect((await at.run(0, 'sync')).stdout).toContain('nothing changed')
  await at.run(0, 'withdraw', '--restore', 'ferry-signal@1.1.0', ...reason)
  expect(at.listed()).toEqual(LISTED)
  expect((await at.run(0, 'status')).stdout).toContain('signs what is published')
  expect((await at.run(0, 'verify')).stdout).toBe('no fault found\n')
})

test('whatever of it is damaged or lost follows again from what is here', {
  timeout,
}, async ({ at }) => {
  const before = await contents(at.public(''))
  const { tree, pruned } = await at.published()
  const hull = await checksumUnder(at, HULL)
  const damages: Readonly<Record<string, string>> = {
    'under its path': `index/${TICKET}`,
    'by its hash': `index/fe/rr/${hull}.ferry-hull`,
    'its root tile': `tuf/${pruned?.tree}.index-tree`,
    'the root tile of the whole index': `tuf/${tree}.index-tree`,
    'a whole index file': `index/fe/rr/${before[`index/${HULL}`]}.ferry-hull`,
  }
  expect(Object.keys(damages)).toHaveLength(5)
  for (const [what, file] of Object.entries(damages)) {
    expect(before, what).toHaveProperty([file])
    writeFileSync(at.public(file), 'damaged')
    rmSync(at.public(`index/${SIGNAL}`), { force: true })
    await at.run(4, 'verify')
    await at.run(0, 'verify', '--repair')
    expect(await contents(at.public('')), what).toEqual(before)
  }
})

test('with no upstream left the tiles of both indexes follow from their files', {
  timeout,
}, async ({ at }) => {
  const before = await contents(at.public(''))
  upstream.misbehave(/./, { kind: 'status', status: 500 })
  for (const file of Object.keys(before).filter(name => name.endsWith('.index-tree'))) {
    rmSync(at.public(file))
  }
  await at.run(4, 'verify')
  await at.run(0, 'verify', '--repair')
  expect(await contents(at.public(''))).toEqual(before)
})

test('a prune leaves both indexes whole', { timeout }, async ({ at }) => {
  const file = join(at.mirror, 'crateferry.toml')
  writeFileSync(file, readFileSync(file, 'utf8').replace('# keep-days = 7', 'keep-days = 0'))
  await at.registry.publish(TICKET, 'ferry-ticket', '0.1.1')
  await at.registry.sign()
  await at.run(0, 'sync')
  expect((await at.run(0, 'prune', '--yes')).stdout).toMatch(/removed/)
  expect(at.listed()).toContain('ferry-ticket 0.1.1')
  expect((await at.run(0, 'verify')).stdout).toBe('no fault found\n')
})

test('without the site’s keys and root nobody could sign it, so it is refused', {
  timeout,
}, async ({ at }) => {
  rmSync(join(at.mirror, 'state/trust/site'), { recursive: true })
  const { stderr } = await at.run(64, 'sync')
  expect(stderr).toContain('select.prune-index needs the site to sign')
})

const checksumUnder = async (at: Case, path: string): Promise<string> =>
  (await contents(at.public('index')))[path] ?? ''

test('a part travels under the chain of its site, and only with an index of just that part', {
  timeout,
}, async ({ at }) => {
  const { registry, mirror } = at
  const medium = registry.at('medium')
  mkdirSync(medium)
  await at.run(0, 'bundle', 'export', '--to', medium)
  const far = registry.at('far')
  await expectExit(0, 'init', far, '--root', registry.at('keys/1.root.json'))
  await expectExit(0, 'bundle', 'import', medium, '--mirror', far)
  await expectExit(0, 'verify', '--mirror', far)
  const shown = (one: string): string[] =>
    at.paths().map(path => readFileSync(join(one, 'public/index', path), 'utf8'))
  expect(shown(far)).toEqual(shown(mirror))
  expect(Object.keys(await contents(join(far, 'public/crates')))).toEqual(
    Object.keys(await contents(join(mirror, 'public/crates'))),
  )
  // pinned to the upstream's root nothing of this can be verified
  const other = registry.at('other')
  await expectExit(0, 'init', other, '--root', registry.root)
  await expectExit(11, 'bundle', 'import', medium, '--mirror', other)

  choose(mirror, RULES)
  await at.run(0, 'sync')
  const whole = await at.run(64, 'bundle', 'export', '--to', medium)
  expect(whole.stderr).toContain('set select.prune-index')
})
