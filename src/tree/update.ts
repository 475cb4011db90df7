import type { Checksum } from '../registry/checksum.ts'
import type { IndexPath } from '../registry/sparse-path.ts'
import { buildBelow, EMPTY_TREE, keyed, type PutTile, putLeaf, putNode } from './build.ts'
import type { LoadTiles } from './diff.ts'
import {
  type CountedRef,
  childTowards,
  keyOf,
  type Position,
  sortedByPath,
  type TileRef,
  type TreeEntry,
} from './entry.ts'
import { LEAF_ENTRIES_MAX, type Node, type Tile } from './tile.ts'

/** What a path's entry shall be; undefined: none. */
export interface TreeChange {
  readonly path: IndexPath
  readonly after: TreeEntry | undefined
}

interface KeyedChange extends TreeChange {
  readonly key: Checksum
}

/**
 * What became of a subtree: its tile, or 64 entries or fewer that have none yet, because the node
 * above may shrink so far that it takes them in. No entries: nothing is left here.
 */
type Branch = CountedRef | readonly TreeEntry[]

/**
 * The tree after the changes: exactly the one that `buildTree` makes of the same entries, at a cost
 * of changes × depth. `put` gets the tiles that are new against those read on the way.
 */
export async function updateTree(
  root: TileRef,
  changes: Iterable<TreeChange>,
  { load, put }: { readonly load: LoadTiles; readonly put: PutTile },
): Promise<CountedRef> {
  const update = new Update(load, put)
  return await update.of(root, sortedByPath(changes).map(withKey))
}

/** One update under way: it remembers what it read, so that nothing old is put again. */
class Update {
  readonly #load: LoadTiles
  readonly #put: PutTile
  readonly #old = new Set<Checksum>()

  constructor(load: LoadTiles, put: PutTile) {
    this.#load = load
    this.#put = (ref, bytes) => {
      if (!this.#old.has(ref.hash)) put(ref, bytes)
    }
  }

  async of(root: TileRef, changes: readonly KeyedChange[]): Promise<CountedRef> {
    this.#old.add(root.hash)
    const [tile] = root.hash === EMPTY_TREE.hash ? [EMPTY_TREE] : await this.#load([root])
    return this.#sealed(root.position, await this.#changed(tile as Tile, changes))
  }

  async #changed(tile: Tile, changes: readonly KeyedChange[]): Promise<Branch> {
    if (tile.kind === 'node') return await this.#changedNode(tile, changes)
    return this.#grown(tile.position, withChanges(tile.entries, changes))
  }

  async #changedNode(node: Node, changes: readonly KeyedChange[]): Promise<Branch> {
    const shares = Map.groupBy(changes, ({ key }) => childTowards(node.position, key))
    const branches = new Map<Position, Branch>(node.children.map(ref => [ref.position, ref]))
    const touched = node.children.filter(child => shares.has(child.position))
    const tiles = await this.#loaded(touched)
    for (const [index, { position }] of touched.entries()) {
      branches.set(position, await this.#changed(tiles[index] as Tile, shares.get(position) ?? []))
      shares.delete(position)
    }
    for (const [position, share] of shares) {
      branches.set(position, this.#grown(position, withChanges([], share)))
    }
    return await this.#joined(node.position, branches)
  }

  #grown(position: Position, entries: readonly TreeEntry[]): Branch {
    if (entries.length <= LEAF_ENTRIES_MAX) return entries
    return buildBelow(position, entries.map(keyed), this.#put)
  }

  /** A branch of nothing gets no tile: an empty leaf below the root would be a second spelling. */
  async #joined(position: Position, branches: ReadonlyMap<Position, Branch>): Promise<Branch> {
    const left = [...branches].filter(([, branch]) => sizeOf(branch) > 0)
    const count = left.reduce((sum, [, branch]) => sum + sizeOf(branch), 0)
    if (count <= LEAF_ENTRIES_MAX) return await this.#takenIn(left.map(([, branch]) => branch))
    const children = left
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([child, branch]) => this.#sealed(child, branch))
    return putNode(position, children, this.#put)
  }

  /** The entries of branches that are 64 together: each of them is a leaf, if it has a tile. */
  async #takenIn(branches: readonly Branch[]): Promise<readonly TreeEntry[]> {
    const leaves = await this.#loaded(branches.filter(isRef))
    const kept = leaves.flatMap(tile => (tile.kind === 'leaf' ? tile.entries : []))
    return sortedByPath([...kept, ...branches.flatMap(branch => (isRef(branch) ? [] : branch))])
  }

  #sealed(position: Position, branch: Branch): CountedRef {
    return isRef(branch) ? branch : putLeaf(position, branch, this.#put)
  }

  async #loaded(refs: readonly CountedRef[]): Promise<readonly Tile[]> {
    if (refs.length === 0) return []
    for (const { hash } of refs) this.#old.add(hash)
    const tiles = await this.#load(refs)
    // what a loader leaves out would be lost from the tree without a word (P17)
    if (tiles.length !== refs.length) throw new TypeError('a loader brought too few tiles')
    return tiles
  }
}

function withKey(change: TreeChange): KeyedChange {
  const { path, after } = change
  if (after !== undefined && after.path !== path) {
    throw new TypeError(`the entry of ${after.path} cannot stand under ${path}`)
  }
  return { ...change, key: keyOf(path) }
}

/** Entries and changes ascend by path; so does what comes of them. */
function withChanges(
  entries: readonly TreeEntry[],
  changes: readonly TreeChange[],
): readonly TreeEntry[] {
  const changed = new Set(changes.map(({ path }) => path))
  const kept = entries.filter(({ path }) => !changed.has(path))
  return sortedByPath([...kept, ...changes.flatMap(({ after }) => after ?? [])])
}

function isRef(branch: Branch): branch is CountedRef {
  return 'hash' in branch
}

function sizeOf(branch: Branch): number {
  return isRef(branch) ? branch.count : branch.length
}
