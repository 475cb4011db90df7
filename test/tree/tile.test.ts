import fc from 'fast-check'
import { expect, test } from 'vitest'
import { sha256 } from '../../src/registry/checksum.ts'
import { type Position, ROOT, type TileRef } from '../../src/tree/entry.ts'
import { parseTile, type Tile, TileRefused } from '../../src/tree/tile.ts'
import { crates, cratesBelow, tree } from './trees.ts'

const HASH = 'ab'.repeat(32)
/** Its key begins with 2a0b. */
const SERDE = `${HASH} 20381 se/rd/serde`
const CHILDREN = [`${HASH} 40 0`, `${HASH} 25 f`]

/** A tile's text, its hash as its ref says: only the form is left to be wrong. */
function parse(
  text: string,
  ref: { readonly position?: string; readonly count?: number } = {},
): Tile {
  const bytes = Buffer.from(text, 'latin1')
  const position = (ref.position ?? '') as Position
  return parseTile(bytes, { position, hash: sha256(bytes), count: ref.count })
}

function refusal(
  text: string,
  ref: { readonly position?: string; readonly count?: number },
): string {
  try {
    const tile = parse(text, ref)
    throw new Error(`read as ${JSON.stringify(tile)}`)
  } catch (error) {
    if (!(error instanceof TileRefused)) throw error
    expect(error.code).toBe('refused')
    return error.message
  }
}

const text = (header: string, ...lines: readonly string[]): string =>
  [header, ...lines].map(line => `${line}\n`).join('')
const leaf = (...lines: readonly string[]): string =>
  text(`index-tree 1 leaf root ${lines.length}`, ...lines)
const leafAt = (position: string, ...lines: readonly string[]): string =>
  text(`index-tree 1 leaf ${position} ${lines.length}`, ...lines)
const node = (...lines: readonly string[]): string => text('index-tree 1 node root 65', ...lines)
/** So many leaf lines that would be right at the root. */
const linesOf = (count: number): string[] => crates(count).map(({ path }) => `${HASH} 23 ${path}`)

test('a leaf is read as it states', () => {
  const bytes = leafAt('2a0', SERDE)
  expect(parse(bytes, { position: '2a0', count: 1 })).toEqual({
    kind: 'leaf',
    position: '2a0',
    hash: sha256(bytes),
    count: 1,
    entries: [{ path: 'se/rd/serde', length: 20381, sha256: HASH }],
  })
})

test('a node is read as it states', () => {
  const bytes = text('index-tree 1 node 2a 65', ...CHILDREN)
  expect(parse(bytes, { position: '2a', count: 65 })).toEqual({
    kind: 'node',
    position: '2a',
    hash: sha256(bytes),
    count: 65,
    children: [
      { position: '2a0', hash: HASH, count: 40 },
      { position: '2af', hash: HASH, count: 25 },
    ],
  })
})

test('the count of the root is not known ahead, but where it is it must be right', () => {
  expect(parse(leaf(SERDE)).count).toBe(1)
  expect(parse(leaf(SERDE), { count: 1 }).count).toBe(1)
  expect(refusal(leaf(SERDE), { count: 2 })).toBe('tile at root: count 1, expected 2')
})

test('lengths and counts may be as large as the format allows', () => {
  const longest = `${HASH} 999999999999999 se/rd/serde`
  expect(parse(leaf(longest))).toMatchObject({ entries: [{ length: 999_999_999_999_999 }] })
  expect(parse(leaf(`${HASH} 0 se/rd/serde`))).toMatchObject({ entries: [{ length: 0 }] })
  const most = text('index-tree 1 node root 999999999999', `${HASH} 999999999999 0`)
  expect(parse(most)).toMatchObject({ children: [{ count: 999_999_999_999 }] })
})

test('a node may have a single child, and 64 entries fit into a leaf', () => {
  expect(parse(node(`${HASH} 65 7`))).toMatchObject({ children: [{ position: '7' }] })
  expect(parse(leaf(...linesOf(64))).count).toBe(64)
})

test('a leaf may stand at the last digit, a node only before it', () => {
  const key = sha256('se/rd/serde')
  expect(parse(leafAt(key, SERDE), { position: key, count: 1 }).kind).toBe('leaf')
  const before = key.slice(0, 63)
  const deep = text(`index-tree 1 node ${before} 65`, ...CHILDREN)
  expect(parse(deep, { position: before, count: 65 }).kind).toBe('node')
  const bottom = text(`index-tree 1 node ${key} 65`, ...CHILDREN)
  expect(refusal(bottom, { position: key, count: 65 })).toMatch('keys have no digit left')
  const beyond = text(`index-tree 1 leaf ${key}0 1`, SERDE)
  expect(refusal(beyond, { position: `${key}0`, count: 1 })).toMatch('header')
})

test.for<[string, string, { position?: string; count?: number }, string]>([
  [
    'a leaf served as a node',
    text('index-tree 1 node root 1', SERDE),
    {},
    'a node of 1 entries, at least 65 are needed',
  ],
  [
    'a node served as a leaf',
    text('index-tree 1 leaf root 65', ...CHILDREN),
    {},
    '2 entries, but its header says 65',
  ],
  [
    'the right tile in the wrong place',
    leafAt('2a', SERDE),
    { position: '2a0', count: 1 },
    'its header says it belongs at 2a',
  ],
  ['a root tile further down', leaf(SERDE), { position: '2', count: 1 }, 'it belongs at root'],
  ['a deeper tile at the root', leafAt('2', SERDE), {}, 'it belongs at 2'],
])('%s is refused by its header', ([, bytes, ref, fault]) => {
  expect(refusal(bytes, ref)).toMatch(fault)
})

test.for([
  ['another version', 'index-tree 2 leaf root 0\n'],
  ['another kind', 'index-tree 1 twig root 0\n'],
  ['a delta', `index-tree 1 delta ${HASH} ${HASH} 0\n`],
  ['a position in upper case', 'index-tree 1 leaf 2A 0\n'],
  ['a position of 65 digits', `index-tree 1 leaf ${'a'.repeat(65)} 0\n`],
  ['no position', 'index-tree 1 leaf  0\n'],
  ['a count with a leading zero', 'index-tree 1 leaf root 00\n'],
  ['a count below zero', 'index-tree 1 leaf root -0\n'],
  ['a count of 13 digits', 'index-tree 1 node root 1000000000000\n'],
  ['a space at the end', 'index-tree 1 leaf root 0 \n'],
  ['two spaces', 'index-tree 1  leaf root 0\n'],
  ['a tab', 'index-tree\t1 leaf root 0\n'],
  ['a carriage return', 'index-tree 1 leaf root 0\r\n'],
  ['a byte order mark', '\xef\xbb\xbfindex-tree 1 leaf root 0\n'],
  ['an empty line before it', '\nindex-tree 1 leaf root 0\n'],
  ['a web page', '<html>\n'],
])('a header with %s is refused by its pattern', ([, bytes = '']) => {
  expect(refusal(bytes, {})).toMatch(/^tile at root: header ".*" is not of index tree version 1$/)
})

test.for<[string, string, { position?: string; count?: number }, string]>([
  ['a count one above its lines', text('index-tree 1 leaf root 2', SERDE), {}, '1 entries, but'],
  ['a count one below its lines', text('index-tree 1 leaf root 0', SERDE), {}, '1 entries, but'],
  [
    'a count other than the parent said',
    leafAt('2', SERDE),
    { position: '2', count: 2 },
    'count 1, expected 2',
  ],
  [
    'a count that nobody said below the root',
    leafAt('2', SERDE),
    { position: '2' },
    'count 1, expected undefined',
  ],
  ['a leaf of 65 entries', leaf(...linesOf(65)), {}, 'a leaf of 65 entries'],
  [
    'a node of 64 entries',
    text('index-tree 1 node root 64', `${HASH} 64 0`),
    {},
    'a node of 64 entries',
  ],
  [
    'an empty leaf below the root',
    leafAt('2'),
    { position: '2', count: 0 },
    'an empty leaf below the root',
  ],
  ['children that are one too many', node(`${HASH} 40 0`, `${HASH} 26 f`), {}, '66 entries below'],
  ['children that are one too few', node(`${HASH} 40 0`, `${HASH} 24 f`), {}, '64 entries below'],
  ['a node without children', node(), {}, '0 entries below'],
])('%s is refused by count', ([, bytes, ref, fault]) => {
  expect(refusal(bytes, ref)).toMatch(fault)
})

test.for([
  ['CRLF', leaf(SERDE).replaceAll('\n', '\r\n')],
  ['CRLF in one line', leaf(`${SERDE}\r`)],
  ['no final newline', leaf(SERDE).slice(0, -1)],
  ['an empty line at the end', `${leaf(SERDE)}\n`],
  ['an empty line between', leaf(SERDE, '')],
  ['nothing at all', ''],
  ['two spaces', leaf(SERDE.replace(' ', '  '))],
  ['a space before', leaf(` ${SERDE}`)],
  ['a space after', leaf(`${SERDE} `)],
  ['upper-case hex', leaf(SERDE.replace('ab', 'AB'))],
  ['a hash too short', leaf(SERDE.slice(1))],
  ['a hash too long', leaf(`a${SERDE}`)],
  ['a length with leading zeros', leaf(`${HASH} 007 se/rd/serde`)],
  ['a length with a sign', leaf(`${HASH} +7 se/rd/serde`)],
  ['a length of 16 digits', leaf(`${HASH} 1000000000000000 se/rd/serde`)],
  ['no length', leaf(`${HASH} se/rd/serde`)],
  ['a byte above 0x7e', leaf(`${HASH} 7 se/rd/serd\xe9`)],
  ['a delete character', leaf(`${HASH} 7 se/rd/serde\x7f`)],
  ['a null byte', leaf(`${HASH} 7 se/rd/serde\0`)],
  ['no path', leaf(`${HASH} 7 `)],
  ['a path of 256 bytes', leaf(`${HASH} 7 ${'a'.repeat(256)}`)],
  ['a removal, which only deltas have', leaf('- - se/rd/serde')],
])('a leaf with %s is refused by its pattern', ([, bytes = '']) => {
  expect(refusal(bytes, {})).toMatch(/is not "SHA256|is not of index|newline|but its header says/)
})

test.for([
  ['a child of no entries', node(`${HASH} 0 0`, `${HASH} 65 f`)],
  ['a child count with a leading zero', node(`${HASH} 065 0`)],
  ['a child count of 13 digits', node(`${HASH} 1000000000000 0`)],
  ['a digit in upper case', node(`${HASH} 65 F`)],
  ['a digit that is none', node(`${HASH} 65 g`)],
  ['two digits', node(`${HASH} 65 2a`)],
  ['no digit', node(`${HASH} 65 `)],
  ['upper-case hex', node(`${HASH.toUpperCase()} 65 0`)],
  ['a carriage return', node(`${HASH} 65 0\r`)],
])('a node with %s is refused by its pattern', ([, bytes = '']) => {
  expect(refusal(bytes, {})).toMatch('is not "SHA256 COUNT DIGIT"')
})

test.for([
  '../x',
  'a//b',
  '/a',
  'a/',
  './a',
  'se\\rd\\serde',
  'se/rd/../rd/serde',
  'se/rd/Serde',
  'SE/RD/SERDE',
  'to/ki/serde',
  'serde',
  'config.json',
  '3/n/nul',
])('path "%s" is refused by the rules for paths', path => {
  expect(refusal(leaf(`${HASH} 7 ${path}`), {})).toBe(
    `tile at root: path ${JSON.stringify(path)} is that of no crate`,
  )
})

test('entries out of order, or twice, are refused', () => {
  const [one = '', two = ''] = linesOf(2)
  expect(refusal(leaf(two, one), {})).toMatch('path cr/at/crate-00000 is out of order')
  expect(refusal(leaf(one, one), {})).toMatch('path cr/at/crate-00000 is out of order')
  expect(refusal(leaf(one, one.replace('23', '24')), {})).toMatch('is out of order')
})

test('children out of order, or twice, are refused', () => {
  expect(refusal(node(...CHILDREN.toReversed()), {})).toMatch('digit 0 is out of order')
  expect(refusal(node(`${HASH} 40 0`, `${HASH} 25 0`), {})).toMatch('digit 0 is out of order')
})

test('an entry in the wrong leaf is refused', () => {
  expect(refusal(leafAt('2b', SERDE), { position: '2b', count: 1 })).toBe(
    'tile at 2b: path se/rd/serde belongs elsewhere',
  )
})

test('a tile of 64 KiB and one byte is stopped before it is hashed', () => {
  const ref: TileRef = { position: ROOT, hash: sha256('another'), count: undefined }
  const parsed = (length: number): Tile => parseTile(Buffer.alloc(length, 'a'), ref)
  expect(() => parsed(65_537)).toThrow('65537 bytes, at most 65536 are allowed')
  expect(() => parsed(65_536)).toThrow('sha256')
})

test('other bytes than the hash says are refused before they are read', () => {
  const ref: TileRef = { position: ROOT, hash: sha256(leaf(SERDE)), count: undefined }
  const found = sha256(leaf())
  expect(() => parseTile(Buffer.from(leaf()), ref)).toThrow(
    `tile at root: sha256 ${found}, expected ${ref.hash}`,
  )
  expect(() => parseTile(Buffer.from('<html>'), ref)).toThrow('sha256')
})

test('text from outside is quoted in messages, and cut', () => {
  const message = refusal(leaf(`\u001b[31m${'x'.repeat(500)}`), {})
  expect(message).toMatch('line "\\u001b[31mxxx')
  expect(message.length).toBeLessThan(200)
})

/** What a tile says, apart from its hash. */
function meaning({ hash, ...rest }: Tile): unknown {
  return rest
}

const SOURCES = [tree(crates(1)), tree(crates(64)), tree([...crates(300), ...cratesBelow('2', 90)])]
const MUTATED = SOURCES.flatMap(({ root, tiles }) => {
  const found: { readonly ref: TileRef; readonly bytes: Uint8Array }[] = []
  const open = [root]
  for (let ref = open.pop(); ref !== undefined; ref = open.pop()) {
    const bytes = tiles.at(ref)
    const tile = parseTile(bytes, ref)
    if (tile.kind === 'node') open.push(...tile.children)
    found.push({ ref, bytes })
  }
  return found
})
const SPLICED = ['', '\n', '\r', ' ', '0', '1', 'a', 'A', '/', '\x00', '\x7f', '\xe9', '- - ']

test('no mutated tile is accepted with the meaning of the original, even if its hash is right', () => {
  const mutation = fc.record({
    tile: fc.constantFrom(...MUTATED),
    at: fc.nat(65_536),
    removed: fc.nat(3),
    added: fc.oneof(
      fc.constantFrom(...SPLICED),
      fc.string({ unit: fc.constantFrom(...'0123456789abcdef \n'), maxLength: 3 }),
    ),
  })
  let refused = 0
  let accepted = 0
  fc.assert(
    fc.property(mutation, ({ tile: { ref, bytes }, at, removed, added }) => {
      const text = Buffer.from(bytes).toString('latin1')
      const start = at % (text.length + 1)
      const mutated = text.slice(0, start) + added + text.slice(start + removed)
      if (mutated === text) return
      try {
        const tile = parse(mutated, ref as { position: string; count: number })
        expect(meaning(tile)).not.toEqual(meaning(parseTile(bytes, ref)))
        accepted += 1
      } catch (error) {
        if (!(error instanceof TileRefused)) throw error
        refused += 1
      }
    }),
    { numRuns: 10_000 },
  )
  // both ends were reached: most mutations break the form, some make another valid tile
  expect(refused).toBeGreaterThan(1000)
  expect(accepted).toBeGreaterThan(50)
})

test('lines that are swapped, doubled or dropped are refused', () => {
  const lines = fc.constantFrom(...MUTATED.filter(({ ref }) => (ref.count ?? 0) > 1))
  fc.assert(
    fc.property(lines, fc.nat(63), fc.nat(63), ({ ref, bytes }, from, to) => {
      const [header = '', ...body] = Buffer.from(bytes).toString('latin1').trimEnd().split('\n')
      const [a, b] = [from % body.length, to % body.length]
      const doubled = body.toSpliced(b, 0, body[a] ?? '')
      const dropped = body.toSpliced(a, 1)
      const swapped = body.with(a, body[b] ?? '').with(b, body[a] ?? '')
      for (const lines of [doubled, dropped, ...(a === b ? [] : [swapped])]) {
        refusal(text(header, ...lines), ref as { position: string; count: number })
      }
    }),
    { numRuns: 300 },
  )
})
