import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { IndexPath } from '../../src/registry/sparse-path.ts'
import { EMPTY_TREE } from '../../src/tree/build.ts'
import { PathTwice, type TileRef, type TreeEntry } from '../../src/tree/entry.ts'
import { type TreeChange, updateTree } from '../../src/tree/update.ts'
import { walkTiles } from '../../src/tree/walk.ts'
import { crates, cratesBelow, edited, entryOf, pathOf, Tiles, type Tree, tree } from './trees.ts'

const put = ({ path, ...rest }: TreeEntry): TreeChange => ({ path, after: { path, ...rest } })
const remove = ({ path }: TreeEntry): TreeChange => ({ path, after: undefined })

/** The tree after the changes, in the same store. */
async function updated({ root, tiles }: Tree, changes: Iterable<TreeChange>): Promise<Tree> {
  return { root: await updateTree(root, changes, tiles), tiles }
}

/** Every tile of a tree, as its store gives it. */
async function hashesOf({ root, tiles }: Tree): Promise<Set<string>> {
  return new Set((await Array.fromAsync(walkTiles(root, tiles.load))).map(({ hash }) => hash))
}

const HUNDRED = crates(100)
const DEEP = cratesBelow('2a', 90)

test('one crate more gives the tree that a build gives', async () => {
  for (const count of [0, 1, 63, 64, 65, 500]) {
    const entries = crates(count + 1)
    const after = await updated(tree(entries.slice(0, -1)), entries.slice(-1).map(put))
    expect(after.root).toEqual(tree(entries).root)
  }
})

test('one crate less gives the tree that a build gives', async () => {
  for (const count of [1, 2, 64, 65, 66, 500]) {
    const entries = crates(count)
    const after = await updated(tree(entries), entries.slice(-1).map(remove))
    expect(after.root).toEqual(tree(entries.slice(0, -1)).root)
  }
})

test('a change in one crate reads and writes one tile a level', async () => {
  const entries = [...crates(5000), entryOf('serde', 'old')]
  const before = tree(entries)
  const written: TileRef[] = []
  const serde = entryOf('serde', 'new')
  await updateTree(before.root, [put(serde)], {
    load: before.tiles.load,
    put: ref => written.push(ref),
  })
  expect(before.tiles.loads).toHaveLength(3)
  expect(written.map(({ position }) => position)).toEqual(['2a', '2', ''])
})

test('deleting at once all of the more than 64 entries of a node leaves no empty leaf', async () => {
  const after = await updated(tree([...HUNDRED, ...DEEP]), DEEP.map(remove))
  expect(after.root).toEqual(tree(HUNDRED).root)
  const below = tree([...HUNDRED, ...DEEP, ...cratesBelow('2b', 1)])
  expect((await updated(below, DEEP.map(remove))).root).toEqual(
    tree([...HUNDRED, ...cratesBelow('2b', 1)]).root,
  )
})

test('a tree that loses everything is the empty tree, and can be filled again', async () => {
  const before = tree([...HUNDRED, ...DEEP])
  const empty = await updated(before, [...HUNDRED, ...DEEP].map(remove))
  expect(empty.root.hash).toBe(EMPTY_TREE.hash)
  expect(empty.root.count).toBe(0)
  const again = await updated(empty, [...DEEP, ...HUNDRED].map(put))
  expect(again.root).toEqual(before.root)
})

test('a subtree that shrinks to 64 entries becomes a leaf again, and nothing else is put', async () => {
  const before = tree([...HUNDRED, ...DEEP])
  const written: TileRef[] = []
  const root = await updateTree(before.root, [...HUNDRED, ...DEEP.slice(64)].map(remove), {
    load: before.tiles.load,
    put: ref => written.push(ref),
  })
  expect(root).toEqual(tree(DEEP.slice(0, 64)).root)
  expect(written).toEqual([root])
})

test('the empty tree is never asked for', async () => {
  const tiles = new Tiles()
  const root = await updateTree(EMPTY_TREE, HUNDRED.map(put), tiles)
  expect(root).toEqual(tree(HUNDRED).root)
  expect(tiles.loads).toEqual([])
})

test('changes that change nothing give the same root, its count known, and put no tile', async () => {
  const { root, tiles } = tree(HUNDRED)
  const silent = { load: tiles.load, put: (): never => expect.unreachable('a tile was put') }
  const bare = { ...root, count: undefined }
  for (const changes of [
    [],
    HUNDRED.map(put),
    [{ path: pathOf('serde'), after: undefined }],
    [put(HUNDRED[7] ?? entryOf('a', 'a')), { path: pathOf('serde'), after: undefined }],
  ]) {
    expect(await updateTree(bare, changes, silent)).toEqual(root)
  }
  const nothing = { path: pathOf('serde'), after: undefined }
  expect((await updateTree(EMPTY_TREE, [nothing], silent)).hash).toBe(EMPTY_TREE.hash)
})

test('two changes of one path are refused', async () => {
  const [one] = crates(1)
  if (one === undefined) return expect.unreachable()
  const twice = [put(one), remove(one)]
  await expect(updateTree(EMPTY_TREE, twice, new Tiles())).rejects.toThrow(PathTwice)
})

test('an entry cannot be put under the path of another', async () => {
  const astray = { path: pathOf('tokio'), after: entryOf('serde', 'x') }
  await expect(updateTree(EMPTY_TREE, [astray], new Tiles())).rejects.toThrow(
    'the entry of se/rd/serde cannot stand under to/ki/tokio',
  )
})

test('a tile that cannot be had fails the update', async () => {
  const { root, tiles } = tree([...HUNDRED, ...DEEP])
  const load = async (refs: readonly TileRef[]) => {
    if (refs.some(({ position }) => position === '2a')) throw new Error('lost')
    return await tiles.load(refs)
  }
  const update = updateTree(root, DEEP.map(remove), { load, put: tiles.put })
  await expect(update).rejects.toThrow('lost')
})

test('a loader that brings too few tiles fails the update, instead of losing crates', async () => {
  const { root, tiles } = tree(crates(70))
  const load = async (refs: readonly TileRef[]) => (await tiles.load(refs)).slice(0, 5)
  const update = updateTree(root, crates(6).map(remove), { load, put: tiles.put })
  await expect(update).rejects.toThrow(TypeError)
})

/** Enough names for leaves and nodes to come and go at four levels. */
const NAMES = [...crates(220), ...cratesBelow('2a', 80), ...cratesBelow('2a0', 70), ...DEEP]
const POOL = [...new Map(NAMES.map(entry => [entry.path, entry])).values()]

interface Batch {
  readonly kind: 'put' | 'edit' | 'remove'
  /** Which crates of the pool: those from `start`, every `step`th, `count` of them. */
  readonly start: number
  readonly step: number
  readonly count: number
  readonly salt: number
}

const batches: fc.Arbitrary<Batch> = fc.record({
  kind: fc.constantFrom('put', 'edit', 'remove'),
  start: fc.nat(POOL.length - 1),
  step: fc.constantFrom(1, 1, 2, 7),
  count: fc.oneof(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: POOL.length })),
  salt: fc.nat(2),
})

function changesOf({ kind, start, step, count, salt }: Batch): TreeChange[] {
  const chosen = new Set<TreeEntry>()
  for (let index = 0; index < count; index += 1) {
    const entry = POOL[(start + index * step) % POOL.length]
    if (entry !== undefined) chosen.add(entry)
  }
  const byKind = { put, remove, edit: (entry: TreeEntry) => put(edited(entry, `${salt}`)) }
  return Array.from(chosen, byKind[kind])
}

test('after any history the tree is the one that a build gives', async () => {
  const histories = fc.array(batches, { minLength: 1, maxLength: 6 })
  await fc.assert(
    fc.asyncProperty(histories, async history => {
      const entries = new Map<IndexPath, TreeEntry>()
      let now = tree([])
      for (const batch of history) {
        const changes = changesOf(batch)
        for (const { path, after } of changes) {
          if (after === undefined) entries.delete(path)
          else entries.set(path, after)
        }
        now = await updated(now, changes)
        expect(now.root).toEqual(tree(entries.values()).root)
      }
    }),
    { numRuns: 60 },
  )
})

test('what is put is new, and all that is new', async () => {
  await fc.assert(
    fc.asyncProperty(batches, batches, async (first, second) => {
      const before = await updated(tree(POOL), changesOf(first))
      const old = await hashesOf(before)
      const { load } = before.tiles
      const written = new Tiles()
      const root = await updateTree(before.root, changesOf(second), { load, put: written.put })
      for (const [hash, bytes] of written.bytes) before.tiles.bytes.set(hash, bytes)
      const now = await hashesOf({ root, tiles: before.tiles })
      expect(new Set(written.bytes.keys())).toEqual(now.difference(old))
    }),
    { numRuns: 40 },
  )
})

test('a change that is undone gives the old root, even after the tiles in between are gone', async () => {
  await fc.assert(
    fc.asyncProperty(batches, async batch => {
      const before = tree([...HUNDRED, ...DEEP])
      const old = new Map([...HUNDRED, ...DEEP].map(entry => [entry.path, entry]))
      const changes = changesOf(batch)
      const between = await updated(before, changes)
      const kept = await hashesOf(between)
      for (const hash of before.tiles.bytes.keys()) {
        if (!kept.has(hash)) before.tiles.bytes.delete(hash)
      }
      const undo = changes.map(({ path }) => ({ path, after: old.get(path) }))
      const after = await updated(between, undo)
      expect(after.root).toEqual(before.root)
      expect(await hashesOf(after)).toEqual(await hashesOf(tree([...HUNDRED, ...DEEP])))
    }),
    { numRuns: 40 },
  )
})
