import { lastRuns, type RunRecord } from '../store/runs.ts'
import { bytesText } from '../units.ts'
import { type Context, openConfigured } from './context.ts'

const RUNS_SHOWN = 20

/** `crateferry runs`: what ran lately, newest last; with --json each whole record as a line. */
export async function runsCommand(
  context: Context,
  { last = RUNS_SHOWN }: { readonly last?: number },
): Promise<number> {
  const { mirror } = await openConfigured(context)
  for (const run of lastRuns(mirror.root, last)) context.out.item(run, runLine(run))
  return 0
}

/** `2026-11-27T18:59:28Z sync: exit 0 after 12 s, published snapshot 4, 1.2 MB came`. */
export function runLine(run: RunRecord): string {
  const { at, command, exit, seconds, received, outcome, snapshot, error, reason } = run
  const facts = [
    outcome === undefined ? undefined : `${outcome}`,
    snapshot === undefined ? undefined : `snapshot ${snapshot}`,
    received === undefined ? undefined : `${bytesText(received)} came`,
    reason === undefined ? undefined : `reason: ${reason}`,
    error === undefined ? undefined : `${error}`.replace(/^crateferry: /, ''),
  ].filter(fact => fact !== undefined)
  const told = facts.length === 0 ? '' : `, ${facts.join(', ')}`
  return `${at} ${command}: exit ${exit} after ${seconds} s${told}`
}
