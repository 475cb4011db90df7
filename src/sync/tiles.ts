import { MirrorError } from '../error.ts'
import type { Checksum } from '../registry/checksum.ts'
import { tileFile } from '../store/layout.ts'
import { readTile } from '../store/tiles.ts'
import type { LoadTiles } from '../tree/diff.ts'
import type { TileRef } from '../tree/entry.ts'
import { parseTile, type Tile, TileRefused } from '../tree/tile.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { inParallel } from './in-parallel.ts'
import type { Run } from './run.ts'

type TileSource = Pick<Upstream, 'tile' | 'name'>

/** Loads tiles of the tree we are on the way to: those not here are fetched, verified and landed. */
export function fetchedTiles(run: Run, upstream: TileSource): LoadTiles {
  /** Tiles whose batch has not landed yet, so that none is asked for twice. */
  const landing = new Map<Checksum, Tile>()
  const obtain = async (ref: TileRef, signal: AbortSignal): Promise<[TileRef, Tile]> => {
    const here = landing.get(ref.hash) ?? tileHere(run, ref)
    if (here !== undefined) return [ref, here]
    const { bytes, tile } = await verifiedTile(upstream, ref, run.settings.tries, signal)
    landing.set(ref.hash, tile)
    const landed = (): void => void landing.delete(ref.hash)
    await run.landing.addBytes(tileFile(ref.position, ref.hash), bytes, landed)
    return [ref, tile]
  }
  return async refs => {
    const loaded = new Map<TileRef, Tile>()
    const parallel = inParallel(refs, run.settings.connections, obtain, run.signal)
    for await (const [ref, tile] of parallel) loaded.set(ref, tile)
    return refs.map(ref => loaded.get(ref) as Tile)
  }
}

/** One that is damaged here is as good as missing: landing puts the right bytes in its place. */
function tileHere(run: Run, ref: TileRef): Tile | undefined {
  const bytes = readTile(run.writer.mirror.root, ref)
  if (bytes === undefined) return undefined
  try {
    return parseTile(bytes, ref)
  } catch (error) {
    if (error instanceof TileRefused) return undefined
    throw error
  }
}

/** Wrong or refused bytes are asked for again; after the last try the snapshot waits (exit 3). */
async function verifiedTile(
  upstream: TileSource,
  ref: TileRef,
  tries: number,
  signal: AbortSignal,
): Promise<{ readonly bytes: Uint8Array; readonly tile: Tile }> {
  for (let attempt = 1; ; attempt += 1) {
    const bytes = await upstream.tile(ref.position, ref.hash, { signal })
    try {
      return { bytes, tile: parseTile(bytes, ref) }
    } catch (error) {
      if (!(error instanceof TileRefused)) throw error
      if (attempt < tries) continue
      throw new MirrorError(
        'incomplete',
        `${upstream.name} serves a wrong tile at ${ref.position || 'root'}, asked ${tries} times: ${error.message}`,
        { cause: error },
      )
    }
  }
}
