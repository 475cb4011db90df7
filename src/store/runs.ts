import { appendFileSync, existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { moveFile } from './durable.ts'
import { RUNS, RUNS_BEFORE } from './layout.ts'
import { isObject } from './record.ts'

/** What one run did, as told to people: never believed over the disk, so it is not flushed. */
export interface RunRecord {
  readonly command: string
  readonly at: string
  readonly seconds: number
  readonly exit: number
  /** Bytes of bodies that came from upstream, where the run asked it for any. */
  readonly received?: number
  readonly [fact: string]: unknown
}

/** A year of hourly runs; then the file begins anew, and the one before it is kept. */
const FILE_BYTES_MAX = 8 * 1024 * 1024

export function recordRun(root: string, run: RunRecord): void {
  const file = join(root, RUNS)
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0
  if (size > FILE_BYTES_MAX) moveFile(file, join(root, RUNS_BEFORE))
  appendFileSync(file, `${JSON.stringify(run)}\n`, { mode: 0o644 })
}

/** The newest `count` runs, newest last; a torn line is skipped. */
export function lastRuns(root: string, count: number): RunRecord[] {
  const newest = runsIn(join(root, RUNS), count)
  if (newest.length >= count) return newest
  return [...runsIn(join(root, RUNS_BEFORE), count - newest.length), ...newest]
}

/** Bytes that came in the runs that began in this month, `2026-11`, UTC as the records are. */
export function receivedSince(root: string, month: string): number {
  return lastRuns(root, Number.POSITIVE_INFINITY)
    .filter(({ at }) => at >= month)
    .reduce((sum, { received = 0 }) => sum + received, 0)
}

function runsIn(file: string, count: number): RunRecord[] {
  if (!existsSync(file)) return []
  const lines = readFileSync(file, 'utf8').split('\n')
  const wanted = count === Number.POSITIVE_INFINITY ? lines : lines.slice(-count - 1)
  return wanted.flatMap(line => parsed(line) ?? [])
}

function parsed(line: string): RunRecord | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return isObject(value) ? (value as unknown as RunRecord) : undefined
  } catch {
    return undefined
  }
}
