import type { Checksum } from '../registry/checksum.ts'
import { type IndexPath, nameOfPath, type Prefix, prefixOfPath } from '../registry/sparse-path.ts'
import { breathe } from '../store/durable.ts'
import { tileFile } from '../store/layout.ts'
import { rootRef, type Snapshot, shownTree } from '../store/snapshot.ts'
import { readTile } from '../store/tiles.ts'
import { EMPTY_TREE } from '../tree/build.ts'
import type { TileRef, TreeEntry } from '../tree/entry.ts'
import { parseTile, type Tile, TileRefused } from '../tree/tile.ts'
import { walkTiles } from '../tree/walk.ts'
import { damaged } from './prune-damage.ts'
import type { Kept } from './prune-kept.ts'

/**
 * The tiles and index files that something names. Artifacts are not in it: a registry has millions,
 * and what names one lies in the folder of its own prefix, so they are told folder by folder. What
 * is held in memory is a name for each crate, and for each of its files that a kept snapshot has.
 */
export class Marks {
  readonly #tiles = new Set<string>()
  /** By prefix, as files stand in its folder: `{sha256}.{name}`, and whether it may be missing. */
  readonly #indexFiles = new Map<Prefix, Map<string, boolean>>()

  /** False where it was marked before, and with it all that is below it. */
  addTile(ref: TileRef): boolean {
    const file = tileFile(ref.position, ref.hash)
    if (this.#tiles.has(file)) return false
    this.#tiles.add(file)
    return true
  }

  hasTile(file: string): boolean {
    return this.#tiles.has(file)
  }

  /** What is needed by one that names it stays needed, whoever could do without it. */
  addIndexFile(path: IndexPath, checksum: Checksum, { mayMiss }: { mayMiss: boolean }): void {
    const folder = this.#indexFiles.getOrInsertComputed(prefixOfPath(path), () => new Map())
    const name = `${checksum}.${nameOfPath(path)}`
    folder.set(name, mayMiss && folder.get(name) !== false)
  }

  hasIndexFile(prefix: Prefix, name: string): boolean {
    return this.#indexFiles.get(prefix)?.has(name) === true
  }

  indexFilesIn(prefix: Prefix): Iterable<readonly [string, boolean]> {
    return this.#indexFiles.get(prefix) ?? []
  }

  get prefixes(): Iterable<Prefix> {
    return this.#indexFiles.keys()
  }
}

/** @throws {MirrorError} damaged where a tile is not right, or one of a whole tree is not here */
export async function markNamed(root: string, kept: Kept, signal: AbortSignal): Promise<Marks> {
  const marks = new Marks()
  const mayMiss = awaited(kept.snapshots)
  for (const snapshot of kept.snapshots) {
    for (const ref of [rootRef(snapshot.tree), shownTree(snapshot)]) {
      await markTree(marks, { root, ref, isBegun: false }, { mayMiss, signal })
    }
    for (const [path, { have, want }] of Object.entries(snapshot.held)) {
      if (have !== null) marks.addIndexFile(path as IndexPath, have, { mayMiss: false })
      if (want !== null) marks.addIndexFile(path as IndexPath, want, { mayMiss: true })
    }
  }
  for (const tree of kept.begun) {
    await markTree(marks, { root, ref: rootRef(tree), isBegun: true }, { mayMiss, signal })
  }
  return marks
}

/** Of a held crate the tree may name an index file that never came, or that was lost here. */
function awaited(snapshots: readonly Snapshot[]): ReadonlySet<string> {
  const held = snapshots.flatMap(snapshot => Object.entries(snapshot.held))
  return new Set(held.map(([path, { want }]) => `${want} ${path}`))
}

interface MarkedTree {
  readonly root: string
  readonly ref: TileRef
  /** Of a sync that was not finished: what is not here was not fetched yet. */
  readonly isBegun: boolean
}

/** Goes only below tiles that are new: one snapshot shares nearly all of its tree with the next. */
async function markTree(
  marks: Marks,
  { root, ref, isBegun }: MarkedTree,
  { mayMiss, signal }: { readonly mayMiss: ReadonlySet<string>; readonly signal: AbortSignal },
): Promise<void> {
  const find = async (refs: readonly TileRef[]): Promise<(Tile | undefined)[]> => {
    const tiles: (Tile | undefined)[] = []
    for (const one of refs) {
      signal.throwIfAborted()
      await breathe()
      if (marks.addTile(one) && one.hash !== EMPTY_TREE.hash) tiles.push(tileOf(root, one, isBegun))
    }
    return tiles
  }
  const isAwaited = ({ path, sha256 }: TreeEntry): boolean => mayMiss.has(`${sha256} ${path}`)
  for await (const tile of walkTiles(ref, find)) {
    if (tile.kind === 'node') continue
    for (const entry of tile.entries) {
      marks.addIndexFile(entry.path, entry.sha256, { mayMiss: isBegun || isAwaited(entry) })
    }
  }
}

function tileOf(root: string, ref: TileRef, mayMiss: boolean): Tile | undefined {
  const file = tileFile(ref.position, ref.hash)
  const bytes = readTile(root, ref)
  if (bytes === undefined && mayMiss) return undefined
  if (bytes === undefined) throw damaged(file, 'is missing')
  try {
    return parseTile(bytes, ref)
  } catch (error) {
    if (!(error instanceof TileRefused)) throw error
    throw damaged(file, 'is damaged', error)
  }
}
