import { existsSync } from 'node:fs'
import { tileFile } from '../store/layout.ts'
import { localTiles } from '../store/tiles.ts'
import type { LoadTiles } from '../tree/diff.ts'
import type { TileRef } from '../tree/entry.ts'
import { parseTile, type Tile } from '../tree/tile.ts'
import type { Run } from './run.ts'

/** Tiles of a tree under construction: in memory until it is decided which of them are needed. */
export class NewTiles {
  readonly #run: Run
  readonly #bytes = new Map<string, Uint8Array>()
  readonly #local: LoadTiles

  constructor(run: Run) {
    this.#run = run
    this.#local = localTiles(run.writer.mirror.root)
  }

  readonly put = (ref: TileRef, bytes: Uint8Array): void => {
    this.#bytes.set(tileFile(ref.position, ref.hash), bytes)
  }

  readonly load: LoadTiles = async refs => {
    const tiles: Tile[] = []
    for (const ref of refs) {
      const bytes = this.#bytes.get(tileFile(ref.position, ref.hash))
      tiles.push(...(bytes === undefined ? await this.#local([ref]) : [parseTile(bytes, ref)]))
    }
    return tiles
  }

  /**
   * Lands what is reached from `tree`. One that is here already may have come with a run that was
   * killed before its children did, so the walk goes on below it.
   */
  async land(tree: TileRef): Promise<void> {
    const open = [tree]
    for (let ref = open.pop(); ref !== undefined; ref = open.pop()) {
      const final = tileFile(ref.position, ref.hash)
      const bytes = this.#bytes.get(final)
      if (bytes === undefined) continue
      const tile = parseTile(bytes, ref)
      if (tile.kind === 'node') open.push(...tile.children)
      if (!existsSync(this.#run.writer.at(final))) await this.#run.landing.addBytes(final, bytes)
    }
    await this.#run.landing.settle()
  }
}
