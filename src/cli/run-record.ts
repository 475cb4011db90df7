import type { Mirror } from '../store/mirror.ts'
import { recordRun } from '../store/runs.ts'
import type { Context } from './context.ts'

/** Keeps a record of a run that begins now; called once, when it has ended. */
export function recorder(
  { now, out }: Pick<Context, 'now' | 'out'>,
  { root }: Pick<Mirror, 'root'>,
  command: string,
): (exit: number, facts: object) => void {
  const at = `${now().toISOString().slice(0, 19)}Z`
  const begun = performance.now()
  return (exit, facts) => {
    const seconds = Math.round((performance.now() - begun) / 10) / 100
    try {
      recordRun(root, { command, at, seconds, exit, ...facts })
    } catch (error) {
      // what the run did is on the disk; a full disk must not turn that into a failure
      out.say(`warning: this run is not recorded (${(error as Error).message})`)
    }
  }
}
