import fc from 'fast-check'
import { expect, test } from 'vitest'
import { EMPTY_TREE } from '../../src/tree/build.ts'
import { type Difference, diff, type LoadTiles } from '../../src/tree/diff.ts'
import type { TreeEntry } from '../../src/tree/entry.ts'
import { crates, cratesBelow, edited, entryOf, Tiles, type Tree, tree } from './trees.ts'

async function differences(before: Tree, after: Tree): Promise<Difference[]> {
  const load = { before: before.tiles.load, after: after.tiles.load }
  const found = await Array.fromAsync(diff(before.root, after.root, load))
  return byPath(found)
}

function byPath(found: readonly Difference[]): Difference[] {
  return found.toSorted((a, b) => (a.path < b.path ? -1 : 1))
}

/** What a comparison of the whole lists says. */
function expected(before: readonly TreeEntry[], after: readonly TreeEntry[]): Difference[] {
  const old = new Map(before.map(entry => [entry.path, entry]))
  const now = new Map(after.map(entry => [entry.path, entry]))
  const paths = [...new Set([...old.keys(), ...now.keys()])]
  return byPath(
    paths
      .map(path => ({ path, before: old.get(path), after: now.get(path) }))
      .filter(({ before, after }) => JSON.stringify(before) !== JSON.stringify(after)),
  )
}

const HUNDRED = crates(100)
const THOUSAND = crates(1000)
const DEEP = cratesBelow('2a', 150)

test('equal trees differ in nothing, and no tile is read to know it', async () => {
  const [before, after] = [tree(THOUSAND), tree(THOUSAND)]
  expect(await differences(before, after)).toEqual([])
  expect([...before.tiles.loads, ...after.tiles.loads]).toEqual([])
})

test('a crate that was added, edited or removed is told with both entries', async () => {
  const [gone, old, ...others] = HUNDRED
  if (gone === undefined || old === undefined) return expect.unreachable()
  const now = edited(old)
  const added = entryOf('serde', 'serde')
  expect(await differences(tree(HUNDRED), tree([now, added, ...others]))).toEqual([
    { path: gone.path, before: gone, after: undefined },
    { path: old.path, before: old, after: now },
    { path: added.path, before: undefined, after: added },
  ])
})

test('another length with the same checksum is a difference too', async () => {
  const [one] = crates(1)
  if (one === undefined) return expect.unreachable()
  const longer = { ...one, length: one.length + 1 }
  const [found] = await differences(tree([one]), tree([longer]))
  expect(found).toEqual({ path: one.path, before: one, after: longer })
})

test('only tiles that differ are read', async () => {
  const serde = entryOf('serde', 'old')
  const before = tree([...THOUSAND, serde])
  const after = tree([...THOUSAND, edited(serde)])
  expect(await differences(before, after)).toHaveLength(1)
  const old = new Set(before.tiles.bytes.keys())
  const now = new Set(after.tiles.bytes.keys())
  expect(new Set(before.tiles.loads)).toEqual(old.difference(now))
  expect(new Set(after.tiles.loads)).toEqual(now.difference(old))
})

test('the empty tree is never asked for, on either side', async () => {
  const nothing: Tree = { root: EMPTY_TREE, tiles: new Tiles() }
  const all = tree(THOUSAND)
  expect(await differences(nothing, all)).toEqual(expected([], THOUSAND))
  expect(await differences(all, nothing)).toEqual(expected(THOUSAND, []))
  expect(await differences(nothing, nothing)).toEqual([])
  expect(nothing.tiles.loads).toEqual([])
})

test('a leaf that grew into a deep tree, or shrank from one, differs in what it did not have', async () => {
  const few = [...HUNDRED.slice(0, 30), ...DEEP.slice(0, 30)]
  const many = [...THOUSAND, ...DEEP]
  expect(await differences(tree(few), tree(many))).toEqual(expected(few, many))
  expect(await differences(tree(many), tree(few))).toEqual(expected(many, few))
})

test('a loader is asked for many tiles at once, but never for more than 256', async () => {
  const all = tree(crates(20_000))
  const found = await differences({ root: EMPTY_TREE, tiles: all.tiles }, all)
  expect(found).toHaveLength(20_000)
  const sizes = all.tiles.batches.map(batch => batch.length)
  expect(Math.max(...sizes)).toBe(256)
  expect(sizes.length).toBeLessThan(20)
  expect(all.tiles.loads).toHaveLength(all.tiles.bytes.size)
})

test('a tile that cannot be had fails the comparison', async () => {
  const { root, tiles } = tree(THOUSAND)
  const lost: LoadTiles = async refs => {
    if (refs.some(({ position }) => position === '7')) throw new Error('lost')
    return await tiles.load(refs)
  }
  const all = Array.fromAsync(diff(EMPTY_TREE, root, { before: tiles.load, after: lost }))
  await expect(all).rejects.toThrow('lost')
})

test('a loader that brings too few tiles fails the comparison', async () => {
  const { root, tiles } = tree(THOUSAND)
  const short: LoadTiles = async refs => (await tiles.load(refs)).slice(0, 15)
  const all = Array.fromAsync(diff(EMPTY_TREE, root, { before: tiles.load, after: short }))
  await expect(all).rejects.toThrow(TypeError)
})

const POOL = [...HUNDRED, ...DEEP]
/** A state of the pool: each crate is missing, as it was, or edited. */
const states = fc
  .tuple(
    fc.constantFrom(0, 1, 2, 50, 98, 100),
    fc.infiniteStream(fc.nat(99)),
    fc.infiniteStream(fc.boolean()),
  )
  .map(([percent, chances, edits]) =>
    POOL.filter(() => (chances.next().value ?? 0) < percent).map(entry =>
      edits.next().value ? edited(entry) : entry,
    ),
  )

test('between any two trees the difference is exact, in both directions', async () => {
  await fc.assert(
    fc.asyncProperty(states, states, async (before, after) => {
      const [old, now] = [tree(before), tree(after)]
      expect(await differences(old, now)).toEqual(expected(before, after))
      expect(await differences(now, old)).toEqual(expected(after, before))
    }),
    { numRuns: 60 },
  )
})
