import { MirrorError } from '../error.ts'
import type { Checksum } from '../registry/checksum.ts'
import type { IndexPath } from '../registry/sparse-path.ts'
import { EMPTY_TREE } from './build.ts'
import type { LoadTiles } from './diff.ts'
import {
  type CountedRef,
  childTowards,
  keyOf,
  ROOT,
  type TileRef,
  type TreeEntry,
} from './entry.ts'
import { type Leaf, type Node, parseTile, refOf, type Tile } from './tile.ts'

/**
 * The tiles given end before the way to the path does: they say nothing of it, not even absence.
 * @public
 */
export class ProofTooShort extends MirrorError {
  constructor(path: IndexPath, tiles: number) {
    super('refused', `proof too short: ${tiles} tiles do not reach ${path}`)
  }
}

/** The path's entry. Undefined is an answer as certain as an entry: the tree has none. */
export async function lookUp(
  root: TileRef,
  path: IndexPath,
  load: LoadTiles,
): Promise<TreeEntry | undefined> {
  return (await wayTo(root, path, load)).entry
}

/** Both: the tiles from the root down, and the entry, or undefined where they prove that there is none. */
export async function wayTo(
  root: TileRef,
  path: IndexPath,
  load: LoadTiles,
): Promise<{ readonly tiles: readonly CountedRef[]; readonly entry: TreeEntry | undefined }> {
  const tiles = await tilesTo(root, path, load)
  const last = tiles.at(-1)
  return { tiles: tiles.map(refOf), entry: last?.kind === 'leaf' ? entryIn(last, path) : undefined }
}

/**
 * The tiles that prove the path's entry, or that it has none: from the root down.
 * @public
 */
export async function prove(
  root: TileRef,
  path: IndexPath,
  load: LoadTiles,
): Promise<readonly CountedRef[]> {
  return (await wayTo(root, path, load)).tiles
}

/**
 * What the tiles prove of the path under a root hash that somebody vouches for: its entry, or
 * (undefined) that it has none. Tiles beyond the end of the way are not read.
 * @public
 */
export function verifyProof(
  rootHash: Checksum,
  path: IndexPath,
  tiles: readonly Uint8Array[],
): TreeEntry | undefined {
  const key = keyOf(path)
  let ref: TileRef = { position: ROOT, hash: rootHash, count: undefined }
  for (const bytes of tiles) {
    const tile = parseTile(bytes, ref)
    if (tile.kind === 'leaf') return entryIn(tile, path)
    const child = childOf(tile, key)
    if (child === undefined) return undefined
    ref = child
  }
  throw new ProofTooShort(path, tiles.length)
}

/** From the root to a leaf, or to a node without the next digit. At most 65 tiles. */
async function tilesTo(root: TileRef, path: IndexPath, load: LoadTiles): Promise<Tile[]> {
  if (root.hash === EMPTY_TREE.hash) return [EMPTY_TREE]
  const key = keyOf(path)
  const tiles: Tile[] = []
  for (let ref: TileRef | undefined = root; ref !== undefined; ) {
    const tile = (await load([ref]))[0] as Tile
    tiles.push(tile)
    ref = tile.kind === 'node' ? childOf(tile, key) : undefined
  }
  return tiles
}

function childOf(node: Node, key: Checksum): CountedRef | undefined {
  const position = childTowards(node.position, key)
  return node.children.find(child => child.position === position)
}

function entryIn(leaf: Leaf, path: IndexPath): TreeEntry | undefined {
  return leaf.entries.find(entry => entry.path === path)
}
