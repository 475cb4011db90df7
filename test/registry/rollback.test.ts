import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  type IndexFile,
  type Rollback,
  readIndexFile,
  rollbackOf,
  yanksOf,
} from '../../src/registry/index-file.ts'
import type { IndexPath } from '../../src/registry/sparse-path.ts'

const A = 'a'.repeat(64)
const B = 'b'.repeat(64)

interface Line {
  readonly vers: string
  readonly cksum?: string
  readonly [field: string]: unknown
}

function file(lines: readonly Line[]): IndexFile {
  const text = lines
    .map(fields => JSON.stringify({ name: 'serde', deps: [], cksum: A, features: {}, ...fields }))
    .join('\n')
  return readIndexFile(Buffer.from(`${text}\n`), 'se/rd/serde' as IndexPath, { signed: true })
}

function rollback(before: readonly Line[], after: readonly Line[]): Rollback {
  return rollbackOf(file(before), file(after))
}

const NOTHING: Rollback = { changed: [], removed: [] }
const ONE = { vers: '1.0.0' }
const TWO = { vers: '2.0.0' }

test.for<[string, readonly Line[], readonly Line[]]>([
  ['the same file', [ONE, TWO], [ONE, TWO]],
  ['a version more', [ONE], [ONE, TWO]],
  ['another order', [ONE, TWO], [TWO, ONE]],
  ['a yank', [ONE], [{ ...ONE, yanked: true }]],
  ['an unyank', [{ ...ONE, yanked: true }], [{ ...ONE, yanked: false }]],
  ['fields added to an old line', [ONE], [{ ...ONE, pubtime: '2026-01-01T00:00:00Z' }]],
  ['features2 and with them the second format', [ONE], [{ ...ONE, v: 2, features2: {} }]],
  ['a second checksum beside the first', [ONE], [ONE, { ...ONE, cksum: B }]],
  ['a checksum for a line that had none', [{ ...ONE, cksum: '' }, TWO], [ONE, TWO]],
  ['a bad line gone', [{ ...ONE, cksum: '' }, TWO], [TWO]],
])('%s takes nothing back', ([, before, after]) => {
  expect(rollback(before, after)).toEqual(NOTHING)
})

test.for<[string, readonly Line[], readonly Line[]]>([
  ['another checksum', [ONE], [{ ...ONE, cksum: B }]],
  ['a blank checksum', [ONE], [{ ...ONE, cksum: '' }]],
  ['a checksum in upper case', [ONE], [{ ...ONE, cksum: A.toUpperCase() }]],
  ['another spelling of the name, which cargo would skip', [ONE], [{ ...ONE, name: 'Serde' }]],
  ['a name that is none', [ONE], [{ ...ONE, name: '' }]],
  ['a yanked that cargo cannot read', [ONE], [{ ...ONE, yanked: 'no' }]],
  ['a format that hides the line', [ONE], [{ ...ONE, v: 3 }]],
  ['one of two checksums gone', [ONE, { ...ONE, cksum: B }], [{ ...ONE, cksum: B }]],
])('%s changes what was published', ([, before, after]) => {
  expect(rollback([...before, TWO], [...after, TWO])).toEqual({ changed: ['1.0.0'], removed: [] })
})

test('a version that is gone is removed, not changed', () => {
  expect(rollback([ONE, TWO], [TWO])).toEqual({ changed: [], removed: ['1.0.0'] })
})

test('other build metadata is another version', () => {
  const before = [{ vers: '1.0.0+a' }]
  expect(rollback(before, [{ vers: '1.0.0+b' }])).toEqual({ changed: [], removed: ['1.0.0+a'] })
})

test('each version is named once, in the order of the old file', () => {
  const before = [TWO, ONE, { vers: '3.0.0' }, { ...TWO, cksum: B }]
  expect(
    rollback(before, [
      { ...ONE, cksum: B },
      { ...TWO, cksum: 'c'.repeat(64) },
    ]),
  ).toEqual({
    changed: ['2.0.0', '1.0.0'],
    removed: ['3.0.0'],
  })
})

const lines = fc.array(
  fc.record({
    vers: fc.constantFrom('1.0.0', '1.0.0+a', '2.0.0', '3.0.0'),
    cksum: fc.constantFrom(A, B, ''),
    yanked: fc.boolean(),
  }),
  { minLength: 1, maxLength: 6 },
)

test('a file that keeps every old (version, checksum) takes nothing back, any other does', () => {
  fc.assert(
    fc.property(lines, lines, (before, after) => {
      const pairs = (all: readonly Line[]): Set<string> =>
        new Set(
          all.filter(({ cksum }) => cksum !== '').map(({ vers, cksum }) => `${vers} ${cksum}`),
        )
      const { changed, removed } = rollback(before, after)
      const isKept = pairs(before).isSubsetOf(pairs(after))
      expect(changed.length + removed.length === 0).toBe(isKept)
      const named = new Set<string>(after.map(({ vers }) => vers))
      for (const version of changed) expect(named.has(version)).toBe(true)
      for (const version of removed) expect(named.has(version)).toBe(false)
      expect(rollback(before, [...after, ...before])).toEqual(NOTHING)
    }),
    { numRuns: 500 },
  )
})

test('what both files name and was yanked in between, or is no longer, is told', () => {
  const yanked = (line: Line): Line => ({ ...line, yanked: true })
  const three = { vers: '3.0.0' }
  expect(yanksOf(file([ONE, yanked(TWO)]), file([yanked(ONE), TWO, yanked(three)]))).toEqual({
    yanked: ['1.0.0'],
    unyanked: ['2.0.0'],
  })
  expect(yanksOf(file([ONE, yanked(TWO)]), file([yanked(TWO)]))).toEqual(NO_YANKS)
  // another checksum is another artifact, and a matter of its own
  expect(yanksOf(file([ONE]), file([yanked({ ...ONE, cksum: B })]))).toEqual(NO_YANKS)
})

const NO_YANKS = { yanked: [], unyanked: [] }
