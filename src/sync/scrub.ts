import type { IndexPath } from '../registry/sparse-path.ts'
import type { Scrub, ScrubRound } from '../store/scrub.ts'
import type { Traffic } from '../upstream/traffic.ts'
import { type Progress, stamp } from './run.ts'
import { verify } from './verify.ts'
import { type Fault, isFault } from './verify-finding.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/**
 * How many crates are to be read now, so that a round takes `days`; 0: none. Each hour its part;
 * what a stop of more than a day left is not made up for.
 */
export function scrubShare(
  scrub: Scrub | undefined,
  { crates, days, now }: { readonly crates: number; readonly days: number; readonly now: Date },
): number {
  const ms = owedMs(scrub, now)
  return days === 0 || ms < HOUR_MS ? 0 : Math.ceil((crates * ms) / (days * DAY_MS))
}

/** A clock that was set back must not make it wait for the time it had been. */
function owedMs(scrub: Scrub | undefined, now: Date): number {
  if (scrub === undefined) return HOUR_MS
  const ms = now.getTime() - Date.parse(scrub.paidUntil)
  return ms < 0 ? HOUR_MS : Math.min(ms, DAY_MS)
}

/** What was read in one go, and what was found. */
export interface Bite {
  readonly share: number
  /** The last crate that was read. */
  readonly after: IndexPath | null
  readonly crates: number
  readonly bytes: number
  readonly faults: readonly Fault[]
  /** Whether it was stopped before it had read its share. */
  readonly isStopped: boolean
}

/** Reads crates that follow one, as `verify` does, at the given pace. To be stopped is a good end. */
export async function scrubBite(
  root: string,
  options: {
    readonly after: IndexPath | null
    readonly share: number
    readonly url: string
    readonly pace: Traffic
    readonly progress: Progress
    readonly now: Date
    readonly signal: AbortSignal
  },
): Promise<Bite> {
  const { share, signal, progress, ...given } = options
  let { after } = options
  const read = new Set<IndexPath>()
  const onRead = (path: IndexPath): void => {
    read.add(path)
    after = path
  }
  const target = { kind: 'following', after, count: share, onRead } as const
  const faults: Fault[] = []
  try {
    for await (const finding of verify(root, { ...given, target, progress, signal })) {
      if (isFault(finding)) faults.push(finding)
    }
  } catch (error) {
    if (!signal.aborted) throw error
  }
  const { bytes } = progress
  return { share, after, crates: read.size, bytes, faults, isStopped: signal.aborted }
}

/** The record when a bite is read, and its faults mended but for `left`. */
export function afterBite(
  scrub: Scrub | undefined,
  bite: Bite,
  { now, left }: { readonly now: Date; readonly left: number },
): Scrub {
  const at = stamp(now)
  const { share, after, crates, bytes, faults, isStopped } = bite
  const round: ScrubRound = scrub?.round ?? { ...NOTHING_READ, began: at }
  const sum = {
    ...round,
    crates: round.crates + crates,
    bytes: round.bytes + bytes,
    faults: round.faults + faults.length,
    left: round.left + left,
  }
  // lost tiles hide the crates below them, and the round is not over for want of them
  const isOver = !isStopped && crates < share && (crates > 0 || faults.length === 0)
  const paidMs = (owedMs(scrub, now) * crates) / share
  const paidUntil = isStopped ? stamp(new Date(now.getTime() - owedMs(scrub, now) + paidMs)) : at
  if (!isOver) return { format: 1, after, paidUntil, round: sum, before: scrub?.before ?? null }
  const before = { ...sum, ended: at }
  return { format: 1, after: null, paidUntil, round: { ...NOTHING_READ, began: at }, before }
}

const NOTHING_READ = { ended: null, crates: 0, bytes: 0, faults: 0, left: 0 } as const
