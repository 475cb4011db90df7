import type { KeptChain } from './chain-io.ts'
import { openEnvelope } from './envelope.ts'
import { type Root, readRoot } from './root.ts'
import { INDEX_TREE, readTargets } from './targets.ts'
import { isSignedBy, requireThreshold } from './threshold.ts'
import { TrustedSet } from './trusted.ts'
import { type ChainState, stateOf, type Vouched, vouchedBy } from './vouched.ts'

/**
 * What a chain that lies here whole vouches for, verified from its root down once more. Asks nobody,
 * and judges neither age nor floors: that is for whoever follows it. Undefined: nothing is signed.
 */
export function vouchedByKept(kept: KeptChain): Omit<Vouched, 'warnings'> | undefined {
  const trusted = trustedByKept(kept)
  return trusted && vouchedBy(trusted)
}

/** The same of a chain whose targets need not be an index tree. */
export function stateByKept(kept: KeptChain): ChainState | undefined {
  const trusted = trustedByKept(kept)
  return trusted && stateOf(trusted)
}

/** Whether its targets are the index files themselves, and not one tree of them. */
export function isClassic({ targets }: Pick<KeptChain, 'targets'>): boolean {
  if (targets === undefined) return false
  return !readTargets(openEnvelope(targets, 'targets.json')).targets.has(INDEX_TREE)
}

function trustedByKept(kept: KeptChain): TrustedSet | undefined {
  const { timestamp, snapshot, targets } = kept
  if (timestamp === undefined || snapshot === undefined || targets === undefined) return undefined
  const how = { isKept: true }
  const trusted = new TrustedSet(kept.root, 'root.json', how)
  trusted.setTimestamp(trusted.readTimestamp(timestamp, 'timestamp.json', how))
  trusted.setSnapshot(trusted.readSnapshot(snapshot, 'snapshot.json', how))
  trusted.setTargets(trusted.readTargets(targets, 'targets.json', how))
  return trusted
}

/**
 * Refuses files that no root of the chain would accept, in themselves and not in what they name: a
 * version read from a damaged one would be signed on from.
 */
export function requireKeptSigned(kept: KeptChain): void {
  const roots = [kept.root, ...kept.roots].map(bytes => rootOf(bytes, 'root.json'))
  for (const role of ['timestamp', 'snapshot', 'targets'] as const) {
    const bytes = kept[role]
    if (bytes === undefined) continue
    const envelope = openEnvelope(bytes, `${role}.json`)
    if (roots.some(root => isSignedBy(envelope, root.roles[role], { isKept: true }))) continue
    const [{ roles, version }] = roots as [Root]
    requireThreshold(envelope, roles[role], `root ${version}`, { isKept: true })
  }
}

/** Whose keys a root names; whether it is the right one was settled when it was pinned. */
export function rootOf(bytes: Uint8Array, file: string): Root {
  return readRoot(openEnvelope(bytes, file))
}
