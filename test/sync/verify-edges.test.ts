import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { sha256 } from '../../src/registry/checksum.ts'
import { Landing } from '../../src/store/landing.ts'
import { acquireLock } from '../../src/store/lock.ts'
import { openMirror } from '../../src/store/mirror.ts'
import { readPublished } from '../../src/store/snapshot.ts'
import { Writer } from '../../src/store/writer.ts'
import { repair } from '../../src/sync/repair.ts'
import { Progress, type Run } from '../../src/sync/run.ts'
import { verify } from '../../src/sync/verify.ts'
import { type Finding, isFault } from '../../src/sync/verify-finding.ts'
import { HttpClient } from '../../src/upstream/http.ts'
import { signedRepository } from '../../src/upstream/signed-repository.ts'
import { checksumOf, contents, crateferry, expectExit, Registry } from '../crateferry.ts'
import { type LoopbackUpstream, serveFolder } from '../upstream.ts'

/** What `verify` and `--repair` do where a writer, an upstream or a kill is in the way. */
let registry: Registry
let upstream: LoopbackUpstream
let healthy: string
let count = 0

const URL = 'http://127.0.0.1:8377'
const HULL = 'fe/rr/ferry-hull'

beforeAll(async () => {
  registry = await Registry.make()
  upstream = await serveFolder(registry.public)
  healthy = await registry.mirror('healthy', upstream.url)
  await expectExit(0, 'sync', '--mirror', healthy)
}, 60_000)

afterAll(async () => {
  await upstream[Symbol.asyncDispose]()
  await registry[Symbol.asyncDispose]()
})

beforeEach(() => upstream.behave())

function copy(of: string = healthy): (file?: string) => string {
  count += 1
  const mirror = registry.at(`edge-${count}`)
  cpSync(of, mirror, { recursive: true })
  return (file = '') => join(mirror, file)
}

function write(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
}

function look(mirror: string): AsyncGenerator<Finding> {
  const signal = AbortSignal.timeout(30_000)
  const progress = new Progress()
  return verify(mirror, { target: { kind: 'all' }, url: URL, progress, now: new Date(), signal })
}

async function faultsOf(mirror: string): Promise<string[]> {
  const findings = await Array.fromAsync(look(mirror))
  return findings.filter(isFault).map(({ file }) => file)
}

const byHashOfHull = (): string =>
  `public/index/fe/rr/${sha256(readFileSync(join(healthy, 'public/index', HULL)))}.ferry-hull`

async function asRun<Result>(
  mirror: string,
  signal: AbortSignal,
  work: (run: Run) => Promise<Result>,
): Promise<Result> {
  const opened = await openMirror(mirror)
  const now = new Date()
  await using lock = await acquireLock(opened, { command: 'test', signal, now })
  const writer = new Writer(opened, lock.owner)
  return await work({
    writer,
    landing: new Landing(writer),
    settings: {
      url: URL,
      connections: 4,
      tries: 1,
      reserveBytes: 0,
      origin: false,
      select: undefined,
      pruneIndex: false,
      guard: { removalPercent: 1, removalCrates: 20, removalVersions: 1000 },
    },
    accepted: { removals: 0, absent: 0, changed: new Set(), clock: false, reason: undefined },
    limitBytes: undefined,
    progress: new Progress(),
    signal,
    now: () => now,
  })
}

test('whatever does not belong in public is named, wherever it lies, and goes to evidence', async () => {
  const at = copy()
  const strange = ['public/x', 'public/site/x', 'public/index/fe/rr/UPPER', 'public/tuf/x']
  for (const file of strange) write(at(file), 'x')
  const folders = ['public/stray', 'public/index/Se', 'public/crates/fe/r', 'public/tuf/tree/zz']
  for (const folder of folders) mkdirSync(at(folder), { recursive: true })
  mkdirSync(at('public/index/se/rd'), { recursive: true })
  symlinkSync('/etc/passwd', at('public/index/se/rd/serde'))
  const expected = [...strange, ...folders, 'public/index/se/rd/serde'].sort()
  expect((await faultsOf(at())).sort()).toEqual(expected)
  await expectExit(0, 'verify', '--mirror', at(), '--repair')
  expect(await contents(at('public'))).toEqual(await contents(join(healthy, 'public')))
}, 30_000)

test('an index file that cannot be had is held with nothing under its path, and syncs go on', async () => {
  const at = copy()
  rmSync(at(byHashOfHull()))
  writeFileSync(at(`public/index/${HULL}`), 'damaged')
  upstream.misbehave(/ferry-hull$/, { kind: 'status', status: 404 })
  await expectExit(4, 'verify', '--mirror', at(), '--repair')
  expect(readPublished(at())?.held).toMatchObject({ [HULL]: { have: null } })
  expect(await faultsOf(at())).toEqual([])
  await expectExit(3, 'sync', '--mirror', at())
  upstream.behave()
  await expectExit(0, 'sync', '--mirror', at())
  expect(await faultsOf(at())).toEqual([])
  expect(readFileSync(at(`public/index/${HULL}`))).toEqual(
    readFileSync(join(healthy, 'public/index', HULL)),
  )
}, 60_000)

test('what a lost tile hid and cannot be had is not called mended', async () => {
  const at = copy()
  const tile = Object.keys(await contents(at('public/tuf'))).find(f => f.endsWith('.index-tree'))
  const checksum = await checksumOf(join(healthy, 'public/index'), HULL, '1.0.0')
  rmSync(at(`public/tuf/${tile}`))
  rmSync(at(`public/crates/fe/rr/${checksum}.crate`))
  upstream.misbehave(new RegExp(checksum), { kind: 'status', status: 404 })
  const { stderr } = await expectExit(4, 'verify', '--mirror', at(), '--repair')
  expect(stderr).toContain(checksum)
  expect(readPublished(at())?.n).toBe(2)
}, 30_000)

test('a repair that is interrupted holds nothing', async () => {
  const at = copy()
  const checksum = await checksumOf(join(healthy, 'public/index'), HULL, '1.0.0')
  rmSync(at(`public/crates/fe/rr/${checksum}.crate`))
  const findings = await Array.fromAsync(look(at()))
  upstream.misbehave(new RegExp(checksum), { kind: 'hang' })
  const stop = new AbortController()
  const client = new HttpClient({ userAgent: 'test', connections: 2, tries: 1, redirectHosts: [] })
  const source = signedRepository(upstream.url, client, { chain: 'tuf' })
  const repaired = asRun(at(), stop.signal, run =>
    repair(run, source, { findings, again: { kind: 'all' } }),
  )
  const failed = expect(repaired).rejects.toThrow('stopped')
  await sleep(300)
  stop.abort(new Error('stopped'))
  await failed
  await source.close()
  expect(readPublished(at())).toMatchObject({ n: 1, held: {} })
}, 30_000)

test('tiles that nobody else has are computed again from the index files', async () => {
  const at = copy(registry.at('repository'))
  const tiles = Object.keys(await contents(at('public/tuf'))).filter(f => !f.endsWith('.json'))
  for (const tile of tiles) writeFileSync(at(`public/tuf/${tile}`), 'damaged')
  expect((await faultsOf(at())).length).toBeGreaterThan(0)
  await expectExit(0, 'verify', '--mirror', at(), '--repair')
  expect(await contents(at('public'))).toEqual(await contents(registry.public))
}, 30_000)

/** The last: it publishes upstream. */
test('a verification beside a sync calls nothing a fault that the sync replaced', async () => {
  const crashed = copy()
  const at = copy()
  const lost = await checksumOf(join(healthy, 'public/index'), '3/f/fry', '0.2.0')
  rmSync(at(`public/crates/3/f/${lost}.crate`))
  rmSync(at('public/index/config.json'))
  const running = look(at())
  const found: Finding[] = [(await running.next()).value as Finding]
  await registry.publish(HULL, 'ferry-hull', '9.0.0')
  rmSync(registry.at('plain/index/fe/rr/ferry-lookout'))
  await registry.sign()
  await expectExit(0, 'sync', '--mirror', at())
  for await (const finding of running) found.push(finding)
  expect(found.filter(isFault).map(({ file }) => file)).toEqual([
    'public/index/config.json',
    `public/crates/3/f/${lost}.crate`,
  ])

  // a writer that was killed just before it replaced `published`
  await expectExit(0, 'sync', '--mirror', crashed())
  writeFileSync(crashed('state/next'), readFileSync(crashed('state/published')))
  writeFileSync(crashed('state/published'), readFileSync(join(healthy, 'state/published')))
  expect(await faultsOf(crashed())).toEqual([])
  const told = await crateferry('verify', '--mirror', crashed())
  expect(told.exit).toBe(0)
  expect(told.stderr).toContain('state/next is there')
}, 60_000)
