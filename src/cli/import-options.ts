import type { Config } from '../config.ts'
import { MirrorError } from '../error.ts'
import type { Accepted } from '../sync/run.ts'
import type { Taking } from '../sync/sync.ts'
import type { Freshness } from '../trust/freshness.ts'
import { type Instant, parseInstant } from '../trust/instant.ts'

export interface ImportOptions {
  readonly dryRun?: boolean
  readonly acceptStaleUntil?: string
  readonly acceptClock?: boolean
  readonly acceptAbsent?: number
  readonly acceptRemovals?: number
  readonly acceptChanged?: readonly string[]
  readonly reason?: string
  readonly receiptToMedium?: boolean
}

const DAY_SECONDS = 86_400
const STALE_UNTIL_DAYS_MAX = 366

/** How the site takes what is carried: by its configuration, or once by an operator's word. */
export function takingOf({ bundle }: Config, options: ImportOptions, now: Date): Taking {
  const { acceptStaleUntil, reason } = options
  const others = bundle.staleDays * DAY_SECONDS
  const staleSeconds = {
    root: bundle.staleRootDays * DAY_SECONDS,
    timestamp: others,
    snapshot: others,
    targets: others,
  }
  const freshUntil = acceptStaleUntil === undefined ? undefined : untilOf(acceptStaleUntil, now)
  const freshness: Freshness = { staleSeconds, freshUntil, isCarried: true }
  const override =
    freshUntil === undefined ? undefined : { until: freshUntil, reason: reason ?? '' }
  return { command: 'bundle import', isCarried: true, freshness, ...(override && { override }) }
}

function untilOf(text: string, now: Date): Instant {
  const until = parseInstant(/^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00Z` : text)
  const days = until === undefined ? Number.NaN : (Date.parse(until) - now.getTime()) / 86_400_000
  if (until !== undefined && days > 0 && days <= STALE_UNTIL_DAYS_MAX) return until
  throw new MirrorError(
    'usage',
    `--accept-stale-until ${text}: expected a date of the next ${STALE_UNTIL_DAYS_MAX} days, as 2027-01-31`,
  )
}

/** Every override is dated and reasoned: the run record and the receipt keep it. */
export function acceptedBy(options: ImportOptions): Accepted {
  const { acceptRemovals = 0, acceptAbsent = 0, acceptChanged = [], acceptClock = false } = options
  const { reason, acceptStaleUntil } = options
  const isAny =
    acceptRemovals > 0 ||
    acceptAbsent > 0 ||
    acceptChanged.length > 0 ||
    acceptClock ||
    acceptStaleUntil !== undefined
  if (isAny && reason === undefined) {
    throw new MirrorError('usage', 'an --accept option needs --reason TEXT, which is recorded')
  }
  if (reason !== undefined && !/^[\x20\x21\x23-\x5b\x5d-\x7e]{1,1000}$/.test(reason)) {
    throw new MirrorError(
      'usage',
      '--reason: expected printable ASCII without quotes and backslashes',
    )
  }
  return {
    removals: acceptRemovals,
    absent: acceptAbsent,
    changed: new Set(acceptChanged.map(name => name.toLowerCase())),
    clock: acceptClock,
    reason,
  }
}
