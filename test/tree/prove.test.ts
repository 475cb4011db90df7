import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { IndexPath } from '../../src/registry/sparse-path.ts'
import { EMPTY_TREE } from '../../src/tree/build.ts'
import { ROOT, type TileRef } from '../../src/tree/entry.ts'
import { lookUp, ProofTooShort, prove, verifyProof } from '../../src/tree/prove.ts'
import { encodeLeaf, TileRefused } from '../../src/tree/tile.ts'
import { crates, cratesBelow, edited, entryOf, pathOf, Tiles, type Tree, tree } from './trees.ts'

const DEEP = cratesBelow('2a', 90)
const ENTRIES = [...crates(100), ...DEEP]
const TREE = tree(ENTRIES)
/** Its key begins with 2a0b: the way leads through `2` and `2a`. */
const SERDE = pathOf('serde')

async function proof({ root, tiles }: Tree, path: IndexPath): Promise<Uint8Array[]> {
  return (await prove(root, path, tiles.load)).map(ref => tiles.at(ref))
}

test('every crate of a tree is proved to be in it, and looked up', async () => {
  for (const entry of ENTRIES) {
    const tiles = await proof(TREE, entry.path)
    expect(verifyProof(TREE.root.hash, entry.path, tiles)).toEqual(entry)
    expect(await lookUp(TREE.root, entry.path, TREE.tiles.load)).toEqual(entry)
  }
})

test('a crate that is not in the tree is proved absent, by a leaf without it', async () => {
  const tiles = await proof(TREE, SERDE)
  expect(verifyProof(TREE.root.hash, SERDE, tiles)).toBeUndefined()
  expect(await lookUp(TREE.root, SERDE, TREE.tiles.load)).toBeUndefined()
  expect(Buffer.from(tiles.at(-1) ?? []).toString()).toMatch(/^index-tree 1 leaf 2a/)
})

test('a crate that is not in the tree is proved absent, by a node without its digit', async () => {
  const only = tree(cratesBelow('2b', 70))
  const tiles = await proof(only, SERDE)
  expect(verifyProof(only.root.hash, SERDE, tiles)).toBeUndefined()
  expect(await lookUp(only.root, SERDE, only.tiles.load)).toBeUndefined()
  expect(tiles).toHaveLength(2)
})

test('everything is proved absent from the empty tree, which no loader is asked for', async () => {
  const nothing = new Tiles()
  expect(await lookUp(EMPTY_TREE, SERDE, nothing.load)).toBeUndefined()
  const [ref, ...others] = await prove(EMPTY_TREE, SERDE, nothing.load)
  expect([ref?.hash, others]).toEqual([EMPTY_TREE.hash, []])
  expect(verifyProof(EMPTY_TREE.hash, SERDE, [encodeLeaf(ROOT, [])])).toBeUndefined()
  expect(nothing.loads).toEqual([])
})

test('a proof that ends before the way does is too short, and proves no absence', async () => {
  for (const path of [SERDE, DEEP[0]?.path ?? SERDE]) {
    const tiles = await proof(TREE, path)
    for (let count = 0; count < tiles.length; count += 1) {
      const short = tiles.slice(0, count)
      expect(() => verifyProof(TREE.root.hash, path, short)).toThrow(ProofTooShort)
      expect(() => verifyProof(TREE.root.hash, path, short)).toThrow('proof too short')
    }
  }
})

test('tiles beyond the end of the way are ignored', async () => {
  const tiles = await proof(TREE, SERDE)
  const more = [...tiles, Buffer.from('anything'), ...tiles]
  expect(verifyProof(TREE.root.hash, SERDE, more)).toBeUndefined()
})

test('a proof from another tree, out of order, or for another path is refused', async () => {
  const [one] = DEEP
  if (one === undefined) return expect.unreachable()
  const tiles = await proof(TREE, one.path)
  const other = tree([edited(one), ...ENTRIES.filter(({ path }) => path !== one.path)])
  const refused = [
    await proof(other, one.path),
    [...tiles.slice(0, -1), ...(await proof(other, one.path)).slice(-1)],
    tiles.toReversed(),
    tiles.slice(1),
    tiles.toSpliced(1, 1),
  ]
  for (const wrong of refused) {
    expect(() => verifyProof(TREE.root.hash, one.path, wrong)).toThrow(TileRefused)
  }
  const elsewhere = ENTRIES.find(({ path }) => path === 'cr/at/crate-00000')?.path ?? SERDE
  expect(() => verifyProof(TREE.root.hash, elsewhere, tiles)).toThrow(TileRefused)
})

test('a lookup reads the tiles of the proof, and no other', async () => {
  const { root, tiles } = tree(ENTRIES)
  const refs = await prove(root, SERDE, tiles.load)
  expect(refs.map(({ position }) => position).slice(0, 3)).toEqual(['', '2', '2a'])
  expect(Object.keys(refs[0] ?? {})).toEqual(['position', 'hash', 'count'])
  tiles.batches.length = 0
  await lookUp({ ...root, count: undefined }, SERDE, tiles.load)
  expect(tiles.loads).toEqual(refs.map(({ hash }) => hash))
})

test('a tile that cannot be had is a failure, not an absence', async () => {
  const load = async (refs: readonly TileRef[]) => {
    if (refs.some(({ position }) => position === '2a')) throw new Error('lost')
    return await TREE.tiles.load(refs)
  }
  await expect(lookUp(TREE.root, SERDE, load)).rejects.toThrow('lost')
})

test('of any tree every path is proved to be what it is', async () => {
  const POOL = [...ENTRIES, entryOf('serde', 'serde'), entryOf('a', 'a')]
  const parts = fc.tuple(fc.subarray(POOL), fc.constantFrom(...POOL))
  await fc.assert(
    fc.asyncProperty(parts, async ([entries, { path }]) => {
      const some = tree(entries)
      const expected = entries.find(entry => entry.path === path)
      const tiles = await proof(some, path)
      expect(verifyProof(some.root.hash, path, tiles)).toEqual(expected)
      expect(await lookUp(some.root, path, some.tiles.load)).toEqual(expected)
    }),
    { numRuns: 100 },
  )
})
