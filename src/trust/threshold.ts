import { MirrorError } from '../error.ts'
import type { Envelope } from './envelope.ts'
import type { How, PublicKey } from './public-key.ts'
import type { Role } from './role.ts'

/** Too few keys of a role have signed. */
class ThresholdMissed extends MirrorError {
  constructor(message: string) {
    super('signature', message)
  }
}

/** `by` says who names the role: `root 4`. Counts keys, never key ids or signatures (TUF 5.3.4). */
export function requireThreshold(
  envelope: Envelope,
  role: Role,
  by: string,
  how: How = { isKept: false },
): void {
  const { size } = countedKeys(envelope, role, { ...how, atMost: role.threshold })
  if (size >= role.threshold) return
  throw new ThresholdMissed(
    `${envelope.file}: signed by ${size} of ${role.threshold} keys of the ${role.name} role of ${by}`,
  )
}

/** Whether enough keys of the role have signed. */
export function isSignedBy(envelope: Envelope, role: Role, how: How = { isKept: false }): boolean {
  return countedKeys(envelope, role, { ...how, atMost: role.threshold }).size >= role.threshold
}

/** The key ids of a role that have signed, each key under one of its ids; no more than `atMost`. */
export function countedKeys(
  envelope: Envelope,
  role: Role,
  {
    isKept = false,
    atMost = Number.POSITIVE_INFINITY,
  }: Partial<How> & { readonly atMost?: number } = {},
): ReadonlySet<string> {
  const counted = new Set<string>()
  const identities = new Set<string>()
  for (const { keyid, sig } of envelope.signatures) {
    if (counted.size >= atMost) break
    const key = role.keys.get(keyid)
    if (key === undefined || identities.has(key.identity)) continue
    if (!verifiesHex(key, envelope.canonical, sig, { isKept })) continue
    counted.add(keyid)
    identities.add(key.identity)
  }
  return counted
}

/** A bad or empty signature is one that does not count, never an error. */
export function verifiesHex(
  key: PublicKey,
  message: Uint8Array,
  sig: string,
  how: How = { isKept: false },
): boolean {
  // Buffer.from stops in silence at what is no hex.
  if (!/^(?:[0-9A-Fa-f]{2})+$/.test(sig)) return false
  try {
    return key.verifies(message, Uint8Array.fromHex(sig), how)
  } catch {
    return false
  }
}
