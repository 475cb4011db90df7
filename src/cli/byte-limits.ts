import type { Config } from '../config.ts'
import type { Mirror } from '../store/mirror.ts'
import { receivedSince } from '../store/runs.ts'
import { LimitReached } from '../sync/limit-reached.ts'
import { bytesText } from '../units.ts'
import type { Context } from './context.ts'

/**
 * After how many bytes of artifacts a sync stops: as told, as configured for each run, and as the
 * month has left, whichever is least. Undefined: there is no limit.
 * @throws {MirrorError} incomplete where the month has nothing left
 */
export function limitFor(
  { now }: Context,
  {
    mirror,
    config: { sync },
    given,
  }: { readonly mirror: Mirror; readonly config: Config; readonly given: number | undefined },
): number | undefined {
  const limits = [given, sync.runBytes, monthLeft(mirror.root, sync, now())]
  const least = Math.min(...limits.filter(limit => limit !== undefined))
  return Number.isFinite(least) ? least : undefined
}

/** Bytes that may still come this month; undefined: any number. @throws {MirrorError} incomplete */
function monthLeft(root: string, { monthBytes }: Config['sync'], now: Date): number | undefined {
  if (monthBytes === undefined) return undefined
  const month = now.toISOString().slice(0, 7)
  const left = monthBytes - receivedSince(root, month)
  if (left > 0) return left
  throw new LimitReached(
    `the ${bytesText(monthBytes)} of sync.month-bytes that ${month} has are used up; sync goes on in the next month`,
  )
}
