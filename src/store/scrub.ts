import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { MirrorError } from '../error.ts'
import { type IndexPath, parseIndexPath } from '../registry/sparse-path.ts'
import { moveFile } from './durable.ts'
import { SCRUB } from './layout.ts'
import { isObject, readRecord, recordBytes } from './record.ts'

/** One reading of every crate, begun and perhaps ended. */
export interface ScrubRound {
  readonly began: string
  readonly ended: string | null
  /** Read so far. */
  readonly crates: number
  readonly bytes: number
  /** Files that were wrong, and those of them that could not be mended. */
  readonly faults: number
  readonly left: number
}

/** How far a mirror is read back in the background. Lost, the reading begins anew. */
export interface Scrub {
  readonly format: 1
  /** The crate that was read last; null: none of this round. */
  readonly after: IndexPath | null
  /** Until when as much was read as the days of a round ask for. */
  readonly paidUntil: string
  readonly round: ScrubRound
  readonly before: ScrubRound | null
}

type Rounds = Pick<Scrub, 'round' | 'before'>

/** What this round and the one before found, and could not mend. */
export function wrongFiles({ round, before }: Rounds): Pick<ScrubRound, 'faults' | 'left'> {
  const { faults, left } = round
  return { faults: faults + (before?.faults ?? 0), left: left + (before?.left ?? 0) }
}

/** One line for people. */
export function scrubText({ round, before }: Rounds): string {
  const { faults, left } = wrongFiles({ round, before })
  const found = faults === 0 ? 'nothing wrong' : `${faults} files were wrong, ${left} of them still`
  const all = before === null ? '' : `, all by ${before.ended}`
  return `${round.crates} crates since ${round.began}${all}; ${found}`
}

/** Undefined where it was never read, or the record is not ours: it is worth nothing but time. */
export function readScrub(root: string): Scrub | undefined {
  try {
    return readRecord(join(root, SCRUB), isScrub)
  } catch (error) {
    if (error instanceof MirrorError && error.code === 'damaged') return undefined
    throw error
  }
}

/** Not flushed, and no lock is needed: one daemon keeps it, and nobody believes it. */
export function writeScrub(root: string, scrub: Scrub): void {
  const file = join(root, SCRUB)
  writeFileSync(`${file}.new`, recordBytes(scrub), { mode: 0o644 })
  moveFile(`${file}.new`, file)
}

function isScrub(value: unknown): value is Scrub {
  return (
    isObject(value) &&
    value['format'] === 1 &&
    (value['after'] === null || parseIndexPath(String(value['after'])) !== undefined) &&
    isTime(value['paidUntil']) &&
    isRound(value['round']) &&
    (value['before'] === null || isRound(value['before']))
  )
}

function isRound(value: unknown): boolean {
  if (!isObject(value)) return false
  const { began, ended, ...counts } = value
  const numbers = [counts['crates'], counts['bytes'], counts['faults'], counts['left']]
  return isTime(began) && (ended === null || isTime(ended)) && numbers.every(Number.isSafeInteger)
}

const isTime = (value: unknown): boolean =>
  typeof value === 'string' && !Number.isNaN(Date.parse(value))
