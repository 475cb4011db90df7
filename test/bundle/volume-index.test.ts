import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  indexMember,
  type Kind,
  objectMember,
  parseMember,
  tileMember,
} from '../../src/bundle/member.ts'
import {
  type IndexedMember,
  nextOffset,
  readVolumeIndex,
  sizeWith,
  volumeIndexLine,
} from '../../src/bundle/volume-index.ts'
import { type Checksum, sha256 } from '../../src/registry/checksum.ts'
import type { CrateName } from '../../src/registry/crate-name.ts'
import { type IndexPath, indexPath } from '../../src/registry/sparse-path.ts'
import type { Version } from '../../src/registry/version.ts'
import type { Position } from '../../src/tree/entry.ts'

const ONE = sha256('one')
const TWO = sha256('two')
const VECTOR: readonly IndexedMember[] = [
  { offset: 0, size: 3, sha256: TWO, path: 'crates/serde-json/serde-json-1.0.0.crate' },
  { offset: 1024, size: 3, sha256: ONE, path: 'crates/serde/serde-1.0.0.crate' },
]
const TEXT = VECTOR.map(volumeIndexLine).join('')
const given = { kind: 'crates' as Kind, volumeBytes: 3072, name: 'crates-00001.idx' }
const read = (text: string, more: Partial<typeof given> = {}): IndexedMember[] =>
  readVolumeIndex(Buffer.from(text, 'latin1'), { ...given, ...more })

test('an index has the bytes of the test vector, and is read', () => {
  expect(sha256(TEXT)).toBe('c76eded367cde151460f0bc8c143cfc8fbafafe8b845c24ac706b41ff1107faf')
  expect(read(TEXT)).toEqual(VECTOR)
  expect(sizeWith(VECTOR[1] as IndexedMember)).toBe(3072)
})

const [first = '', second = ''] = TEXT.split('\n').map(line => `${line}\n`)

test.for<[string, string, RegExp]>([
  ['nothing', '', /line 1: no member/],
  ['no end of a line', TEXT.slice(0, -1), /line 2: it does not end with a newline/],
  ['an empty line', `${TEXT}\n`, /line 3: "" is not a member of crates/],
  ['spaces', TEXT.replaceAll('\t', ' '), /line 1: .* is not a member/],
  ['a leading zero', TEXT.replace('1024', '01024'), /line 2: .* is not a member/],
  ['a checksum in capitals', TEXT.replace(ONE, ONE.toUpperCase()), /line 2: .* is not a member/],
  ['a size of nothing', TEXT.replace('\t3\t', '\t0\t'), /line 1: .* is not a member/],
  ['another order', second.replace('1024', '0') + first.replace(/^0/, '1024'), /out of order/],
  ['a path twice', first + first.replace(/^0/, '1024'), /line 2: .* is out of order/],
  ['offsets that overlap', TEXT.replace('1024', '512'), /line 2: offset 512 does not follow/],
  ['a header in another’s data', TEXT.replace('1024', '1536'), /line 2: offset 1536 does not/],
  ['a first offset', TEXT.replace(/^0/, '512'), /line 1: offset 512 does not follow/],
  ['a member more', `${TEXT}2048\t3\t${ONE}\tcrates/tokio/tokio-1.0.0.crate\n`, /the members end/],
  ['a way up', TEXT.replace('crates/serde/', '../serde/'), /line 2: .* is not a member/],
  ['a member of another kind', TEXT.replace(/crates\/\S+json\S+/, 'index/3/l/log'), /line 1: /],
  ['a size beyond every volume', TEXT.replace('\t3\t', '\t99999999999\t'), /line 1: .* not a/],
  ['a line over 320 bytes', TEXT.replace('1.0.0', `1.0.0-${'a'.repeat(320)}`), /line 1: /],
])('an index with %s is refused', ([, text, says]) => {
  expect(() => read(text)).toThrow(says)
  expect(() => read(text)).toThrow(/^crates-00001\.idx: line/)
})

test('an index changed in any byte says something else, or is refused', () => {
  const bytes = Buffer.from(TEXT)
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const changed = Buffer.from(bytes)
      changed[at] = (changed[at] ?? 0) ^ change
      let members: IndexedMember[]
      try {
        members = readVolumeIndex(changed, given)
      } catch (error) {
        expect(error).toMatchObject({ code: 'refused' })
        return
      }
      expect(members.map(volumeIndexLine).join('')).toBe(changed.toString('latin1'))
    }),
  )
})

test('what is written is read, for any members in order', () => {
  const name = fc.stringMatching(/^[a-z][a-z0-9_]{0,63}$/)
  // a volume ends before 4 GiB
  const names = fc.uniqueArray(name, { minLength: 1, maxLength: 8 })
  fc.assert(
    fc.property(names, fc.integer({ min: 1, max: 2 ** 29 }), (names, size) => {
      let offset = 0
      const members = names.sort().map(name => {
        const path = objectMember(name as CrateName, '1.0.0' as Version, sha256(name))
        const member = { offset, size, sha256: sha256(name), path }
        offset = nextOffset(member)
        return member
      })
      const sorted = members.toSorted((a, b) => (a.path < b.path ? -1 : 1))
      fc.pre(sorted.every((member, n) => member === members[n]))
      const text = members.map(volumeIndexLine).join('')
      expect(read(text, { volumeBytes: offset + 1024 })).toEqual(members)
    }),
  )
})

const SUM = 'a'.repeat(64) as Checksum
const LONG = `1.0.0-${'b'.repeat(60)}` as Version
const NAME = 'Serde_Json' as CrateName

test.for<[Kind, string]>([
  ['tree', tileMember('8' as Position, SUM)],
  ['tree', tileMember('8c' as Position, SUM)],
  ['tree', tileMember('8c1' as Position, SUM)],
  ['tree', tileMember('0123456789abcdef0123456789abcdef012' as Position, SUM)],
  ['index', indexMember(indexPath(NAME))],
  ['index', indexMember('1/a' as IndexPath)],
  ['crates', objectMember(NAME, '1.0.0' as Version, SUM)],
  ['crates', objectMember(NAME, '0.0.1-alpha.1+build.5' as Version, SUM)],
  ['crates', objectMember('a'.repeat(64) as CrateName, LONG, SUM)],
])('of %s, %s is a member', ([kind, path]) => {
  const member = parseMember(kind, path)
  const again =
    member?.kind === 'tree'
      ? tileMember(member.position, member.checksum)
      : member?.kind === 'index'
        ? indexMember(member.path)
        : member !== undefined && 'crate' in member
          ? objectMember(member.crate, member.version, SUM)
          : `by-hash/${member?.checksum}.crate`
  expect(again).toBe(path)
})

test('an object whose name is too long lies under its hash, before all others', () => {
  const path = objectMember('a'.repeat(64) as CrateName, LONG, SUM)
  expect(path).toBe(`by-hash/${SUM}.crate`)
  expect(path < objectMember('a' as CrateName, '0.0.0' as Version, SUM)).toBe(true)
})

test.for<[Kind, string]>([
  ['tree', `tree/${SUM}.`],
  ['tree', `tree/${SUM}.G`],
  ['tree', `tree/${SUM}.8c1`],
  ['tree', `tree/8c/${SUM}.8d1`],
  ['tree', `tree/8c/${SUM}.8c`],
  ['tree', `tree/01/${SUM}.0123456789abcdef0123456789abcdef0123`],
  ['tree', `${SUM}.index-tree`],
  ['index', 'index/se/rd/Serde'],
  ['index', 'index/to/ki/serde'],
  ['index', 'index/config.json'],
  ['index', 'se/rd/serde'],
  ['crates', 'crates/serde/tokio-1.0.0.crate'],
  ['crates', 'crates/serde/serde-1.0.crate'],
  ['crates', 'crates/serde/serde-latest.crate'],
  ['crates', 'crates/../serde-1.0.0.crate'],
  ['crates', 'crates/serde/../serde-1.0.0.crate'],
  ['crates', '/crates/serde/serde-1.0.0.crate'],
  ['crates', 'crates\\serde\\serde-1.0.0.crate'],
  ['crates', 'C:/crates/serde/serde-1.0.0.crate'],
  ['crates', 'crates/serde/serde-1.0.0.crate/'],
  ['crates', `crates/${'a'.repeat(64)}/${'a'.repeat(64)}-${LONG}.crate`],
  ['crates', 'by-hash/abc.crate'],
])('of %s, %s is none', ([kind, path]) => {
  expect(parseMember(kind, path)).toBeUndefined()
})
