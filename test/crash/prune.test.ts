import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { contents, expectExit, Registry } from '../crateferry.ts'
import { faultsOf } from './invariants.ts'
import { everyCall, faulted, type Prepared } from './prepared.ts'
import { buildShim, type Fault, type FaultRun } from './shim.ts'

/** Where there is no compiler these tests are left out, and buildShim has said so on stderr. */
const shim = await buildShim()

/** Of some dozens of changing calls every test run tries a part; `npm run rig:crash` tries each. */
const STRIDE = Number(process.env['CRASH_STRIDE'] ?? 8)
const timeout = 1_800_000

/** A repository at snapshot 2 that keeps no older one: two crates went, one has a new version. */
async function prepared(work: (at: Prepared) => Promise<void>): Promise<void> {
  await using registry = await Registry.make()
  const before = registry.at('repository')
  await registry.remove('1/f')
  await registry.remove('2/fy')
  await registry.publish('fe/rr/ferry-hull', 'ferry-hull', '3.0.0')
  await registry.sign()
  const file = join(before, 'crateferry.toml')
  writeFileSync(file, readFileSync(file, 'utf8').replace('# keep-days = 7', 'keep-days = 0'))
  const after = registry.at('after')
  cpSync(before, after, { recursive: true })
  await expectExit(0, 'prune', '--mirror', after, '--yes')
  const want = await contents(join(after, 'public'))
  expect(Object.keys(want).length).toBeLessThan(readdirCount(before) - 5)
  await work({ before, want })
}

const readdirCount = (mirror: string): number =>
  readdirSync(join(mirror, 'public'), { recursive: true }).length

async function prunedWith(
  before: string,
  fault: Fault | 'count',
  look: (mirror: string, run: FaultRun) => Promise<void> | void,
): Promise<FaultRun> {
  return await faulted(before, fault, look, 'bin/crateferry.js', ['prune', '--yes'])
}

/** The rerun needs no hand and removes the rest. */
async function expectFinished(
  mirror: string,
  want: Record<string, string>,
  at: string,
): Promise<void> {
  await expectExit(0, 'prune', '--mirror', mirror, '--yes')
  expect(await contents(join(mirror, 'public')), at).toEqual(want)
  expect(readdirSync(join(mirror, 'state/snapshots')), at).toEqual(['2.json'])
  expect(readdirSync(join(mirror, 'state/owners')), at).toEqual([])
}

test.runIf(shim)(
  'a snapshot is forgotten, durably, before anything that it names is removed (P3)',
  { timeout },
  async () => {
    await prepared(async ({ before, want }) => {
      await prunedWith(before, 'count', async (mirror, run) => {
        expect(run.exit, run.stderr).toBe(0)
        expect(await contents(join(mirror, 'public'))).toEqual(want)
        const at = (pattern: RegExp): number => run.log.findIndex(line => pattern.test(line))
        const forgotten = at(/rename \S+\/snapshots\/1\.json/)
        const flushed = at(/(?:fsync \S+\/snapshots|syncfs)$/)
        const removed = at(/rename \S+\/public\//)
        expect(forgotten).toBeGreaterThan(0)
        expect([forgotten, flushed, removed]).toEqual(
          [forgotten, flushed, removed].toSorted(ascending),
        )
        expect(removed).toBeLessThan(at(/rename \S+\.crate /))
      })
    })
  },
)

const ascending = (a: number, b: number): number => a - b

test.runIf(shim)(
  'killed at any changing call, a prune leaves the published snapshot whole, and the next one goes on (P5, P20)',
  { timeout },
  async () => {
    await prepared(async ({ before, want }) => {
      const { calls } = await prunedWith(before, 'count', () => {})
      expect(calls).toBeGreaterThan(20)
      await everyCall(calls, STRIDE, async call => {
        await prunedWith(before, { call, kind: 'KILL' }, async (mirror, run) => {
          const at = `killed at call ${call}: ${run.log[call - 1]}`
          expect(faultsOf(mirror, { atLeast: 2 }), at).toEqual([])
          await expectFinished(mirror, want, at)
        })
      })
    })
  },
)

test.runIf(shim)(
  'where a changing call fails with EIO, a prune says so and the next one goes on (P8)',
  { timeout },
  async () => {
    await prepared(async ({ before, want }) => {
      const { calls } = await prunedWith(before, 'count', () => {})
      await everyCall(calls, 2 * STRIDE, async call => {
        await prunedWith(before, { call, kind: 'EIO' }, async (mirror, run) => {
          const at = `EIO at call ${call}: ${run.log[call - 1]}`
          expect([0, 21], `${at}\n${run.stderr}`).toContain(run.exit)
          expect(run.stderr, at).not.toContain('unexpected')
          expect(faultsOf(mirror, { atLeast: 2 }), at).toEqual([])
          await expectFinished(mirror, want, at)
        })
      })
    })
  },
)
