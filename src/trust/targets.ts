import { quoted } from '../error.ts'
import { type Checksum, isChecksum } from '../registry/checksum.ts'
import { type Delegations, readDelegations } from './delegations.ts'
import type { Envelope } from './envelope.ts'
import { type Hashes, readHashes } from './hashes.ts'
import {
  asInteger,
  asObject,
  FormRefused,
  isObject,
  type Json,
  type JsonObject,
  member,
} from './json.ts'
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
    try {
      targets.set(path, readTarget(value))
    } catch (error) {
      // there may be very many: each is named only where it is refused
      if (!(error instanceof FormRefused)) throw error
      throw new FormRefused(`${file}: target ${quoted(path)}${error.message}`)
    }
  }
  const delegations = readDelegations(member(signed, 'delegations'), { file, delegator: role })
  return { ...metadata, targets, delegations }
}

/** Its refusals begin after the name of the target. */
function readTarget(value: Json | undefined): TargetFile {
  const target = asObject(value, '')
  const custom = member(target, 'custom')
  return {
    length: asInteger(member(target, 'length'), ': length', 0),
    hashes: readHashes(member(target, 'hashes'), ': hashes'),
    custom: isObject(custom) ? custom : undefined,
  }
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
  const tree = target.hashes.sha256
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
  const hash = hashes.sha256 ?? hashes.sha384 ?? hashes.sha512
  return isConsistent ? `${path.slice(0, cut)}${hash}.${path.slice(cut)}` : path
}
