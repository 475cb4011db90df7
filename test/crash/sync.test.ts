import { cpSync, existsSync, readdirSync, rmSync } from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { contents, expectExit, Registry } from '../crateferry.ts'
import { type LoopbackUpstream, serveFolder } from '../upstream.ts'
import { buildShim, type Fault, type FaultRun, runWithFault } from './shim.ts'

/** Where there is no compiler these tests are left out, and buildShim has said so on stderr. */
const shim = await buildShim()

const HULL = 'fe/rr/ferry-hull'
const AT_ONCE = 2
/** Of some 600 changing calls every test run tries a part; `npm run rig:crash` tries each one. */
const STRIDE = Number(process.env['CRASH_STRIDE'] ?? 4)

/** A kill needs no disk, and a disk that others write to makes every flush wait for them. */
const SCRATCH = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

/** A mirror at snapshot 1, an upstream at snapshot 2: one published, one yanked, one removed. */
async function prepared(
  work: (at: {
    registry: Registry
    upstream: LoopbackUpstream
    before: string
    want: Record<string, string>
  }) => Promise<void>,
): Promise<void> {
  await using registry = await Registry.make()
  await using upstream = await serveFolder(registry.public)
  const before = await registry.mirror('before', upstream.url)
  await expectExit(0, 'sync', '--mirror', before)
  await registry.publish(HULL, 'ferry-hull', '3.0.0')
  await registry.edit('fe/rr/ferry_deck', ([first = '', ...rest]) => [
    first.replace('"yanked":false', '"yanked":true'),
    ...rest,
  ])
  rmSync(registry.at('plain/index/1/f'))
  await registry.sign()
  const after = registry.at('after')
  cpSync(before, after, { recursive: true })
  await expectExit(0, 'sync', '--mirror', after)
  await work({ registry, upstream, before, want: await contents(join(after, 'public')) })
}

async function faulted(
  before: string,
  fault: Fault | 'count',
  look: (mirror: string, run: FaultRun) => Promise<void>,
): Promise<FaultRun> {
  await using scratch = await mkdtempDisposable(join(SCRATCH, 'crateferry-crash-'))
  const mirror = join(scratch.path, 'mirror')
  cpSync(before, mirror, { recursive: true })
  const run = await runWithFault(
    process.execPath,
    ['bin/crateferry.js', 'sync', '--mirror', mirror],
    {
      prefix: mirror,
      fault,
      env: { ...process.env, NODE_OPTIONS: '' },
      signal: AbortSignal.timeout(60_000),
    },
  )
  await look(mirror, run)
  return run
}

/** The rerun needs no hand, leaves what a run that was never killed leaves, and nothing besides. */
async function expectHealed(
  mirror: string,
  want: Record<string, string>,
  at: string,
): Promise<void> {
  await expectExit(0, 'sync', '--mirror', mirror)
  expect(await contents(join(mirror, 'public')), at).toEqual(want)
  expect(readdirSync(join(mirror, 'state/partials')), at).toEqual([])
  expect(readdirSync(join(mirror, 'state/owners')), at).toEqual([])
  expect(readdirSync(join(mirror, 'state')), at).not.toContain('next')
  expect(readdirSync(join(mirror, 'state')), at).not.toContain('landing')
}

/** Tries every call of 1…n, a few at once. */
async function everyCall(n: number, work: (call: number) => Promise<void>): Promise<void> {
  const calls = Array.from({ length: n }, (_, i) => i + 1).values()
  const worker = async (): Promise<void> => {
    for (const call of calls) await work(call)
  }
  const ended = await Promise.allSettled(Array.from({ length: AT_ONCE }, worker))
  for (const one of ended) if (one.status === 'rejected') throw one.reason
}

test.runIf(shim)(
  'killed at any changing call, a sync is finished by the next one as if nothing had been (P5)',
  { timeout: 1_800_000 },
  async () => {
    await prepared(async ({ before, want }) => {
      const { calls } = await faulted(before, 'count', async () => {})
      expect(calls).toBeGreaterThan(50)
      await everyCall(Math.ceil(calls / STRIDE), async step => {
        const call = (step - 1) * STRIDE + 1
        await faulted(before, { call, kind: 'KILL' }, async (mirror, run) => {
          const at = `killed at call ${call}: ${run.log[call - 1]}`
          await expectHealed(mirror, want, at)
        })
      })
    })
  },
)

test.runIf(shim).each(['EIO', 'ENOSPC'] as const)(
  'where a changing call fails with %s, a sync stops or goes on, and the next one is right (P3, P8)',
  { timeout: 1_800_000 },
  async kind => {
    await prepared(async ({ before, want }) => {
      const { calls } = await faulted(before, 'count', async () => {})
      await everyCall(Math.ceil(calls / (2 * STRIDE)), async step => {
        const call = (step - 1) * 2 * STRIDE + 1
        await faulted(before, { call, kind }, async (mirror, run) => {
          const at = `${kind} at call ${call}: ${run.log[call - 1]}`
          expect([0, 3, 20, 21], `${at}\n${run.stderr}`).toContain(run.exit)
          expect(run.stderr, at).not.toContain('unexpected')
          await expectHealed(mirror, want, at)
        })
      })
    })
  },
)
