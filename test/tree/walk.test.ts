import { expect, test } from 'vitest'
import { EMPTY_TREE } from '../../src/tree/build.ts'
import type { TileRef } from '../../src/tree/entry.ts'
import { entriesOf, type FindTiles, walkTiles } from '../../src/tree/walk.ts'
import { crates, cratesBelow, Tiles, tree } from './trees.ts'

const ENTRIES = [...crates(1000), ...cratesBelow('2a', 90)]

const sorted = (paths: readonly { readonly path: string }[]): string[] =>
  paths.map(({ path }) => path).sort()

test('a walk meets every tile once, each before those below it', async () => {
  const { root, tiles } = tree(ENTRIES)
  const due = new Set([root.hash])
  for await (const tile of walkTiles(root, tiles.load)) {
    expect(due.delete(tile.hash)).toBe(true)
    if (tile.kind === 'node') for (const { hash } of tile.children) due.add(hash)
  }
  expect(due.size).toBe(0)
  expect(tiles.loads.toSorted()).toEqual([...tiles.bytes.keys()].sort())
})

test('a walk asks for many tiles at once, but never for more than 256', async () => {
  const { root, tiles } = tree(crates(20_000))
  await Array.fromAsync(entriesOf(root, tiles.load))
  const sizes = tiles.batches.map(batch => batch.length)
  expect(Math.max(...sizes)).toBe(256)
  expect(sizes.length).toBeLessThan(20)
})

test('the entries of a tree are those that it was built from', async () => {
  const { root, tiles } = tree(ENTRIES)
  const found = await Array.fromAsync(entriesOf(root, tiles.load))
  expect(sorted(found)).toEqual(sorted(ENTRIES))
})

test('a lost tile is passed over with what is below it, and nothing else', async () => {
  const { root, tiles } = tree(ENTRIES)
  const lost: TileRef[] = []
  const find: FindTiles = async refs =>
    await Promise.all(
      refs.map(async ref => {
        if (ref.position !== '2a') return (await tiles.load([ref]))[0]
        lost.push(ref)
        return undefined
      }),
    )
  const found = await Array.fromAsync(entriesOf(root, find))
  expect(lost.map(({ position }) => position)).toEqual(['2a'])
  const expected = await Array.fromAsync(entriesOf(root, tiles.load))
  const count = lost[0]?.count ?? 0
  expect(count).toBeGreaterThan(64)
  expect(found).toHaveLength(expected.length - count)
})

test('the empty tree has no entries, but a tile that a walk asks for', async () => {
  const nothing = new Tiles()
  expect(await Array.fromAsync(entriesOf(EMPTY_TREE, nothing.load))).toEqual([])
  const { root, tiles } = tree([])
  expect(await Array.fromAsync(walkTiles(root, tiles.load))).toEqual([EMPTY_TREE])
})
