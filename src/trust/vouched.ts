import type { Checksum } from '../registry/checksum.ts'
import type { Instant } from './instant.ts'
import type { RoleType } from './metadata.ts'
import { indexTreeOf } from './targets.ts'
import type { TrustedSet } from './trusted.ts'

/** The seam to the rest of the product: root hash, version, until. */
export interface Vouched {
  readonly tree: Checksum
  /** Of the root tile, in bytes. */
  readonly treeLength: number
  readonly versions: {
    readonly root: number
    readonly timestamp: number
    readonly snapshot: number
    readonly targets: number
  }
  /** The end of each of the four. */
  readonly expires: Readonly<Record<RoleType, Instant>>
  /** The earliest of them. */
  readonly until: Instant
  readonly consistentSnapshot: boolean
  readonly warnings: readonly string[]
}

/** What holds of a chain whatever its targets are. */
export type ChainState = Omit<Vouched, 'tree' | 'treeLength' | 'warnings'>

export function stateOf({ root, timestamp, snapshot, targets }: TrustedSet): ChainState {
  const expires = {
    root: root.expires,
    timestamp: timestamp.expires,
    snapshot: snapshot.expires,
    targets: targets.expires,
  }
  const [until] = Object.values(expires).sort()
  return {
    versions: {
      root: root.version,
      timestamp: timestamp.version,
      snapshot: snapshot.version,
      targets: targets.version,
    },
    expires,
    until: until as Instant,
    consistentSnapshot: root.consistentSnapshot,
  }
}

/** What a set that has come as far as targets vouches for, where it signs an index tree. */
export function vouchedBy(trusted: TrustedSet): Omit<Vouched, 'warnings'> {
  const { tree, length } = indexTreeOf(trusted.targets)
  return { ...stateOf(trusted), tree, treeLength: length }
}
