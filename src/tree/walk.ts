import { EMPTY_TREE } from './build.ts'
import { BATCH_TILES } from './diff.ts'
import type { TileRef, TreeEntry } from './entry.ts'
import type { Tile } from './tile.ts'

/**
 * Like `LoadTiles`, but it may answer undefined for a tile that is lost. The walk then goes on
 * beside it and below the others; what to say of the loss is up to the one who found it.
 */
export type FindTiles = (refs: readonly TileRef[]) => Promise<readonly (Tile | undefined)[]>

/**
 * All tiles of a tree, each before those below it. The empty tree's tile is asked for as well: this
 * is how a disk is verified.
 */
export async function* walkTiles(root: TileRef, find: FindTiles): AsyncGenerator<Tile> {
  const open: TileRef[] = [root]
  while (open.length > 0) {
    for (const tile of await find(open.splice(-BATCH_TILES))) {
      if (tile === undefined) continue
      if (tile.kind === 'node') open.push(...tile.children)
      yield tile
    }
  }
}

/**
 * All entries of a tree, in no particular order, but for those below lost tiles.
 * @public
 */
export async function* entriesOf(root: TileRef, find: FindTiles): AsyncGenerator<TreeEntry> {
  if (root.hash === EMPTY_TREE.hash) return
  for await (const tile of walkTiles(root, find)) {
    if (tile.kind === 'leaf') yield* tile.entries
  }
}
