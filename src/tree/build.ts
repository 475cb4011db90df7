import { type Checksum, sha256 } from '../registry/checksum.ts'
import {
  type CountedRef,
  childTowards,
  keyOf,
  type Position,
  ROOT,
  sortedByPath,
  type TileRef,
  type TreeEntry,
} from './entry.ts'
import { countOf, encodeLeaf, encodeNode, LEAF_ENTRIES_MAX, type Leaf } from './tile.ts'

/** Takes each new tile: leaves before their node, the root last. */
export type PutTile = (ref: TileRef, bytes: Uint8Array) => void

/** An entry with its key, which every level asks for again. */
export interface KeyedEntry {
  readonly key: Checksum
  readonly entry: TreeEntry
}

/**
 * The tree of no entries, which is its one tile. It is known and never asked of a loader: a mirror
 * that has nothing yet has no file of it. Its bytes are `encodeLeaf(ROOT, [])`.
 */
export const EMPTY_TREE: Leaf = {
  kind: 'leaf',
  position: ROOT,
  hash: sha256(encodeLeaf(ROOT, [])),
  count: 0,
  entries: [],
}

/** The tree of a whole index. One set of entries gives one root, in whatever order they come. */
export function buildTree(entries: Iterable<TreeEntry>, put: PutTile): CountedRef {
  return buildBelow(ROOT, sortedByPath(entries).map(keyed), put)
}

/** The subtree of entries that all belong below `position`, ascending by path. */
export function buildBelow(
  position: Position,
  entries: readonly KeyedEntry[],
  put: PutTile,
): CountedRef {
  if (entries.length <= LEAF_ENTRIES_MAX) {
    const leaf = entries.map(({ entry }) => entry)
    return putLeaf(position, leaf, put)
  }
  const shares = Map.groupBy(entries, ({ key }) => childTowards(position, key))
  const children = [...shares.keys()]
    .sort()
    .map(child => buildBelow(child, shares.get(child) ?? [], put))
  return putNode(position, children, put)
}

export function putLeaf(
  position: Position,
  entries: readonly TreeEntry[],
  put: PutTile,
): CountedRef {
  return putTile(position, entries.length, encodeLeaf(position, entries), put)
}

export function putNode(
  position: Position,
  children: readonly CountedRef[],
  put: PutTile,
): CountedRef {
  return putTile(position, countOf(children), encodeNode(position, children), put)
}

export function keyed(entry: TreeEntry): KeyedEntry {
  return { key: keyOf(entry.path), entry }
}

function putTile(position: Position, count: number, bytes: Uint8Array, put: PutTile): CountedRef {
  const ref = { position, hash: sha256(bytes), count }
  put(ref, bytes)
  return ref
}
