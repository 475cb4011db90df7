import type { Checksum } from '../registry/checksum.ts'
import type { IndexPath } from '../registry/sparse-path.ts'
import { tileFile } from '../store/layout.ts'
import { rootRef } from '../store/snapshot.ts'
import { readTile } from '../store/tiles.ts'
import type { TileRef } from '../tree/entry.ts'
import { parseTile, type Tile, TileRefused } from '../tree/tile.ts'
import { walkTiles } from '../tree/walk.ts'
import type { NamedPath } from './verify-expected.ts'
import { type Fault, fault } from './verify-finding.ts'

/** What a tree says of each path; entries below lost tiles are not known, and not judged. */
export async function namedPaths(
  root: string,
  tree: Checksum,
  lost: Fault[],
): Promise<Map<IndexPath, NamedPath>> {
  const named = new Map<IndexPath, NamedPath>()
  for await (const tile of tilesOf(root, tree, lost)) {
    if (tile.kind === 'node') continue
    for (const { path, length, sha256 } of tile.entries) named.set(path, { length, sha256 })
  }
  return named
}

/** All tiles of a tree that are here and right; the others are added to `lost`. */
export function tilesOf(root: string, tree: Checksum, lost: Fault[]): AsyncGenerator<Tile> {
  return walkTiles(rootRef(tree), async refs => refs.map(ref => tileOr(root, ref, lost)))
}

function tileOr(root: string, ref: TileRef, lost: Fault[]): Tile | undefined {
  const file = tileFile(ref.position, ref.hash)
  const bytes = readTile(root, ref)
  const named = { named: { kind: 'tile', ref } } as const
  if (bytes === undefined) {
    lost.push(fault('missing', file, 'missing', named))
    return undefined
  }
  try {
    return parseTile(bytes, ref)
  } catch (error) {
    if (!(error instanceof TileRefused)) throw error
    lost.push(fault('damaged', file, error.message, named))
    return undefined
  }
}
