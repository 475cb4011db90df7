import { existsSync } from 'node:fs'
import { MirrorError } from '../error.ts'
import { sha256 } from '../registry/checksum.ts'
import { IndexFileRefused, readIndexFile } from '../registry/index-file.ts'
import type { IndexPath } from '../registry/sparse-path.ts'
import { indexFileByHash } from '../store/layout.ts'
import type { Snapshot } from '../store/snapshot.ts'
import { buildTree } from '../tree/build.ts'
import type { TileRef, TreeEntry } from '../tree/entry.ts'
import type { ObservedFile, ObservedUpstream } from '../upstream/upstream.ts'
import type { NewTiles } from './new-tiles.ts'
import type { Observer } from './observer.ts'
import type { Run, Source } from './run.ts'

/**
 * A directory is its owner's own word: all of it is looked at each time, what is gone is gone at
 * once, and what is of the right form has landed by its hash when the look ends.
 */
export class DirectoryObserver implements Observer {
  readonly name: string
  readonly warnings: readonly string[] = []
  readonly reasons: ReadonlyMap<IndexPath, string> = new Map()
  readonly unseen: ReadonlyMap<IndexPath, string> = new Map()
  readonly artifact: Source['artifact']
  readonly pause: Source['pause']
  readonly #run: Run
  readonly #upstream: ObservedUpstream
  readonly #refused = new Map<IndexPath, IndexFileRefused>()

  constructor(run: Run, upstream: ObservedUpstream) {
    this.#run = run
    this.#upstream = upstream
    this.name = upstream.name
    this.artifact = (wanted, options) => upstream.artifact(wanted, options)
    this.pause = (attempt, error, options) => upstream.pause(attempt, error, options)
  }

  async look(_published: Snapshot | undefined, tiles: NewTiles): Promise<TileRef> {
    const entries: TreeEntry[] = []
    for await (const file of this.#upstream.observe({ signal: this.#run.signal })) {
      entries.push(await this.#take(file))
    }
    await this.#run.landing.settle()
    return buildTree(entries, tiles.put)
  }

  /** A directory's owner takes away what is to go. */
  async withdraw(): Promise<readonly string[]> {
    return []
  }

  async settle(): Promise<void> {}

  /** A crate whose file cannot be its index file has an entry all the same: so it will be held. */
  async #take({ path, bytes }: ObservedFile): Promise<TreeEntry> {
    const checksum = sha256(bytes)
    const entry = { path, length: bytes.length, sha256: checksum }
    const final = indexFileByHash(path, checksum)
    if (existsSync(this.#run.writer.at(final))) return entry
    try {
      readIndexFile(bytes, path)
    } catch (error) {
      if (!(error instanceof IndexFileRefused)) throw error
      this.#refused.set(path, error)
      return entry
    }
    await this.#run.landing.addBytes(final, bytes)
    return entry
  }

  /** What is of the right form has landed and is not asked for. */
  async indexFile({ path }: TreeEntry): Promise<Uint8Array> {
    throw this.#refused.get(path) ?? this.#gone(`index/${path}`)
  }

  /** Nobody else has the tiles of a tree that we built. */
  async tile(): Promise<Uint8Array> {
    throw this.#gone('a tile')
  }

  #gone(what: string): MirrorError {
    return new MirrorError('incomplete', `${this.name} has no other copy of ${what}`)
  }
}
