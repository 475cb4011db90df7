import type { Checksum } from '../registry/checksum.ts'
import { DELEGATED } from '../store/chain-files.ts'
import { buildTree } from '../tree/build.ts'
import type { Delegation } from '../trust/delegations.ts'
import { enumerate } from '../trust/enumerate.ts'
import { fileOfRole } from '../trust/role-file.ts'
import type { Root } from '../trust/root.ts'
import type { Snapshot } from '../trust/snapshot.ts'
import type { Targets } from '../trust/targets.ts'
import { readDelegated } from '../trust/trusted.ts'
import { type ChainCopies, type Copy, tried } from './chain-copies.ts'
import { entriesOf, isIndexPath } from './classic.ts'
import { type Fault, fault } from './verify-finding.ts'

/** What the roles of a classic repository come to. */
export interface Classic {
  readonly faults: readonly Fault[]
  /** Undefined where a role is damaged in both places, or they contradict each other. */
  readonly tree?: Checksum
  /** Why there is no tree, where no fault says it. */
  readonly reason?: string
}

/**
 * Verifies each delegated role where others read it and where we keep it, and builds the tree of what
 * all of them list.
 */
export async function classicFindings(
  copies: ChainCopies,
  roots: readonly Root[],
  { snapshot, targets }: { readonly snapshot: Snapshot; readonly targets: Targets },
): Promise<Classic> {
  const faults: Fault[] = []
  const current = new Set<string>()
  const load = async (delegations: readonly Delegation[]): Promise<readonly Targets[]> =>
    delegations.map(delegation => {
      const { name, delegator } = delegation
      const meta = snapshot.files.get(`${name}.json`)
      const file = `${meta?.version}.${fileOfRole(name, delegator)}.json`
      current.add(file)
      const read = ({ bytes, file }: Copy): Targets =>
        readDelegated(bytes, { file, meta, listedIn: snapshot.file }, delegation)
      const places = [`${copies.shown}/${file}`, `${copies.kept}/${DELEGATED}/${file}`]
      const judging = copies.judge(places, read, roots)
      let step = judging.next()
      for (; !step.done; step = judging.next()) faults.push(step.value)
      if (step.value === undefined) throw new RoleLost()
      return read({ bytes: step.value, file: places[0] ?? file })
    })
  try {
    const found = await enumerate(targets, load, isIndexPath)
    const { value: entries, reason } = tried(() => entriesOf(found, { trusted: { targets } }))
    faults.push(...superseded(copies, current))
    if (entries === undefined) return { faults, ...(reason !== undefined && { reason }) }
    return { faults, tree: buildTree(entries, () => {}).hash }
  } catch (error) {
    if (error instanceof RoleLost) return { faults }
    const { reason } = tried(() => {
      throw error
    })
    return { faults, ...(reason !== undefined && { reason }) }
  }
}

/** It was told which, and without it nothing can be said of the rest. */
class RoleLost extends Error {}

/** Roles of earlier versions, for readers on the way: of the two places one vouches for the other. */
function* superseded(copies: ChainCopies, current: ReadonlySet<string>): Generator<Fault> {
  for (const name of copies.namesIn(`${copies.kept}/${DELEGATED}`)) {
    if (current.has(name)) continue
    const [kept, shown] = [`${copies.kept}/${DELEGATED}/${name}`, `${copies.shown}/${name}`]
    const [own, others] = [copies.copy(kept), copies.copy(shown)]
    // of a refresh that was not published yet
    if (own === undefined || others === undefined) continue
    if (Buffer.compare(own.bytes, others.bytes) === 0) continue
    yield fault('damaged', shown, `differs from ${kept}`)
  }
}
