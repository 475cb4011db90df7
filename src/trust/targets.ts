import { quoted } from '../error.ts'
import { type Checksum, isChecksum } from '../registry/checksum.ts'
import { type Delegations, readDelegations } from './delegations.ts'
import type { Envelope } from './envelope.ts'
import { type Hashes, readHashes } from './hashes.ts'
import { asInteger, asObject, FormRefused, isObject, type JsonObject, member } from './json.ts'
import { type Metadata, readMetadata } from './metadata.ts'

export interface TargetFile {
  readonly length: number
  readonly hashes: Hashes
  /** Informs people and planners; verification never reads it. */
  readonly custom: JsonObject | undefined
}

/** The top-level targets role, or one that it or another delegates to: the form is the same. */
export interface Targets extends Metadata {
  readonly targets: ReadonlyMap<string, TargetFile>
  readonly delegations: Delegations
}

export function readTargets(envelope: Envelope, role = 'targets'): Targets {
  const { file, signed } = envelope
  const metadata = readMetadata(envelope, 'targets')
  const targets = new Map<string, TargetFile>()
  for (const [path, value] of Object.entries(
    asObject(member(signed, 'targets'), `${file}: targets`),
  )) {
    const where = `${file}: target ${quoted(path)}`
    const target = asObject(value, where)
    const custom = member(target, 'custom')
    targets.set(path, {
      length: asInteger(member(target, 'length'), `${where}: length`, 0),
      hashes: readHashes(member(target, 'hashes'), `${where}: hashes`),
      custom: isObject(custom) ? custom : undefined,
    })
  }
  const delegations = readDelegations(member(signed, 'delegations'), { file, delegator: role })
  return { ...metadata, targets, delegations }
}

/** The one target that a tree upstream signs: the root tile, whose hash names the whole index. */
export const INDEX_TREE = 'index-tree'

export interface IndexTree {
  readonly tree: Checksum
  readonly length: number
  readonly entries: number | undefined
}

export function indexTreeOf(targets: Targets): IndexTree {
  const target = targets.targets.get(INDEX_TREE)
  if (target === undefined) {
    throw new FormRefused(`${targets.file}: no target "${INDEX_TREE}", so no index tree is signed`)
  }
  const tree = target.hashes.get('sha256')
  if (!isChecksum(tree)) throw new FormRefused(`${targets.file}: "${INDEX_TREE}" has no sha256`)
  return { tree, length: target.length, entries: statedEntries(target.custom) }
}

function statedEntries(custom: JsonObject | undefined): number | undefined {
  const stated = custom && member(custom, INDEX_TREE)
  const entries = isObject(stated) ? member(stated, 'entries') : undefined
  return typeof entries === 'number' && entries >= 0 ? entries : undefined
}

/**
 * Where a target lies below the target base: with `consistent_snapshot` its hash stands before the name.
 * @public
 */
export function nameOfTarget(path: string, { hashes }: TargetFile, isConsistent: boolean): string {
  const cut = path.lastIndexOf('/') + 1
  const [hash] = [hashes.get('sha256'), ...hashes.values()].filter(hash => hash !== undefined)
  return isConsistent ? `${path.slice(0, cut)}${hash}.${path.slice(cut)}` : path
}
