import { MirrorError } from '../error.ts'
import { instantOf, secondsAfter } from '../trust/instant.ts'
import type { Vouched } from '../trust/vouched.ts'

/** What a sender takes the far side to accept. */
export interface ArrivalPolicy {
  /** For so long the bundle is to be acceptable. */
  readonly validForSeconds: number
  /** So long past its end the far side takes metadata; a root never. */
  readonly stalenessSeconds: number
}

/**
 * Whether the far side would still take the metadata when the courier comes.
 * @throws {MirrorError} expired, before the trip
 */
export function requireFreshOnArrival(
  { expires }: Pick<Vouched, 'expires'>,
  { validForSeconds, stalenessSeconds }: ArrivalPolicy,
  now: Date,
): void {
  const arrival = secondsAfter(instantOf(now), validForSeconds)
  for (const [role, end] of Object.entries(expires)) {
    const last = role === 'root' ? end : secondsAfter(end, stalenessSeconds)
    if (arrival < last) continue
    throw new MirrorError(
      'expired',
      `${role} ends ${end} and would be accepted until ${last}, the bundle is to be good until ${arrival}; sync or sign first, or give --valid-for`,
    )
  }
}
