import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { MirrorError } from '../../src/error.ts'
import { Landing } from '../../src/store/landing.ts'
import { acquireLock } from '../../src/store/lock.ts'
import { type Mirror, openMirror } from '../../src/store/mirror.ts'
import { readPublished, type Snapshot } from '../../src/store/snapshot.ts'
import { Writer } from '../../src/store/writer.ts'
import { NOBODY, recover } from '../../src/sync/recover.ts'
import { repair } from '../../src/sync/repair.ts'
import { Progress, type Run } from '../../src/sync/run.ts'
import { signSite } from '../../src/sync/site.ts'
import { verify } from '../../src/sync/verify.ts'
import { type Finding, isFault } from '../../src/sync/verify-finding.ts'
import { signingKey } from '../../src/trust/key-file.ts'
import { refresh } from '../../src/trust/refresh.ts'
import { foundRoot } from '../../src/trust/root-text.ts'
import type { Vouched } from '../../src/trust/vouched.ts'
import { contents, expectExit, Registry } from '../crateferry.ts'
import { serveFolder } from '../upstream.ts'

const key = (n: number): ReturnType<typeof signingKey> => signingKey(Buffer.alloc(32, n))
const KEYS = { targets: key(4), snapshot: key(5), timestamp: key(6) }
const PEOPLE = [key(1), key(2), key(3)]
const NOW = new Date()
const URL = 'http://127.0.0.1:8377'
const ROOT = await foundRoot({ ...KEYS, root: PEOPLE }, { threshold: 2, now: NOW })
const GIVEN = { root: { bytes: ROOT, file: '1.root.json' } }
const days = (n: number): Date => new Date(NOW.getTime() + n * 86_400_000)

/** A mirror at its first snapshot, the same signed by its site, and it at its second, unsigned. */
let registry: Registry
let first: string
let second: string
let count = 0

beforeAll(async () => {
  registry = await Registry.make()
  await using upstream = await serveFolder(registry.public)
  first = await registry.mirror('first', upstream.url)
  await expectExit(0, 'sync', '--mirror', first)
  second = copy(first)
  await asRun(second, run => signSite(run, KEYS, GIVEN))
  await registry.publish('3/f/fry', 'fry', '0.3.0')
  await registry.sign()
  await expectExit(0, 'sync', '--mirror', second)
}, 90_000)

afterAll(() => registry[Symbol.asyncDispose]())

function copy(of: string): string {
  count += 1
  const mirror = registry.at(`site-${count}`)
  cpSync(of, mirror, { recursive: true })
  return mirror
}

/** A writer that is killed before the file after the next `left` gets its name. */
class Mortal extends Writer {
  left: number

  constructor(mirror: Mirror, owner: ConstructorParameters<typeof Writer>[1], left: number) {
    super(mirror, owner)
    this.left = left
  }

  override async replace(file: string, bytes: Uint8Array): Promise<void> {
    if (this.left === 0) throw new Error('killed')
    this.left -= 1
    await super.replace(file, bytes)
  }
}

async function asRun<Result>(
  folder: string,
  work: (run: Run) => Promise<Result>,
  { left = Number.POSITIVE_INFINITY, now = NOW }: { left?: number; now?: Date } = {},
): Promise<Result> {
  const mirror = await openMirror(folder)
  const signal = AbortSignal.timeout(30_000)
  await using lock = await acquireLock(mirror, { command: 'test', signal, now })
  const writer = new Mortal(mirror, lock.owner, left)
  return await work({
    writer,
    landing: new Landing(writer),
    settings: {
      url: URL,
      connections: 4,
      tries: 1,
      select: undefined,
      pruneIndex: false,
      reserveBytes: 0,
      origin: false,
      guard: { removalPercent: 1, removalCrates: 20, removalVersions: 1000 },
    },
    accepted: { removals: 0, absent: 0, changed: new Set(), clock: false, reason: undefined },
    limitBytes: undefined,
    progress: new Progress(),
    signal,
    now: () => now,
  })
}

/** What somebody who pinned the root finds in `public/site`, by the client's own workflow. */
async function followed(mirror: string, now = NOW): Promise<Vouched | string> {
  const none = async (): Promise<void> => {}
  const fetch = async (file: string): Promise<Uint8Array | undefined> => {
    const path = join(mirror, 'public/site', file)
    return existsSync(path) ? readFileSync(path) : undefined
  }
  const io = { fetch, keep: none, drop: none, accuse: none }
  return await refresh({ root: ROOT, roots: [ROOT] }, io, { now, acceptClock: false }).catch(
    (error: MirrorError) => error.message,
  )
}

function found(mirror: string): Promise<Finding[]> {
  const options = {
    target: { kind: 'all' },
    url: URL,
    progress: new Progress(),
    now: NOW,
    signal: AbortSignal.timeout(30_000),
  } as const
  return Array.fromAsync(verify(mirror, options))
}

async function said(mirror: string): Promise<{ faults: string[]; warnings: string[] }> {
  const findings = await found(mirror)
  return {
    faults: findings.filter(isFault).map(({ file }) => file),
    // what an older tree alone names is unreferenced, which says nothing of chains
    warnings: findings
      .filter(finding => !isFault(finding))
      .map(({ what }) => what)
      .filter(what => !what.endsWith('unreferenced')),
  }
}

const treeOf = (mirror: string): string => (readPublished(mirror) as Snapshot).tree

test('killed before any file, a sign leaves the old state or the new one, and the next ends it (P4, P5)', async () => {
  for (const [of, tree] of [
    [first, undefined],
    [second, treeOf(first)],
  ] as const) {
    let left = 0
    for (let isKilled = true; isKilled; left += 1) {
      const mirror = copy(of)
      isKilled = await asRun(mirror, run => signSite(run, KEYS, GIVEN), { left }).then(
        () => false,
        (error: Error) => error.message === 'killed',
      )
      const seen = await followed(mirror)
      const where = `${of} killed at ${left}: ${JSON.stringify(seen)}`
      if (!isKilled) expect(seen, where).toMatchObject({ tree: treeOf(of) })
      else if (tree === undefined)
        expect(seen, where).toBe('timestamp.json: the upstream does not have it')
      else expect(seen, where).toMatchObject({ tree })
      if (tree !== undefined) expect((await said(mirror)).faults, where).toEqual([])

      await asRun(mirror, run => signSite(run, KEYS, GIVEN))
      expect(await followed(mirror), where).toMatchObject({ tree: treeOf(of) })
      expect(await said(mirror), where).toEqual({ faults: [], warnings: [] })
      rmSync(mirror, { recursive: true })
    }
    expect(left, of).toBe(of === first ? 9 : 7)
  }
}, 120_000)

test('what is signed and not shown yet is shown by the next writer, without keys', async () => {
  const mirror = copy(second)
  // targets, snapshot, timestamp are kept, targets alone are shown
  await expect(asRun(mirror, run => signSite(run, KEYS), { left: 4 })).rejects.toThrow('killed')
  expect((await said(mirror)).warnings.join()).toContain('version 2 is not shown yet')
  await asRun(mirror, run => recover(run, NOBODY))
  expect(await followed(mirror)).toMatchObject({ tree: treeOf(second), versions: { timestamp: 2 } })
  expect(await said(mirror)).toEqual({ faults: [], warnings: [] })
}, 30_000)

test('what is half signed, or damaged, stops no other writer and is never shown', async () => {
  const half = copy(second)
  await expect(asRun(half, run => signSite(run, KEYS), { left: 1 })).rejects.toThrow('killed')
  const shown = await contents(join(half, 'public'))
  await asRun(half, run => recover(run, NOBODY))
  expect(await contents(join(half, 'public'))).toEqual(shown)

  const damaged = copy(second)
  flip(join(damaged, 'state/trust/site/snapshot.json'))
  await asRun(damaged, run => recover(run, NOBODY))
  expect(await contents(join(damaged, 'public'))).toEqual(await contents(join(second, 'public')))
  await expect(asRun(damaged, run => signSite(run, KEYS))).rejects.toMatchObject({
    code: 'damaged',
  })
}, 30_000)

test('without news only what is past half its life is signed again', async () => {
  const mirror = copy(first)
  const sign = (now: Date): ReturnType<typeof signSite> =>
    asRun(mirror, run => signSite(run, KEYS, GIVEN), { now })
  expect(await sign(NOW)).toMatchObject({ outcome: 'signed', warnings: [] })
  expect(await sign(days(0.9))).toMatchObject({ outcome: 'unchanged' })
  expect(await sign(days(1.1))).toMatchObject({
    outcome: 'signed',
    versions: { targets: 1, snapshot: 1, timestamp: 2 },
  })
  expect(await sign(days(4))).toMatchObject({ versions: { targets: 1, snapshot: 2, timestamp: 3 } })
  expect(await sign(days(310))).toMatchObject({
    versions: { targets: 2, snapshot: 3, timestamp: 4 },
    warnings: [expect.stringContaining('root 1 of this site expires at')],
  })
  expect(await followed(mirror, days(310))).toMatchObject({ tree: treeOf(first) })
  await expect(sign(days(366))).rejects.toMatchObject({ code: 'expired' })
}, 30_000)

test('each kind of damage to the chain of a site is named, mended by --repair, and gone (P18)', async () => {
  const healthy = copy(second)
  await asRun(healthy, run => signSite(run, KEYS))
  const whole = [
    await contents(join(healthy, 'public')),
    await contents(join(healthy, 'state/trust')),
  ]
  const files = Object.keys(whole[0] ?? {}).filter(file => file.startsWith('site/'))
  expect(files).toHaveLength(6)
  const current = ['1.root.json', '2.targets.json', '2.snapshot.json', 'timestamp.json']
  const kept = ['root_history/1.root.json', 'targets.json', 'snapshot.json', 'timestamp.json']
  const damages = [
    ...current.flatMap(name => [
      [`public/site/${name}`, flip],
      [`public/site/${name}`, rmSync],
    ]),
    ...kept.map(name => [`state/trust/site/${name}`, flip]),
    ['state/trust/site/snapshot.json', rmSync],
  ] as [string, (file: string) => void][]
  for (const [file, damage] of damages) {
    const mirror = copy(healthy)
    damage(join(mirror, file))
    expect((await said(mirror)).faults, file).toContain(file)
    const findings = await found(mirror)
    expect(
      (await asRun(mirror, run => repair(run, undefined, { findings, again: { kind: 'all' } })))
        .left,
      file,
    ).toEqual([])
    const mended = [
      await contents(join(mirror, 'public')),
      await contents(join(mirror, 'state/trust')),
    ]
    expect(mended, file).toEqual(whole)
    rmSync(mirror, { recursive: true })
  }
}, 180_000)

test('an older signature of a site is checked too, and its tree as long as it is the newest', async () => {
  const lagging = copy(second)
  expect(treeOf(first)).not.toBe(treeOf(second))
  rmSync(join(lagging, `public/tuf/${treeOf(first)}.index-tree`))
  expect((await said(lagging)).faults).toEqual([`public/tuf/${treeOf(first)}.index-tree`])

  const signed = copy(second)
  await asRun(signed, run => signSite(run, KEYS))
  rmSync(join(signed, `public/tuf/${treeOf(first)}.index-tree`))
  expect(await said(signed)).toEqual({ faults: [], warnings: [] })
  flip(join(signed, 'public/site/1.targets.json'))
  expect((await said(signed)).faults).toEqual(['public/site/1.targets.json'])
}, 30_000)

test('expiry of what a site signed is a warning, and no fault', async () => {
  const mirror = copy(first)
  await asRun(mirror, run => signSite(run, KEYS, GIVEN), { now: days(-3) })
  const { faults, warnings } = await said(mirror)
  expect(faults).toEqual([])
  expect(warnings.join()).toMatch(/^public\/site\/timestamp\.json expired at/)
}, 30_000)

test('metadata in public that this mirror never signed is a stranger there, and never believed', async () => {
  const mirror = copy(first)
  const signed = copy(first)
  await asRun(signed, run => signSite(run, KEYS, GIVEN))
  cpSync(join(signed, 'public/site'), join(mirror, 'public/site'), { recursive: true })
  const names = ['1.root', '1.snapshot', '1.targets', 'timestamp']
  expect((await said(mirror)).faults.sort()).toEqual(names.map(name => `public/site/${name}.json`))
  await expectExit(0, 'verify', '--mirror', mirror, '--repair', '--quiet')
  expect(existsSync(join(mirror, 'state/trust/site'))).toBe(false)
  expect(await contents(join(mirror, 'public'))).toEqual(await contents(join(first, 'public')))
}, 30_000)

test('a mirror that only observes verifies without a chain, and its site can sign for it', async () => {
  const mirror = copy(first)
  observeOnly(mirror)
  expect(await said(mirror)).toEqual({ faults: [], warnings: [] })
  const status = await expectExit(0, 'status', '--mirror', mirror)
  expect(status.stdout).toContain('observed over TLS, not signed upstream')
  await asRun(mirror, run => signSite(run, KEYS, GIVEN))
  expect(await followed(mirror)).toMatchObject({ tree: treeOf(first) })
  expect(await said(mirror)).toEqual({ faults: [], warnings: [] })
  cpSync(join(first, 'public/tuf/timestamp.json'), join(mirror, 'public/tuf/timestamp.json'))
  expect((await said(mirror)).faults).toEqual(['public/tuf/timestamp.json'])
}, 30_000)

/** Makes of a mirror one that believes what TLS brings: no upstream signs its snapshot. */
function observeOnly(mirror: string): void {
  for (const file of ['published', 'snapshots/1.json']) {
    const path = join(mirror, 'state', file)
    const text = readFileSync(path, 'utf8')
    writeFileSync(path, text.replace(/"metadata":\{.*?\}/, '"metadata":null'))
  }
  const marker = join(mirror, 'state/marker')
  const text = readFileSync(marker, 'utf8')
  writeFileSync(
    marker,
    text.replace(/"root":"[0-9a-f]+"/, '"root":null').replace('"tuf"', '"observed"'),
  )
  const configuration = join(mirror, 'crateferry.toml')
  writeFileSync(
    configuration,
    readFileSync(configuration, 'utf8').replace('trust = "tuf"', 'trust = "observed"'),
  )
  rmSync(join(mirror, 'state/trust/upstream'), { recursive: true })
  for (const name of ['1.root', '1.targets', '1.snapshot', 'timestamp']) {
    rmSync(join(mirror, `public/tuf/${name}.json`))
  }
}

function flip(file: string): void {
  const bytes = readFileSync(file)
  const at = Math.floor(bytes.length / 2)
  bytes[at] = (bytes[at] ?? 0) ^ 1
  writeFileSync(file, bytes)
}
