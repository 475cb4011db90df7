import type { LoadTiles } from './diff.ts'
import type { TileRef } from './entry.ts'
import type { Tile } from './tile.ts'

/**
 * Loads what there is: a tile that is lost stands for one without entries, so that its siblings can be
 * read all the same. Below it every crate looks as if there were none. `lost` is told of each, and
 * throws what is no loss.
 */
export function withoutLost(
  load: LoadTiles,
  lost: (ref: TileRef, error: unknown) => void,
): LoadTiles {
  return async refs => {
    const tiles: Tile[] = []
    for (const ref of refs) {
      try {
        tiles.push(...(await load([ref])))
      } catch (error) {
        lost(ref, error)
        const { position, hash } = ref
        tiles.push({ kind: 'leaf', position, hash, count: 0, entries: [] })
      }
    }
    return tiles
  }
}
