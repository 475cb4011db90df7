import type { IndexPath } from '../registry/sparse-path.ts'
import { EMPTY_TREE } from './build.ts'
import { childTowards, keyOf, type Position, type TileRef, type TreeEntry } from './entry.ts'
import type { Node, Tile } from './tile.ts'

/**
 * Brings tiles, verified by `parseTile`, one for each ref and in their order, or fails. It is given
 * many at once, so that one over a network can ask for them in parallel.
 */
export type LoadTiles = (refs: readonly TileRef[]) => Promise<readonly Tile[]>

/** One path that two trees do not agree on; undefined: that tree has no entry for it. */
export interface Difference {
  readonly path: IndexPath
  readonly before: TreeEntry | undefined
  readonly after: TreeEntry | undefined
}

/** How many tiles a loader is asked for at once. */
export const BATCH_TILES = 256

/** One tree below a position: a tile still to be read, or its entries there, perhaps none. */
type Side = TileRef | readonly TreeEntry[]

interface Pair {
  readonly before: Side
  readonly after: Side
}

/**
 * What differs between two trees, in no particular order. Only tiles that differ are read, and of
 * the pairs found only a stack is kept, so that memory grows with the depth and not with the index.
 */
export async function* diff(
  before: TileRef,
  after: TileRef,
  load: { readonly before: LoadTiles; readonly after: LoadTiles },
): AsyncGenerator<Difference> {
  const open = unequal([{ before: sideOf(before), after: sideOf(after) }])
  while (open.length > 0) {
    const batch = open.splice(-BATCH_TILES)
    const befores = await opened(
      batch.map(pair => pair.before),
      load.before,
    )
    const afters = await opened(
      batch.map(pair => pair.after),
      load.after,
    )
    for (const [index, old] of befores.entries()) {
      const now = afters[index] ?? []
      if (isNode(old)) open.push(...pairsBelow(old.position, old, now))
      else if (isNode(now)) open.push(...pairsBelow(now.position, old, now))
      else yield* compared(old, now)
    }
  }
}

function sideOf(root: TileRef): Side {
  return root.hash === EMPTY_TREE.hash ? [] : root
}

/** Reads the tiles among the sides; a leaf is its entries. */
async function opened(
  sides: readonly Side[],
  load: LoadTiles,
): Promise<(Node | readonly TreeEntry[])[]> {
  const refs = sides.filter(isRef)
  const tiles = refs.length === 0 ? [] : await load(refs)
  let next = 0
  return sides.map(side => {
    if (!isRef(side)) return side
    const tile = tiles[next++] as Tile
    return tile.kind === 'leaf' ? tile.entries : tile
  })
}

/** A leaf that stands against a node is shared out by digit, as if it had children too. */
function pairsBelow(
  position: Position,
  before: Node | readonly TreeEntry[],
  after: Node | readonly TreeEntry[],
): Pair[] {
  const old = sidesBelow(position, before)
  const now = sidesBelow(position, after)
  const positions = new Set([...old.keys(), ...now.keys()])
  return unequal(
    Array.from(positions, at => ({ before: old.get(at) ?? [], after: now.get(at) ?? [] })),
  )
}

function sidesBelow(
  position: Position,
  above: Node | readonly TreeEntry[],
): ReadonlyMap<Position, Side> {
  if (isNode(above)) return new Map(above.children.map(child => [child.position, child]))
  return Map.groupBy(above, ({ path }) => childTowards(position, keyOf(path)))
}

/** Equal hashes are equal subtrees, whatever their size: there is nothing to read. */
function unequal(pairs: readonly Pair[]): Pair[] {
  return pairs.filter(
    ({ before, after }) => !(isRef(before) && isRef(after) && before.hash === after.hash),
  )
}

function* compared(
  before: readonly TreeEntry[],
  after: readonly TreeEntry[],
): Generator<Difference> {
  const gone = new Map(before.map(entry => [entry.path, entry]))
  for (const entry of after) {
    const old = gone.get(entry.path)
    gone.delete(entry.path)
    const isSame = old?.sha256 === entry.sha256 && old.length === entry.length
    if (!isSame) yield { path: entry.path, before: old, after: entry }
  }
  for (const [path, entry] of gone) yield { path, before: entry, after: undefined }
}

function isRef(side: Side): side is TileRef {
  return 'hash' in side
}

function isNode(side: Node | readonly TreeEntry[]): side is Node {
  return 'kind' in side
}
