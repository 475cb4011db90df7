import { type Checksum, sha256 } from '../registry/checksum.ts'
import type { JsonObject } from './json.ts'
import { INDEX_TREE } from './targets.ts'

/** What targets.json says: this root tile, of so many bytes, stands for so many entries. */
export interface Statement {
  readonly tree: Checksum
  readonly length: number
  readonly entries: number
}

/** The tree before the first one: the hash of the empty leaf. */
export const EMPTY_HASH: Checksum = sha256('index-tree 1 leaf root 0\n')

/** The one target; `custom` informs people and planners, verification never reads it. */
export function indexTreeTarget(
  { tree, length, entries }: Statement,
  previous: Checksum,
): JsonObject {
  return {
    [INDEX_TREE]: {
      length,
      hashes: { sha256: tree },
      custom: { [INDEX_TREE]: { format: 1, entries, previous } },
    },
  }
}
