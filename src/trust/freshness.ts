import { MirrorError } from '../error.ts'
import { type Instant, secondsAfter } from './instant.ts'
import type { Metadata, RoleType } from './metadata.ts'

/**
 * How old metadata may be. Over a network nothing is taken past its end; what a courier carries was
 * signed for days and travels for weeks, so a site says in its configuration what it takes.
 */
export interface Freshness {
  /** Seconds that each role is taken past its end. */
  readonly staleSeconds: Readonly<Record<RoleType, number>>
  /** Until then, by the system clock, everything counts as fresh: an operator's word, once. */
  readonly freshUntil: Instant | undefined
  /** Carried on media: one version with two contents is refused, and not explained by a cache. */
  readonly isCarried: boolean
}

export const ONLINE: Freshness = {
  staleSeconds: { root: 0, timestamp: 0, snapshot: 0, targets: 0 },
  freshUntil: undefined,
  isCarried: false,
}

const DAY_SECONDS = 86_400

/** Seconds past the end; 0 before it. */
export function staleness(expires: Instant, start: Instant): number {
  return Math.max(0, (Date.parse(start) - Date.parse(expires)) / 1000)
}

/**
 * TUF 5.3.10, 5.4.4, 5.5.6, 5.6.6: expired means suspicion of a freeze, whoever signed it. Only this
 * comparison knows a policy; returns a warning from half of it on.
 * @throws {MirrorError} expired
 */
export function requireFresh(
  role: RoleType,
  { file, version, expires }: Metadata,
  start: Instant,
  { staleSeconds, freshUntil, isCarried }: Freshness,
): string | undefined {
  if (expires > start) return undefined
  const past = `${file}: version ${version} expired at ${expires}`
  const days = `${staleSeconds[role] / DAY_SECONDS} d`
  if (start < secondsAfter(expires, staleSeconds[role])) {
    const isHalfway = 2 * staleness(expires, start) >= staleSeconds[role]
    return isHalfway
      ? `${past}, ${role} is taken until ${days} later: bring newer metadata`
      : undefined
  }
  if (freshUntil !== undefined && start < freshUntil)
    return `${past}, taken until ${freshUntil} by --accept-stale-until`
  throw new MirrorError(
    'expired',
    isCarried
      ? `${past}, the clock says ${start}, ${role} is taken until ${days} past its end; bring a newer bundle, or import --accept-stale-until DATE --reason TEXT`
      : `${past}, and no newer one is served (a freeze?)`,
  )
}
