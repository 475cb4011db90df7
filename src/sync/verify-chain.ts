import type { Checksum } from '../registry/checksum.ts'
import type { Chain } from '../store/chain-files.ts'
import type { MetadataVersions } from '../store/snapshot.ts'
import { instantOf } from '../trust/instant.ts'
import { INDEX_TREE, indexTreeOf } from '../trust/targets.ts'
import { ChainCopies, tried } from './chain-copies.ts'
import { classicFindings } from './verify-classic.ts'
import { type Fault, type Finding, fault, warning } from './verify-finding.ts'
import { RoleFiles } from './verify-roles.ts'
import { rootFindings } from './verify-roots.ts'

/** What a chain has to agree with. */
export interface ChainExpectation {
  /** The fingerprint of the pinned root; null: the first root kept is the one believed. */
  readonly pinned: Checksum | null
  /**
   * The published state and, while one is being published, the next: readers may see either. None
   * for a site's own chain, which may lag behind what is published.
   */
  readonly states: readonly { readonly metadata: MetadataVersions; readonly tree: Checksum }[]
  readonly now: Date
}

/**
 * Verifies a chain where others read it and where we keep it, from the pinned root to the tree that
 * it names, which is returned. Expiry is told and no fault (TUF 5.3.10 and its kin are for those who
 * follow a chain).
 */
export async function* chainFindings(
  root: string,
  chain: Chain,
  { pinned, states, now }: ChainExpectation,
): AsyncGenerator<Finding, Checksum | undefined> {
  const copies = new ChainCopies(root, chain)
  const lastShown = states[0]?.metadata.root ?? rootsOnceSigned(copies)
  const roots = yield* rootFindings(copies, { pinned, lastShown })
  if (roots.length === 0) return undefined
  const files = new RoleFiles(
    copies,
    roots,
    states.map(({ metadata }) => metadata),
  )
  const { timestamp, snapshot, targets } = yield* files.current()
  let signed = targets && tried(() => indexTreeOf(targets).tree)
  if (chain === 'upstream' && targets !== undefined && !targets.targets.has(INDEX_TREE)) {
    if (snapshot === undefined) return undefined
    const { faults, tree, reason } = await classicFindings(copies, roots, { snapshot, targets })
    yield* faults
    if (tree === undefined && reason === undefined) return undefined
    signed = { ...(tree !== undefined && { value: tree }), ...(reason !== undefined && { reason }) }
  }
  const trees = states.map(state => state.tree)
  if (targets !== undefined && !isNamed(signed?.value, trees)) {
    const found = signed?.reason ?? `signs tree ${signed?.value}, but ${trees[0]} is published`
    yield copies.fault('damaged', targets.file, found, undefined)
  }
  for (const metadata of [roots.at(-1), timestamp, snapshot, targets]) {
    if (metadata !== undefined && metadata.expires <= instantOf(now)) {
      yield warning(`${metadata.file} expired at ${metadata.expires}`)
    }
  }
  yield* files.superseded()
  return signed?.value
}

/** Where a mirror has no such chain, its files are nobody's, whatever they hold. */
export function* strayMetadata(root: string, chain: Chain): Generator<Fault> {
  const copies = new ChainCopies(root, chain)
  for (const name of copies.namesIn(copies.shown)) {
    if (!name.endsWith('.json')) continue
    yield fault('unexpected', `${copies.shown}/${name}`, 'this mirror has no such chain')
  }
}

function isNamed(tree: Checksum | undefined, trees: readonly Checksum[]): boolean {
  return tree !== undefined && (trees.length === 0 || trees.includes(tree))
}

/** Once something is signed every root is shown: whoever pinned the first must find the others. */
function rootsOnceSigned(copies: ChainCopies): number {
  const isSigned = copies.copy(`${copies.kept}/timestamp.json`) !== undefined
  return isSigned ? Math.max(0, ...copies.rootsIn(`${copies.kept}/root_history`)) : 0
}
