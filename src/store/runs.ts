import { appendFileSync, existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { RUNS } from './layout.ts'
import { isObject } from './record.ts'

/** What one run did, as told to people: never believed over the disk, so it is not flushed. */
export interface RunRecord {
  readonly command: string
  readonly at: string
  readonly seconds: number
  readonly exit: number
  readonly [fact: string]: unknown
}

export function recordRun(root: string, run: RunRecord): void {
  appendFileSync(join(root, RUNS), `${JSON.stringify(run)}\n`, { mode: 0o644 })
}

/** The newest `count` runs, newest last; a torn line is skipped. */
export function lastRuns(root: string, count: number): RunRecord[] {
  const file = join(root, RUNS)
  if (!existsSync(file)) return []
  const lines = readFileSync(file, 'utf8')
    .split('\n')
    .slice(-count - 1)
  return lines.flatMap(line => parsed(line) ?? [])
}

function parsed(line: string): RunRecord | undefined {
  try {
    const value: unknown = JSON.parse(line)
    return isObject(value) ? (value as unknown as RunRecord) : undefined
  } catch {
    return undefined
  }
}
