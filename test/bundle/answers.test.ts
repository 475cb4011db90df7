import { expect, test } from 'vitest'
import {
  isSiteName,
  type Receipt,
  readReceipt,
  receiptBytes,
  receiptName,
} from '../../src/bundle/receipt.ts'
import { readWantList, wantListHead, wantListName } from '../../src/bundle/want-list.ts'
import { sha256 } from '../../src/registry/checksum.ts'

const A = sha256('a')
const B = sha256('b')
const ID = sha256('a bundle')

const RECEIPT: Receipt = {
  site: 'lab-3',
  bundleId: ID,
  tool: 'crateferry 0.1.0',
  result: 'pending',
  exitCode: 3,
  bags: [
    { bag: A, medium: 1, result: 'whole' },
    { bag: B, medium: 2, result: 'damaged' },
  ],
  trusted: { root: 2, timestamp: 4021, snapshot: 160, targets: 151, tree: A },
  published: { targets: 137, tree: B },
  objects: { new: 10, present: 5, foreign: 0, damaged: 1, missing: 2, absent: 0 },
  want: { lines: 7, sha256: A },
  referenceTime: '2026-11-27T03:00:00Z',
  staleness: { root: 0, timestamp: 86_400, snapshot: 0, targets: 0 },
  override: null,
}
const TEXT = receiptBytes(RECEIPT).toString()
const read = (text: string): Receipt => readReceipt(Buffer.from(text), 'receipt.json')

test('a receipt that is written is read, with or without what may be null', () => {
  expect(read(TEXT)).toEqual(RECEIPT)
  const override = { until: '2026-12-01T00:00:00Z', reason: 'the courier was late' }
  const other: Receipt = { ...RECEIPT, result: 'published', published: null, want: null, override }
  expect(read(receiptBytes(other).toString())).toEqual(other)
  expect(receiptName(RECEIPT)).toBe(`receipt-${ID.slice(0, 8)}-lab-3.json`)
})

const changed = (from: string | RegExp, to: string): string => {
  const text = TEXT.replace(from, to)
  expect(text).not.toBe(TEXT)
  return text
}

test.for<[string, string, RegExp]>([
  ['a space', changed('{"bags"', '{ "bags"'), /not canonical/],
  ['a field nobody knows', changed('"format":1', '"format":1,"more":1'), /not in the form/],
  ['no format', changed('"format":1,', ''), /not in the form/],
  ['a result that is none', changed('"pending"', '"fine"'), /not in the form/],
  ['a site that is a path', changed('"lab-3"', '"../lab"'), /not in the form/],
  ['a count below zero', changed('"missing":2', '"missing":-2'), /not in the form|byte/],
  ['a bundle that is none', changed(ID, 'abc'), /not in the form/],
  ['a key twice', changed('"exitCode":3', '"exitCode":3,"exitCode":0'), /byte \d+/],
  ['more than 64 KiB', ' '.repeat(65_537), /longer than 65536 bytes/],
])('a receipt with %s is refused', ([, text, says]) => {
  expect(() => read(text)).toThrow(says)
  expect(() => read(text)).toThrow(expect.objectContaining({ code: 'refused' }))
})

test('a receipt of a newer version is named', () => {
  expect(() => read('{"format":2}\n')).toThrow(expect.objectContaining({ code: 'no-mirror' }))
})

test.for(['lab-3', 'a', 'x'.repeat(16)])('%s is the name of a site', name => {
  expect(isSiteName(name)).toBe(true)
})

test.for(['', 'x'.repeat(17), 'Lab', 'lab 3', '../x', 'läb'])('%s is none', name => {
  expect(isSiteName(name)).toBe(false)
})

const HEAD = {
  site: 'lab-3',
  bundleId: ID,
  have: { targets: 137, tree: A },
  target: { targets: 151, tree: B },
}
const lines = (more: readonly string[], head: string = wantListHead(HEAD)): string[] => [
  ...head.trimEnd().split('\n'),
  ...more,
]
const NONE = {
  isAll: false,
  roots: [],
  tiles: new Set(),
  indexFiles: new Set(),
  objects: new Set(),
}

test('a want-list says where it comes from and what is wanted, by hash', () => {
  expect(wantListHead(HEAD)).toBe(
    `crateferry-want 1\nsite lab-3\nbundle ${ID}\nhave 137 ${A}\ntarget 151 ${B}\n`,
  )
  expect(wantListName(HEAD)).toBe(`want-${ID.slice(0, 8)}-lab-3.txt`)
  const more = [
    'root 7',
    `tile ${A} 8c1`,
    `index ${B} index/se/rd/serde`,
    `object ${A} crates/serde/serde-1.0.0.crate`,
    `object ${B} ../../etc/passwd`,
    `damaged ${ID} crates-00017 3`,
  ]
  expect(readWantList(lines(more), 'want.txt')).toEqual({
    ...HEAD,
    isAll: false,
    roots: [7],
    tiles: new Set([A]),
    indexFiles: new Set([B]),
    objects: new Set([A, B]),
  })
})

test('a mirror that has nothing wants everything', () => {
  const head = wantListHead({ ...HEAD, have: null })
  expect(head).toContain('have 0 -\n')
  expect(readWantList(lines(['all'], head), 'want.txt')).toEqual({
    ...HEAD,
    ...NONE,
    have: null,
    isAll: true,
  })
})

const head = wantListHead(HEAD)
test.for<[string, readonly string[], RegExp]>([
  ['nothing', [], /line 0: it ends before its five first lines do/],
  ['half of its head', lines([]).slice(0, 3), /line 3: it ends before/],
  ['another version', ['crateferry-want 2', ...lines([]).slice(1)], /line 1: "crateferry-want 2"/],
  ['another order', lines([], head.replace(/(site.*\n)(bundle.*\n)/, '$2$1')), /line 2: /],
  ['a site that is a path', lines([], head.replace('lab-3', '../lab')), /line 2: /],
  ['no target', lines([], head.replace(/target .*\n/, 'target 0 -\n')), /line 5: /],
  ['a short hash', lines(['object abc crates/a/a-1.0.0.crate']), /line 6: "object abc/],
  ['a word nobody knows', lines([`run ${A}`]), /line 6: "run/],
  ['a control character', lines([`object ${A} a\u001b[31m`]), /line 6: "object .*\\u001b/],
  ['more after everything', lines(['all', `object ${A} x`]), /line 7: /],
  ['everything after something', lines([`object ${A} x`, 'all']), /line 7: "all"/],
  ['a root that is none', lines(['root 0']), /line 6: "root 0"/],
  ['a long line', lines([`object ${A} ${'x'.repeat(320)}`]), /line 6: /],
])('a want-list with %s is refused', ([, text, says]) => {
  expect(() => readWantList(text, 'want.txt')).toThrow(says)
  expect(() => readWantList(text, 'want.txt')).toThrow(expect.objectContaining({ code: 'refused' }))
})

test('a billion lines are not read', () => {
  function* endless(): Generator<string> {
    yield* lines([])
    const line = `object ${A} x`
    for (;;) yield line
  }
  expect(() => readWantList(endless(), 'want.txt')).toThrow(/more than 4000000 lines/)
})
