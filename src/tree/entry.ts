import { type Checksum, sha256 } from '../registry/checksum.ts'
import type { IndexPath } from '../registry/sparse-path.ts'

/** One index file as the tree commits to it: its path, its size in bytes, its SHA-256. */
export interface TreeEntry {
  readonly path: IndexPath
  readonly length: number
  readonly sha256: Checksum
}

/** Where a tile stands: '' at the root, else the first 1–64 hex digits of the keys below it. */
export type Position = string & { readonly __brand: 'Position' }

export const ROOT: Position = '' as Position

/** What a node line, or the signed statement, says of a tile. The root's count is not known ahead. */
export interface TileRef {
  readonly position: Position
  readonly hash: Checksum
  readonly count: number | undefined
}

/** The SHA-256 of the path: its hex digits are the way down from the root. */
export function keyOf(path: IndexPath): Checksum {
  return sha256(path)
}
