import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { MirrorError } from '../error.ts'
import type { Checksum } from '../registry/checksum.ts'
import { parseSnapshotName } from '../store/file-names.ts'
import { SNAPSHOTS, snapshotFile, tileFile } from '../store/layout.ts'
import { readRecord } from '../store/record.ts'
import { isSnapshot, shownTree } from '../store/snapshot.ts'
import { SHOWN } from '../store/vouch.ts'
import { EMPTY_TREE } from '../tree/build.ts'
import { ROOT } from '../tree/entry.ts'
import { openEnvelope } from '../trust/envelope.ts'
import { indexTreeOf, readTargets } from '../trust/targets.ts'
import { exportsIn } from './exports.ts'
import type { Receipt } from './receipt.ts'
import type { StateToSend } from './state-to-send.ts'

/** A state that the other side is taken to have. */
export interface BaseState {
  readonly targets: number
  readonly tree: Checksum
}

/** From which state a bundle shall lead on. */
export type BaseWish =
  | { readonly kind: 'full' }
  | { readonly kind: 'targets'; readonly targets: number }
  | ({ readonly kind: 'tree' } & BaseState)
  | { readonly kind: 'age'; readonly seconds: number }
  | { readonly kind: 'receipts'; readonly receipts: readonly Receipt[] }

/**
 * The state that is wished for; undefined: none, the bundle is full.
 * @throws {MirrorError} no-mirror where it is no longer kept here, with those that are
 */
export function baseFor(
  root: string,
  { chain }: Pick<StateToSend, 'chain'>,
  wish: BaseWish,
  now: Date,
): BaseState | undefined {
  const kept = keptStates(root, chain)
  const gone = (what: string): MirrorError => {
    const names = kept.map(({ targets }) => targets).join(', ')
    return new MirrorError('no-mirror', `${what}; kept here are the targets versions ${names}`)
  }
  switch (wish.kind) {
    case 'full':
      return undefined
    case 'targets': {
      const found = kept.find(({ targets }) => targets === wish.targets)
      if (found === undefined) throw gone(`targets version ${wish.targets} is not kept here`)
      return found
    }
    case 'tree':
      return { targets: wish.targets, tree: wish.tree }
    case 'age': {
      const found = publishedBefore(root, kept, now.getTime() - wish.seconds * 1000)
      if (found === undefined) throw gone('no state of that age is kept here')
      return found
    }
    case 'receipts':
      return oldestOf(wish.receipts, kept, gone)
    default:
      return wish satisfies never
  }
}

/** One that has nothing yet needs everything; of several the oldest suits all. */
function oldestOf(
  receipts: readonly Receipt[],
  kept: readonly BaseState[],
  gone: (what: string) => MirrorError,
): BaseState | undefined {
  const states = receipts.map(({ published }) => published)
  if (states.includes(null)) return undefined
  const [oldest] = states.filter(one => one !== null).sort((a, b) => a.targets - b.targets)
  const found = kept.find(({ tree }) => tree === oldest?.tree)
  if (found === undefined)
    throw gone(`the state of the receipt (targets ${oldest?.targets}) is not`)
  return found
}

/** States whose tree is here, by the chain's own files and by what was exported; ascending. */
export function keptStates(root: string, chain: StateToSend['chain']): BaseState[] {
  const states = new Map<number, Checksum>()
  for (const { bundle } of exportsIn(root)) {
    if (bundle !== undefined) states.set(bundle.plan.target.targets, bundle.plan.target.tree)
  }
  for (const name of readdirSync(join(root, SHOWN[chain]))) {
    if (!/^[1-9][0-9]*\.targets\.json$/.test(name)) continue
    const bytes = readFileSync(join(root, SHOWN[chain], name))
    const targets = readTargets(openEnvelope(bytes, name))
    states.set(targets.version, indexTreeOf(targets).tree)
  }
  return [...states]
    .map(([targets, tree]) => ({ targets, tree }))
    .filter(({ tree }) => isHere(root, tree))
    .sort((a, b) => a.targets - b.targets)
}

function isHere(root: string, tree: Checksum): boolean {
  return tree === EMPTY_TREE.hash || existsSync(join(root, tileFile(ROOT, tree)))
}

/** The newest of them that was published by then. */
function publishedBefore(
  root: string,
  kept: readonly BaseState[],
  instant: number,
): BaseState | undefined {
  const numbers = readdirSync(join(root, SNAPSHOTS)).flatMap(name => parseSnapshotName(name) ?? [])
  const old = new Set<Checksum>()
  for (const n of numbers) {
    const snapshot = readRecord(join(root, snapshotFile(n)), isSnapshot)
    if (snapshot !== undefined && Date.parse(snapshot.at) <= instant)
      old.add(shownTree(snapshot).hash)
  }
  return kept.findLast(({ tree }) => old.has(tree))
}
