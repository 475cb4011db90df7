import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { contents, expectExit } from '../crateferry.ts'
import { CratesIo } from '../crates-io.ts'
import { faultsOf } from './invariants.ts'
import { orderFaults } from './order.ts'
import { everyCall, expectHealed, faulted } from './prepared.ts'
import { buildShim } from './shim.ts'

/** Where there is no compiler these tests are left out, and buildShim has said so on stderr. */
const shim = await buildShim()

/** What follows the look is tried in `sync.test.ts`; `npm run rig:crash` tries every call. */
const STRIDE = Number(process.env['CRASH_STRIDE'] ?? 24)
const SWEEP = ['sync', '--sweep']
const timeout = 1_800_000

/** A mirror that observes, and what its registry has come to since: a version, a crate, a yank. */
async function observed(
  work: (at: { before: string; want: Record<string, string> }) => Promise<void>,
): Promise<void> {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'crateferry-crash-'))
  await using registry = await CratesIo.start()
  for (const name of ['serde', 'tokio', 'rand']) registry.publish(name, '1.0.0')
  const before = join(folder.path, 'before')
  const contact = ['--contact', 'test@site.example']
  await expectExit(0, 'init', before, '--observed', '--upstream', registry.index, ...contact)
  const file = join(before, 'crateferry.toml')
  const { feeds, dump, advisoriesFeed } = registry
  const urls = `feeds = "${feeds}"\ndump = "${dump}"\nadvisories = "${advisoriesFeed}"`
  const text = readFileSync(file, 'utf8').replace('[upstream]\n', `[upstream]\n${urls}\n`)
  writeFileSync(file, text.replace('[sync]\n', '[sync]\nrequests-per-second = 10000\n'))
  await expectExit(0, 'sync', '--mirror', before)
  registry.publish('serde', '1.0.1')
  registry.publish('log', '0.1.0')
  registry.yank('tokio', '1.0.0')
  // looks and sweeps are dated by the second
  await sleep(1100)
  const after = join(folder.path, 'after')
  cpSync(before, after, { recursive: true })
  await expectExit(0, ...SWEEP, '--mirror', after)
  await work({ before, want: await contents(join(after, 'public')) })
}

test.runIf(shim)(
  'killed at any changing call, a sweep leaves a whole state and is ended by the next run (P4, P5)',
  { timeout },
  async () => {
    await observed(async ({ before, want }) => {
      const look = async (mirror: string): Promise<void> => {
        expect(await contents(join(mirror, 'public'))).toEqual(want)
        expect(faultsOf(mirror, { atLeast: 2 })).toEqual([])
      }
      const { calls, log } = await faulted(before, 'count', look, undefined, SWEEP)
      expect(orderFaults(log)).toEqual([])
      expect(calls).toBeGreaterThan(50)
      await everyCall(calls, STRIDE, async call => {
        const killed = { call, kind: 'KILL' } as const
        const heal = async (mirror: string): Promise<void> => {
          const at = `killed at call ${call}: ${log[call - 1]}`
          expect(faultsOf(mirror, { atLeast: 1 }), at).toEqual([])
          await expectHealed(mirror, want, at, SWEEP)
        }
        await faulted(before, killed, heal, undefined, SWEEP)
      })
    })
  },
)
