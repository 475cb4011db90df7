import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { MirrorError } from '../error.ts'
import type { TileRef } from '../tree/entry.ts'
import { parseTile, type Tile } from '../tree/tile.ts'
import { tileFile } from './layout.ts'

/** The tile's bytes from this disk, unverified, or undefined where it is not here. */
export function readTile(root: string, ref: TileRef): Uint8Array | undefined {
  try {
    return readFileSync(join(root, tileFile(ref.position, ref.hash)))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new MirrorError('io', `cannot read ${tileFile(ref.position, ref.hash)}`, { cause: error })
  }
}

/** Loads tiles of a tree that is whole on this disk; each is verified as if it came from outside. */
export function localTiles(root: string): (refs: readonly TileRef[]) => Promise<readonly Tile[]> {
  return async refs => refs.map(ref => localTile(root, ref))
}

function localTile(root: string, ref: TileRef): Tile {
  const file = tileFile(ref.position, ref.hash)
  const bytes = readTile(root, ref)
  if (bytes === undefined) throw new MirrorError('damaged', `${file} is missing`)
  try {
    return parseTile(bytes, ref)
  } catch (error) {
    throw new MirrorError('damaged', `${file} is damaged: ${(error as Error).message}`, {
      cause: error,
    })
  }
}
