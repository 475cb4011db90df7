import { join } from 'node:path'
import { expect, test } from 'vitest'
import { contents } from '../crateferry.ts'
import { faultsOf } from './invariants.ts'
import { orderFaults } from './order.ts'
import { everyCall, expectHealed, faulted, prepared } from './prepared.ts'
import { buildShim } from './shim.ts'

/** Where there is no compiler these tests are left out, and buildShim has said so on stderr. */
const shim = await buildShim()

/** Of some hundreds of changing calls every test run tries a part; `npm run rig:crash` tries each. */
const STRIDE = Number(process.env['CRASH_STRIDE'] ?? 4)
const timeout = 1_800_000

test.runIf(shim)(
  'every name is given after what it promises was flushed (P3, P6)',
  {
    timeout,
  },
  async () => {
    await prepared(async ({ before, want }) => {
      await faulted(before, 'count', async (mirror, run) => {
        expect(run.exit).toBe(0)
        expect(await contents(join(mirror, 'public'))).toEqual(want)
        expect(orderFaults(run.log)).toEqual([])
        expect(faultsOf(mirror, { atLeast: 2 })).toEqual([])
      })
    })
  },
)

test.runIf(shim)(
  'killed at any changing call, a sync leaves a whole state and is finished by the next one (P4, P5)',
  { timeout },
  async () => {
    await prepared(async ({ before, want }) => {
      const { calls } = await faulted(before, 'count', () => {})
      expect(calls).toBeGreaterThan(50)
      await everyCall(calls, STRIDE, async call => {
        await faulted(before, { call, kind: 'KILL' }, async (mirror, run) => {
          const at = `killed at call ${call}: ${run.log[call - 1]}`
          expect(faultsOf(mirror, { atLeast: 1 }), at).toEqual([])
          await expectHealed(mirror, want, at)
        })
      })
    })
  },
)

test.runIf(shim).each(['EIO', 'ENOSPC'] as const)(
  'where a changing call fails with %s, a sync stops or goes on, and the next one is right (P3, P8)',
  { timeout },
  async kind => {
    await prepared(async ({ before, want }) => {
      const { calls } = await faulted(before, 'count', () => {})
      await everyCall(calls, 2 * STRIDE, async call => {
        await faulted(before, { call, kind }, async (mirror, run) => {
          const at = `${kind} at call ${call}: ${run.log[call - 1]}`
          expect([0, 3, 20, 21], `${at}\n${run.stderr}`).toContain(run.exit)
          expect(run.stderr, at).not.toContain('unexpected')
          expect(faultsOf(mirror, { atLeast: 1 }), at).toEqual([])
          await expectHealed(mirror, want, at)
        })
      })
    })
  },
)
