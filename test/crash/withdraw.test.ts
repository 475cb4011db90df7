import { cpSync, existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { artifactAt, checksumOf, contents, expectExit, Registry } from '../crateferry.ts'
import { everyCall, faulted } from './prepared.ts'
import { buildShim } from './shim.ts'

/** Where there is no compiler these tests are left out, and buildShim has said so on stderr. */
const shim = await buildShim()

const HULL = 'fe/rr/ferry-hull'
const timeout = 1_800_000

/** There are few calls; `npm run rig:crash` tries each. */
const STRIDE = Math.ceil(Number(process.env['CRASH_STRIDE'] ?? 8) / 4)
const WITHDRAW = ['withdraw', 'ferry-hull@1.1.0', '--reason', 'court order 12/345']
const RESTORE = [...WITHDRAW, '--restore']

test.runIf(shim)(
  'killed at any changing call, a withdrawal or its reversal is done by running it again, and nothing is lost (P5)',
  { timeout },
  async () => {
    await using registry = await Registry.make()
    const before = registry.at('repository')
    const checksum = await checksumOf(registry.at('plain/index'), HULL, '1.1.0')
    const shown = `public/${artifactAt(HULL, checksum)}`
    const quarantined = `state/quarantine/${checksum}.crate`
    const whole = (await contents(before))[shown]
    const after = registry.at('after')
    cpSync(before, after, { recursive: true })
    await expectExit(0, ...WITHDRAW, '--mirror', after)

    for (const [mirror, command, from, to] of [
      [before, WITHDRAW, shown, quarantined],
      [after, RESTORE, quarantined, shown],
    ] as const) {
      const program = 'bin/crateferry.js'
      const { log } = await faulted(mirror, 'count', () => {}, program, command)
      // what the lock does before and after has tests of its own
      const begun = log.findIndex(line => /open \S+\/owners\/\w+\/1$|link /.test(line))
      const ended = log.findIndex(line => /open \S+\/runs\.jsonl/.test(line))
      expect([begun, ended - begun > 8]).toEqual([12, true])
      await everyCall(ended - begun, STRIDE, async nth => {
        const call = begun + nth
        const look = async (left: string): Promise<void> => {
          const at = `${command.at(-1)} killed at call ${call}`
          const files = await contents(left)
          expect([files[from], files[to]], at).toContain(whole)
          const isRecorded = existsSync(join(left, `state/quarantine/${checksum}.json`))
          expect(isRecorded || files[shown] === whole, at).toBe(true)
          const isDone = isRecorded === (to === quarantined) && files[to] === whole
          if (!isDone) await expectExit(0, ...command, '--mirror', left)
          else await expectExit(to === quarantined ? 0 : 64, ...command, '--mirror', left)
          expect((await contents(left))[to], at).toBe(whole)
          expect(readdirSync(join(left, 'state/quarantine')).length, at).toBe(
            to === quarantined ? 2 : 0,
          )
        }
        await faulted(mirror, { call, kind: 'KILL' }, look, program, command)
      })
    }
  },
)
