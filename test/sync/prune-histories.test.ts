import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { CrateName } from '../../src/registry/crate-name.ts'
import { prune } from '../../src/sync/prune.ts'
import { Progress } from '../../src/sync/run.ts'
import { verify } from '../../src/sync/verify.ts'
import { isFault } from '../../src/sync/verify-finding.ts'
import { entriesEver, withdrawEntries } from '../../src/sync/withdraw.ts'
import { History } from '../history.ts'
import {
  immutableFiles,
  indexOf,
  namedBy,
  type SnapshotRecord,
  snapshotsOf,
} from '../named-files.ts'

const KEEP_DAYS = 7
const DAY_MS = 86_400_000

const KINDS = [
  'publish',
  'share',
  'lose',
  'yank',
  'remove version',
  'remove crate',
  'withdraw',
  'prune',
  'prune-index',
] as const

/** What happens to one crate, and how many days pass until the next thing. */
interface Event {
  readonly kind: (typeof KINDS)[number]
  readonly crate: string
  readonly days: number
}

const event: fc.Arbitrary<Event> = fc.record({
  kind: fc.constantFrom(...KINDS),
  // of two prefixes, and enough of them for a tree of more than one tile
  crate: fc.oneof(
    fc.constantFrom('serde', 'tokio', 'serde-json'),
    fc.integer({ min: 0, max: 69 }).map(n => `crate-${n}`),
  ),
  days: fc.constantFrom(0, 0, 1, 3, 8),
})

async function happen(history: History, { kind, crate, days }: Event): Promise<void> {
  history.pass(days)
  if (kind === 'prune') return await pruneAndCheck(history)
  if (kind === 'publish') history.publish(crate)
  else if (kind === 'withdraw') await withdrawNewest(history, crate as CrateName)
  else if (kind === 'prune-index') history.prunesIndex = !history.prunesIndex
  else if (kind === 'share') history.publish(crate, 'bytes that several crates have')
  else if (kind === 'lose') history.publishLost(crate)
  else if (kind === 'remove crate') history.change(crate, () => [])
  else if (kind === 'remove version') history.change(crate, lines => lines.slice(1))
  else {
    history.change(crate, lines =>
      lines.map((line, i) => (i === 0 ? { ...line, isYanked: !line.isYanked } : line)),
    )
  }
  await history.sync()
  expectIndexUnderPaths(history)
}

async function withdrawNewest(history: History, crate: CrateName): Promise<void> {
  await history.asRun(async run => {
    const entries = entriesEver(history.mirror, { crate, version: undefined })
    await withdrawEntries(run, entries.slice(-1), 'malware')
  })
}

/** The whole files that count, or of each the lines whose artifact is here. */
function expectIndexUnderPaths({ mirror, prunesIndex }: History): void {
  const last = snapshotsOf(mirror).at(-1)
  expect(last?.pruned !== undefined).toBe(prunesIndex)
  const expected = new Map<string, string>()
  for (const [path, checksum] of last === undefined ? [] : indexOf(mirror, last)) {
    const folder = dirname(path)
    const whole = readFileSync(`${mirror}/public/index/${folder}/${checksum}.${basename(path)}`)
    const lines = whole.toString().trimEnd().split('\n')
    const isHere = (line: string): boolean =>
      existsSync(`${mirror}/public/crates/${folder}/${JSON.parse(line).cksum}.crate`)
    const shown = prunesIndex ? lines.filter(isHere) : lines
    if (shown.length > 0) expected.set(path, `${shown.join('\n')}\n`)
  }
  const names = readdirSync(`${mirror}/public/index`, { recursive: true, encoding: 'utf8' })
  const paths = names.filter(
    name => /(?:^|\/)[^./]+$/.test(name) && isFile(`${mirror}/public/index/${name}`),
  )
  const found = paths.map(
    path => [path, readFileSync(`${mirror}/public/index/${path}`, 'utf8')] as const,
  )
  expect(Object.fromEntries(found)).toEqual(Object.fromEntries(expected))
}

const isFile = (name: string): boolean => statSync(name).isFile()

/** The newest, and each that was replaced less than `KEEP_DAYS` ago. */
function keptOf({ mirror, now }: History): SnapshotRecord[] {
  const all = snapshotsOf(mirror)
  return all.filter((_, index) => {
    const next = all[index + 1]
    return next === undefined || now.getTime() - Date.parse(next.at) < KEEP_DAYS * DAY_MS
  })
}

async function pruneAndCheck(history: History): Promise<void> {
  const { mirror } = history
  const before = immutableFiles(mirror)
  const kept = keptOf(history)
  const named = new Set(kept.flatMap(snapshot => [...namedBy(mirror, snapshot)]))
  const options = { keepDays: KEEP_DAYS, alsoKept: [], isDryRun: false, isConfirmed: true }
  const report = await history.asRun(run => prune(run, options))

  const after = immutableFiles(mirror)
  expect([...before.intersection(named).difference(after)], 'named and gone').toEqual([])
  expect([...after.difference(named)], 'named by nothing and left').toEqual([])
  expect(readdirSync(`${mirror}/state/snapshots`).sort()).toEqual(
    kept.map(({ n }) => `${n}.json`).sort(),
  )
  const { metadata, tiles, indexFiles, artifacts } = report
  const counted = [metadata, tiles, indexFiles, artifacts].reduce(
    (sum, { files }) => sum + files,
    0,
  )
  expect(counted).toBe(before.size - after.size)
  expect(await faultsOf(history)).toEqual([])
}

async function faultsOf({ mirror, now }: History): Promise<string[]> {
  const options = {
    target: { kind: 'all' },
    url: 'http://127.0.0.1:8377',
    progress: new Progress(),
    now,
    signal: AbortSignal.timeout(30_000),
  } as const
  const findings = await Array.fromAsync(verify(mirror, options))
  return findings.filter(isFault).map(({ what }) => what)
}

test('after any history a prune leaves what a kept snapshot names, and nothing else (P20)', {
  timeout: 120_000,
}, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(event, { minLength: 5, maxLength: 12 }), async events => {
      await using history = await History.begin()
      for (let n = 0; n < 70; n += 1) history.publish(`crate-${n}`)
      await history.sync()
      for (const one of events) await happen(history, one)
      await pruneAndCheck(history)
    }),
    { numRuns: Number(process.env['PRUNE_HISTORIES'] ?? 5), endOnFailure: true },
  )
})
