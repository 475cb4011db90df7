import { MirrorError } from '../error.ts'
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

/** A ref to a tile that was read or made, or that a node line names. */
export interface CountedRef extends TileRef {
  readonly count: number
}

/**
 * Two things are said of one crate's index file, so that neither can be believed.
 * @public
 */
export class PathTwice extends MirrorError {
  constructor(path: IndexPath) {
    super('refused', `${path} is given twice`)
  }
}

/** The SHA-256 of the path: its hex digits are the way down from the root. */
export function keyOf(path: IndexPath): Checksum {
  return sha256(path)
}

/** The position one digit below `position` on the way to `key`. */
export function childTowards(position: Position, key: Checksum): Position {
  return key.slice(0, position.length + 1) as Position
}

/** A sorted copy; paths are ASCII, so that JavaScript's order is that of their bytes. */
export function sortedByPath<Item extends { readonly path: IndexPath }>(
  items: Iterable<Item>,
): Item[] {
  const sorted = [...items].sort((a, b) => (a.path < b.path ? -1 : 1))
  for (const [index, { path }] of sorted.entries()) {
    if (path === sorted[index + 1]?.path) throw new PathTwice(path)
  }
  return sorted
}
