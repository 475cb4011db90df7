import type { Checksum } from '../registry/checksum.ts'
import type { CrateName } from '../registry/crate-name.ts'
import { type IndexPath, indexPath } from '../registry/sparse-path.ts'
import { isBelieved, rootRef, type Snapshot, underPath } from '../store/snapshot.ts'
import { localTiles } from '../store/tiles.ts'
import { EMPTY_TREE } from '../tree/build.ts'
import { diff, type LoadTiles } from '../tree/diff.ts'
import type { TileRef, TreeEntry } from '../tree/entry.ts'
import { lookUp } from '../tree/prove.ts'

/** One crate to bring from what stands under its path now to what the tree wants there. */
export interface Change {
  readonly path: IndexPath
  /** The index file under the path now; undefined: none. */
  readonly have: Checksum | undefined
  /** What the tree names; undefined: the crate has left the tree. */
  readonly want: TreeEntry | undefined
}

const DAY_MS = 86_400_000

/**
 * What differs between the published snapshot and the tree: the tree's own difference, what was
 * held (its old file still stands), and what is absent and due to be asked for again.
 */
export async function planChanges(
  root: string,
  published: Snapshot | undefined,
  tree: TileRef,
  { load, now }: { readonly load: LoadTiles; readonly now: Date },
): Promise<Change[]> {
  const changes = new Map<IndexPath, Change>()
  const before = published === undefined ? EMPTY_TREE : rootRef(published.tree)
  const both = { before: localTiles(root), after: load }
  for await (const { path, before: old, after } of diff(before, tree, both)) {
    changes.set(path, { path, have: underPath(published, path, old?.sha256), want: after })
  }
  for (const path of pathsToAskAgain(published, now)) {
    if (changes.has(path)) continue
    const want = await lookUp(tree, path, load)
    const have = underPath(published, path, want?.sha256)
    // held, never published, and no longer named: the record ends, there is nothing to do
    if (want !== undefined || have !== undefined) changes.set(path, { path, have, want })
  }
  return [...changes.values()]
}

/** Crates that are held, or have an artifact absent at its origin, which is asked for once a day. */
export function pathsToAskAgain(published: Snapshot | undefined, now: Date): IndexPath[] {
  const due = Object.values(published?.absent ?? {}).filter(
    gone => isBelieved(gone) && now.getTime() - Date.parse(gone.last) >= DAY_MS,
  )
  const held = Object.keys(published?.held ?? {}) as IndexPath[]
  return [...held, ...due.map(gone => indexPath(gone.crate as CrateName))]
}
