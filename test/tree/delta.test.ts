import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Checksum, sha256 } from '../../src/registry/checksum.ts'
import { EMPTY_TREE } from '../../src/tree/build.ts'
import { cover, type Delta, DeltaRefused, encodeDelta, parseDelta } from '../../src/tree/delta.ts'
import { diff } from '../../src/tree/diff.ts'
import { PathTwice, type TileRef, type TreeEntry } from '../../src/tree/entry.ts'
import { updateTree } from '../../src/tree/update.ts'
import { crates, edited, entryOf, type Tree, tree } from './trees.ts'

const FROM = 'ab'.repeat(32)
const TO = 'cd'.repeat(32)
const SERDE = `${FROM} 7 se/rd/serde`
const TOKIO = '- - to/ki/tokio'

const delta = (...lines: readonly string[]): string =>
  [`index-tree 1 delta ${FROM} ${TO} ${lines.length}`, ...lines].map(line => `${line}\n`).join('')
const parse = (text: string): Delta => parseDelta(Buffer.from(text, 'latin1'))

/** The delta between two trees, as a publisher writes it. */
async function between(before: Tree, after: Tree): Promise<Uint8Array> {
  const load = { before: before.tiles.load, after: after.tiles.load }
  const changes = await Array.fromAsync(diff(before.root, after.root, load))
  return encodeDelta({ from: before.root.hash, to: after.root.hash, changes })
}

const [FIRST, SECOND] = crates(2) as [TreeEntry, TreeEntry]
/** 46 bytes: what the second crate holds in the vector is its line twice. */
const TWICE = '{"name":"crate-00001"}\n'.repeat(2)

test.for<[string, readonly TreeEntry[], readonly TreeEntry[], string, number]>([
  [
    'the first crate of all',
    [],
    crates(1),
    '43568443043e00050dfe22bdd4596d544c3928572765a484b5cecfa9fde6a6fa',
    237,
  ],
  [
    'two new, one changed, one removed',
    crates(64),
    [entryOf('new', '{"name":"new"}\n'), entryOf('crate-00001', TWICE), ...crates(65).slice(2)],
    '2ede1919633f35b7c58b91532de45dabbb72f9f42af8c83fc516331d71471e52',
    421,
  ],
  [
    'nothing changed',
    crates(1),
    crates(1),
    '77037c53bb84f7e89d9fb445bbc33106ea6c82c526a6a0b04c7e3bb79168caa1',
    151,
  ],
])('%s: the delta is that of the test vectors', async ([, before, after, hash, length]) => {
  const bytes = await between(tree(before), tree(after))
  expect(bytes).toHaveLength(length)
  expect(sha256(bytes)).toBe(hash)
  expect(encodeDelta(parseDelta(bytes))).toEqual(bytes)
})

test('a delta is read as it states', () => {
  const entry = { path: 'se/rd/serde', length: 7, sha256: FROM }
  expect(parse(delta(SERDE, TOKIO))).toEqual({
    from: FROM,
    to: TO,
    changes: [
      { path: 'se/rd/serde', after: entry },
      { path: 'to/ki/tokio', after: undefined },
    ],
  })
})

test.for<[string, string, string]>([
  ['no final newline', delta(SERDE).slice(0, -1), 'newline'],
  ['nothing at all', '', 'newline'],
  ['CRLF', delta(SERDE).replaceAll('\n', '\r\n'), 'header'],
  ['another version', delta(SERDE).replace('tree 1', 'tree 2'), 'header'],
  ['the header of a tile', 'index-tree 1 leaf root 0\n', 'header'],
  ['a root in upper case', delta(SERDE).replace(TO, TO.toUpperCase()), 'header'],
  ['a count too high', delta(SERDE).replace(' 1\n', ' 2\n'), '1 changes, but its header says 2'],
  ['a count too low', delta(SERDE, TOKIO).replace(' 2\n', ' 1\n'), '2 changes, but its'],
  ['a count with a leading zero', delta(SERDE).replace(' 1\n', ' 01\n'), 'header'],
  ['a path twice', delta(SERDE, SERDE), 'path se/rd/serde is out of order'],
  ['a path changed and removed', delta('- - se/rd/serde', SERDE), 'is out of order'],
  ['lines out of order', delta(TOKIO, SERDE), 'path se/rd/serde is out of order'],
  ['a line that is none', delta(`${FROM} se/rd/serde`), 'is not "SHA256 LENGTH PATH"'],
  ['half a removal', delta(`- 7 se/rd/serde`), 'is not "SHA256 LENGTH PATH"'],
  ['a removal with two spaces', delta('- -  to/ki/tokio'), 'that of no crate'],
  ['a removal with a carriage return', delta(`${TOKIO}\r`), 'that of no crate'],
  ['a removal outside of the folder', delta('- - ../x'), 'that of no crate'],
  ['a removal of nothing', delta('- - '), 'that of no crate'],
  ['an addition outside of the folder', delta(`${FROM} 7 ../x`), 'that of no crate'],
  ['changes that lead nowhere', delta(SERDE).replace(TO, FROM), '1 changes from'],
  ['no changes that lead somewhere', delta(), '0 changes from'],
])('a delta with %s is refused', ([, text, fault]) => {
  expect(() => parse(text)).toThrow(DeltaRefused)
  expect(() => parse(text)).toThrow(fault)
})

test('two changes of one path are not written', () => {
  const changes = [
    { path: FIRST.path, after: FIRST },
    { path: FIRST.path, after: undefined },
  ]
  expect(() => encodeDelta({ from: FROM as Checksum, to: TO as Checksum, changes })).toThrow(
    PathTwice,
  )
})

async function applied(before: Tree, bytes: Uint8Array): Promise<TileRef> {
  return await updateTree(before.root, parseDelta(bytes).changes, before.tiles)
}

test('a delta with a change left out, or for another start, leads to another root', async () => {
  const before = tree(crates(100))
  const after = tree([edited(FIRST), edited(SECOND), ...crates(100).slice(2)])
  const whole = parseDelta(await between(before, after))
  expect((await applied(before, encodeDelta(whole))).hash).toBe(after.root.hash)
  const cut = encodeDelta({ ...whole, changes: whole.changes.slice(1) })
  expect((await applied(before, cut)).hash).not.toBe(after.root.hash)
  const elsewhere = tree(crates(101))
  expect((await applied(elsewhere, encodeDelta(whole))).hash).not.toBe(after.root.hash)
})

test('in a chain of deltas one that is missing shows in the last root', async () => {
  const states = [crates(10), crates(70), crates(70).slice(5), crates(75).slice(5)].map(tree)
  const [one, two, three, four] = states as [Tree, Tree, Tree, Tree]
  const deltas = [await between(one, two), await between(two, three), await between(three, four)]
  const reached = async (chain: readonly Uint8Array[]): Promise<string> => {
    let root = one.root
    for (const bytes of chain) root = await applied({ root, tiles: one.tiles }, bytes)
    return root.hash
  }
  expect(await reached(deltas)).toBe(four.root.hash)
  for (const missing of [0, 1, 2]) {
    expect(await reached(deltas.toSpliced(missing, 1))).not.toBe(four.root.hash)
  }
})

test('between any two trees the delta leads from one root to the other', async () => {
  const some = fc.subarray(crates(150)).map(entries => tree(entries))
  await fc.assert(
    fc.asyncProperty(some, some, async (before, after) => {
      const bytes = await between(before, after)
      expect((await applied(before, bytes)).hash).toBe(after.root.hash)
      expect(encodeDelta(parseDelta(bytes))).toEqual(bytes)
    }),
    { numRuns: 60 },
  )
})

test('the full listing leads from the empty tree', async () => {
  const after = tree(crates(300))
  const bytes = await between(tree([]), after)
  expect(parseDelta(bytes).from).toBe(EMPTY_TREE.hash)
  expect((await applied(tree([]), bytes)).hash).toBe(after.root.hash)
})

const names = (from: number, to: number): string[] =>
  Array.from(cover(from, to), span => `${span.from}-${span.to}`)

test.for<[number, number, readonly string[]]>([
  [7, 7, []],
  [9, 7, []],
  [7, 8, ['7-8']],
  [14, 34, ['14-15', '15-16', '16-32', '32-33', '33-34']],
  [240, 600, ['240-256', '256-512', ...steps(512, 592, 16), ...steps(592, 600, 1)]],
  [4096, 8192, ['4096-8192']],
  [4095, 8193, ['4095-4096', '4096-8192', '8192-8193']],
  [0, 0, []],
  [0, 3, ['0-1', '1-2', '2-3']],
  [0, 255, [...steps(0, 240, 16), ...steps(240, 255, 1)]],
  [0, 256, ['0-256']],
  [0, 10_018, ['0-9984', '9984-10000', '10000-10016', '10016-10017', '10017-10018']],
])('from version %i to %i the deltas are the largest aligned spans', ([from, to, expected]) => {
  expect(names(from, to)).toEqual(expected)
})

function steps(from: number, to: number, step: number): string[] {
  const count = (to - from) / step
  return Array.from({ length: count }, (_, n) => `${from + n * step}-${from + (n + 1) * step}`)
}

test('a cover has no gap, and only spans that a publisher writes', () => {
  fc.assert(
    fc.property(fc.nat(20_000), fc.nat(20_000), (a, b) => {
      const [from, to] = a < b ? [a, b] : [b, a]
      let at = from
      for (const span of cover(from, to)) {
        expect(span.from).toBe(at)
        const length = span.to - span.from
        const isAligned = [1, 16, 256, 4096].includes(length) && span.to % length === 0
        const isListing = span.from === 0 && span.to % 256 === 0
        expect(isAligned || isListing).toBe(true)
        at = span.to
      }
      expect(at).toBe(to)
    }),
    { numRuns: 300 },
  )
})
