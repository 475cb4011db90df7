import { execFileSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync } from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { bagOn, Courier } from '../bundle/carried.ts'
import { contents, expectExit } from '../crateferry.ts'
import { faultsOf } from './invariants.ts'
import { everyCall, expectHealed, faulted } from './prepared.ts'
import { buildShim, type Fault, type FaultRun, runWithFault } from './shim.ts'

/** Where there is no compiler these tests are left out, and buildShim has said so on stderr. */
const shim = await buildShim()

/** Of some hundred changing calls every test run tries a part; `npm run rig:crash` tries each. */
const STRIDE = Number(process.env['CRASH_STRIDE'] ?? 12)
const timeout = 1_800_000
const SCRATCH = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

/** An export from a copy of the mirror onto an empty stick, both below the folder whose calls count. */
async function exported(
  before: string,
  fault: Fault | 'count',
  look: (at: { mirror: string; stick: string }, run: FaultRun) => Promise<void> | void,
): Promise<FaultRun> {
  await using scratch = await mkdtempDisposable(join(SCRATCH, 'crateferry-crash-'))
  const [mirror, stick] = [join(scratch.path, 'mirror'), join(scratch.path, 'stick')]
  cpSync(before, mirror, { recursive: true })
  mkdirSync(stick)
  const args = ['bundle', 'export', '--to', stick, '--mirror', mirror]
  const run = await runWithFault(process.execPath, ['bin/crateferry.js', ...args], {
    prefix: scratch.path,
    fault,
    env: { ...process.env, NODE_OPTIONS: '' },
    signal: AbortSignal.timeout(60_000),
  })
  await look({ mirror, stick }, run)
  return run
}

/** A bag that has its name is whole, to coreutils as well. */
function expectWhole(stick: string, at: string): void {
  for (const name of readdirSync(stick).filter(one => !one.endsWith('.partial'))) {
    const check = ['-c', '--strict', '--quiet', 'tagmanifest-sha256.txt', 'manifest-sha256.txt']
    expect(() => execFileSync('sha256sum', check, { cwd: join(stick, name) }), at).not.toThrow()
  }
}

async function expectExported(
  { mirror, stick }: { readonly mirror: string; readonly stick: string },
  want: Record<string, string>,
  at: string,
): Promise<void> {
  expectWhole(stick, at)
  await expectExit(0, 'bundle', 'export', '--to', stick, '--mirror', mirror)
  expectWhole(stick, at)
  expect(readdirSync(stick), at).toHaveLength(1)
  expect(await contents(join(bagOn(stick), 'data')), at).toEqual(want)
}

test.runIf(shim)(
  'killed or failing at any changing call, an export leaves no bag that is not whole, and the same command ends it (B8, B9)',
  { timeout },
  async () => {
    await using courier = await Courier.make()
    const before = courier.near
    let want: Record<string, string> = {}
    const { calls } = await exported(before, 'count', async ({ stick }, run) => {
      expect(run.exit, run.stderr).toBe(0)
      want = await contents(join(bagOn(stick), 'data'))
    })
    expect(calls).toBeGreaterThan(50)
    for (const kind of ['KILL', 'EIO', 'ENOSPC', 'SHORT'] as const) {
      await everyCall(calls, kind === 'KILL' ? STRIDE : 2 * STRIDE, async call => {
        await exported(before, { call, kind }, async (folders, run) => {
          const at = `${kind} at call ${call}: ${run.log[call - 1]}\n${run.stderr}`
          if (kind !== 'KILL') expect([0, 20, 21], at).toContain(run.exit)
          expect(run.stderr, at).not.toContain('unexpected')
          await expectExported(folders, want, at)
        })
      })
    }
  },
)

test.runIf(shim)(
  'killed or failing at any changing call, an import leaves a whole state, and the same command ends it (B2, B8)',
  { timeout },
  async () => {
    await using courier = await Courier.make()
    const far = await courier.far()
    await courier.import(0, far, [await courier.export('full')])
    await courier.registry.publish('fe/rr/ferry-hull', 'ferry-hull', '3.0.0')
    await courier.registry.remove('1/f')
    await courier.registry.sign()
    const delta = await courier.export('delta', '--base', 'targets:1')
    const command = ['bundle', 'import', delta]
    let want: Record<string, string> = {}
    const { calls } = await faulted(
      far,
      'count',
      async (mirror, run) => {
        expect(run.exit, run.stderr).toBe(0)
        want = await contents(join(mirror, 'public'))
      },
      'bin/crateferry.js',
      command,
    )
    expect(calls).toBeGreaterThan(50)
    for (const kind of ['KILL', 'EIO', 'ENOSPC'] as const) {
      await everyCall(calls, kind === 'KILL' ? STRIDE : 2 * STRIDE, async call => {
        await faulted(
          far,
          { call, kind },
          async (mirror, run) => {
            const at = `${kind} at call ${call}: ${run.log[call - 1]}\n${run.stderr}`
            if (kind !== 'KILL') expect([0, 20, 21], at).toContain(run.exit)
            expect(run.stderr, at).not.toContain('unexpected')
            expect(faultsOf(mirror, { atLeast: 1 }), at).toEqual([])
            await expectHealed(mirror, want, at, command)
          },
          'bin/crateferry.js',
          command,
        )
      })
    }
  },
)
