import { expect, test } from 'vitest'
import { buildTree, EMPTY_TREE } from '../../src/tree/build.ts'
import { PathTwice, ROOT, type TileRef } from '../../src/tree/entry.ts'
import { encodeLeaf, parseTile, type Tile } from '../../src/tree/tile.ts'
import { crates, cratesBelow, edited, entryOf, tree } from './trees.ts'

const lines = (bytes: Uint8Array): string[] => Buffer.from(bytes).toString('latin1').split('\n')

test.for<[number, number, string]>([
  [0, 1, '64947b44f65d986d39cd63d988038c65491b7af090fed11b2f5598f2091f2c2d'],
  [1, 1, '916c702c23c24686f905040766272289ee8ff14eac0e97403496aad38a14a676'],
  [64, 1, 'b154f619f18d6cbe104c878dec5bcccec388965b7a5063d5b4bb10da60eaa252'],
  [65, 16, 'ee0f7f2b78dbe7888c9ee4602b7b31390e85666db1d17d68bdb70189f4312113'],
  [1000, 145, 'c6bef776cbf2b77c841cc2bd88d0c0280d050da1b6d6b838f69814139f8a8a09'],
  [100_000, 4369, 'fa2150a2f4bc02f7fb548650cc758bda5f4c305b79a5c27170d8b8788b500a88'],
])('%i crates have the root of the test vectors, in %i tiles', ([count, tiles, hash]) => {
  const built = tree(crates(count))
  expect(built.root).toEqual({ position: ROOT, hash, count })
  expect(built.tiles.bytes.size).toBe(tiles)
})

test('the tile of one crate is that of the test vectors, byte for byte', () => {
  const { root, tiles } = tree(crates(1))
  expect(lines(tiles.at(root))).toEqual([
    'index-tree 1 leaf root 1',
    '854d830d7f5a3841874811db25aa9077e08fd47a64fc348782bd22814081831c 23 cr/at/crate-00000',
    '',
  ])
})

test('65 crates make a node of 15 children, as no key begins with 7', () => {
  const { root, tiles } = tree(crates(65))
  const [header, first, ...rest] = lines(tiles.at(root))
  expect(tiles.at(root)).toHaveLength(1061)
  expect(header).toBe('index-tree 1 node root 65')
  expect(first).toBe('79cf4743a9c65cd66a5d71235deeb11bad7887d7bcd1f8fbaead385300eb5101 1 0')
  const digits = [first, ...rest].map(line => line?.at(-1) ?? '').join('')
  expect(digits).toBe('012345689abcdef')
})

test('the empty tree is known without a file', () => {
  const { root, tiles } = tree([])
  const { position, hash, count } = EMPTY_TREE
  expect({ position, hash, count }).toEqual(root)
  expect(encodeLeaf(ROOT, [])).toEqual(tiles.at(root))
  expect(parseTile(tiles.at(root), root)).toEqual(EMPTY_TREE)
})

test('the order in which entries come does not matter', () => {
  const entries = [...crates(300), entryOf('a', 'a'), entryOf('ab', 'ab'), entryOf('abc', 'abc')]
  expect(tree(entries.toReversed()).root).toEqual(tree(entries).root)
})

test.for([1, 66, 100])('a path given twice among %i crates is refused', count => {
  const entries = crates(count)
  for (const twin of [entries[0], edited(entries[0] ?? entryOf('a', 'a'))]) {
    const put = (): never => expect.unreachable('a tile was put')
    const twice = [...entries, ...(twin === undefined ? [] : [twin])]
    expect(() => buildTree(twice, put)).toThrow(PathTwice)
    expect(() => buildTree(twice, put)).toThrow('cr/at/crate-00000 is given twice')
  }
})

test('tiles are put from the leaves up, each once, and read back as they were made', () => {
  const put: [TileRef, Uint8Array][] = []
  const root = buildTree([...crates(500), ...cratesBelow('2a', 70)], (...tile) => put.push(tile))
  const known = new Set<string>()
  for (const [ref, bytes] of put) {
    const tile = parseTile(bytes, ref)
    for (const child of childrenOf(tile)) expect(known).toContain(child.hash)
    expect(known).not.toContain(ref.hash)
    known.add(ref.hash)
  }
  expect(put.at(-1)?.[0]).toEqual(root)
})

test('65 names ground to share five digits make five levels with a single child', () => {
  const { root, tiles } = tree(GROUND.map(number => entryOf(`ground-${number}`, 'ground')))
  let ref = root
  for (let digits = 1; digits <= 5; digits += 1) {
    const [child, ...others] = childrenOf(parseTile(tiles.at(ref), ref))
    expect(others).toEqual([])
    expect(child).toMatchObject({ position: GROUND_DIGITS.slice(0, digits), count: 65 })
    ref = child ?? ref
  }
  const leaves = childrenOf(parseTile(tiles.at(ref), ref))
  expect(leaves.length).toBeGreaterThan(1)
  for (const leaf of leaves) expect(parseTile(tiles.at(leaf), leaf).kind).toBe('leaf')
})

function childrenOf(tile: Tile): readonly TileRef[] {
  return tile.kind === 'node' ? tile.children : []
}

/** Found by trying names in order until 65 keys of `gr/ou/ground-N` shared five digits. */
const GROUND_DIGITS = 'b6e89'
// biome-ignore format: sixty-five lines say no more
const GROUND = [
  776_471, 973_046, 2_705_109, 3_072_846, 3_540_959, 4_198_057, 4_202_393, 4_930_632,
  5_716_502, 6_357_504, 6_602_166, 9_070_140, 9_092_783, 9_093_997, 10_936_470, 10_963_716,
  11_265_854, 12_203_348, 12_215_287, 13_174_814, 13_310_220, 13_749_971, 14_143_230, 17_973_610,
  18_665_970, 18_970_171, 19_514_667, 19_923_994, 21_187_228, 21_400_205, 21_531_441, 21_934_099,
  22_040_133, 22_435_269, 22_458_545, 22_519_091, 22_732_380, 22_811_835, 23_715_961, 23_815_717,
  24_341_108, 24_399_398, 24_967_682, 24_990_867, 25_316_986, 25_324_627, 27_351_243, 27_372_886,
  27_460_464, 27_956_571, 28_190_080, 29_170_881, 30_224_454, 30_648_050, 31_281_405, 32_222_775,
  32_401_290, 33_091_592, 33_199_784, 33_280_999, 33_320_115, 34_216_631, 34_425_279, 34_861_182,
  35_492_510,
]
