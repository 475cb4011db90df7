import type { IndexPath } from '../registry/sparse-path.ts'
import type { Snapshot } from '../store/snapshot.ts'
import type { TileRef } from '../tree/entry.ts'
import type { NewTiles } from './new-tiles.ts'
import type { ByHash } from './recover.ts'
import type { Source } from './run.ts'

/** What stands between an upstream without a tree and the snapshot that is built of it. */
export interface Observer extends Source, ByHash {
  /** Looks at what is due, and returns the tree of what is believed of it; its tiles go to `tiles`. */
  look(published: Snapshot | undefined, tiles: NewTiles): Promise<TileRef>
  /** Crates whose index file came in no form, or not at all, and why: held, whatever they were. */
  readonly unseen: ReadonlyMap<IndexPath, string>
  readonly warnings: readonly string[]
  /** Why the loss of a published crate or version was believed. */
  readonly reasons: ReadonlyMap<IndexPath, string>
  /** Takes away what is known as malware, and returns what went, each with its reason. */
  withdraw(): Promise<readonly string[]>
  /** What was looked at is published (or was already): it need not be looked at again. */
  settle(): Promise<void>
}
