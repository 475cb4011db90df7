import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Kind } from '../../src/bundle/member.ts'
import { BLOCK_BYTES, header, paddedSize } from '../../src/bundle/ustar.ts'
import {
  type IndexedMember,
  readVolumeIndex,
  volumeIndexLine,
} from '../../src/bundle/volume-index.ts'
import { cutVolumes } from '../../src/bundle/volume-plan.ts'
import { type Found, membersOf, type VolumeBytes } from '../../src/bundle/volume-reader.ts'
import { sha256 } from '../../src/registry/checksum.ts'

const SIZES = [3, 600, 512, 1, 2000]
const MEMBERS = SIZES.map((size, n) => {
  const path = `crates/pad/pad-0.0.${n}.crate`
  return { path, size, sha256: sha256(path), data: Buffer.alloc(size, `${n}`) }
})
const [PLAN] = [...cutVolumes('crates', MEMBERS, 1_000_000)]
if (PLAN === undefined) throw new Error('five members make a volume')

function made(members: readonly { path: string; size: number; data: Buffer }[]): Buffer {
  const parts = members.flatMap(({ path, size, data }) => [
    header(path, size),
    data,
    Buffer.alloc(paddedSize(size) - size),
  ])
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK_BYTES)])
}

const WHOLE = made(MEMBERS)
const OFFSETS = MEMBERS.map(({ path }) => WHOLE.indexOf(path))
const INDEX: IndexedMember[] = readVolumeIndex(
  Buffer.from(
    MEMBERS.map((one, n) => volumeIndexLine({ ...one, offset: OFFSETS[n] ?? 0 })).join(''),
  ),
  { kind: 'crates', volumeBytes: WHOLE.length, name: 'crates-00001.idx' },
)

const bytesOf = (bytes: Buffer): VolumeBytes => ({
  size: bytes.length,
  read: (into, at) => (at < bytes.length ? bytes.copy(into, 0, at, at + into.length) : 0),
})

const found = (bytes: Buffer, index = INDEX, kind: Kind = 'crates'): Found[] => [
  ...membersOf(bytesOf(bytes), { kind, plan: PLAN, index }),
]
const paths = (all: readonly Found[]): string[] =>
  all.map(one => (one.kind === 'member' ? one.path : `lost ${one.path ?? `at ${one.offset}`}`))
const ALL = MEMBERS.map(({ path }) => path)

function changed(change: (bytes: Buffer) => void): Buffer {
  const bytes = Buffer.from(WHOLE)
  change(bytes)
  return bytes
}

test('a whole volume has the members of its plan, with or without an index', () => {
  expect(WHOLE.length).toBe(PLAN.bytes)
  const members = MEMBERS.map(({ path, size }, n) => ({
    kind: 'member',
    path,
    size,
    offset: OFFSETS[n],
  }))
  expect(found(WHOLE)).toEqual(members)
  expect(found(WHOLE, [])).toEqual(members)
})

test('a damaged header costs its member, and the walk goes on at the next', () => {
  const bytes = changed(b => b.fill(0xff, OFFSETS[2], (OFFSETS[2] ?? 0) + 100))
  expect(paths(found(bytes))).toEqual([...ALL.slice(0, 2), `lost ${ALL[2]}`, ...ALL.slice(3)])
  // nobody knows where the next one begins
  expect(paths(found(bytes, []))).toEqual([...ALL.slice(0, 2), `lost at ${OFFSETS[2]}`])
})

test('zeros in the midst are damage, not an end', () => {
  const bytes = changed(b => b.fill(0, OFFSETS[1], OFFSETS[3]))
  expect(paths(found(bytes))).toEqual([ALL[0], `lost ${ALL[1]}`, `lost ${ALL[2]}`, ...ALL.slice(3)])
})

test.for([0, 1, 511, 512, 2048, 5000])('a volume cut after %d bytes is damage', length => {
  const lost = paths(found(WHOLE.subarray(0, length))).filter(one => one.startsWith('lost'))
  expect(lost.length).toBeGreaterThan(0)
  const there = ALL.filter((_, n) => (OFFSETS[n] ?? 0) + BLOCK_BYTES <= length)
  expect(paths(found(WHOLE.subarray(0, length))).filter(one => !one.startsWith('lost'))).toEqual(
    there,
  )
})

test('a lost end is damage as well', () => {
  const bytes = changed(b => b.fill(1, WHOLE.length - 5))
  expect(paths(found(bytes))).toEqual([...ALL, `lost at ${WHOLE.length - 1024}`])
})

test.for<[string, Buffer, RegExp]>([
  [
    'a byte more',
    Buffer.concat([WHOLE, Buffer.of(0)]),
    /crates-00001: \d+ bytes, the plan has \d+/,
  ],
  ['a second archive', Buffer.concat([WHOLE, WHOLE]), /bytes, the plan has/],
  [
    'a path twice',
    made(MEMBERS.map((one, n) => (n === 1 ? { ...one, path: ALL[0] ?? '' } : one))),
    /"crates\/pad\/pad-0\.0\.0\.crate" is out of order/,
  ],
  [
    'a way up',
    made(MEMBERS.map((one, n) => (n === 4 ? { ...one, path: '../../etc/cron.d/x.crate' } : one))),
    /"\.\.\/\.\.\/etc\/cron\.d\/x\.crate" is no member of crates/,
  ],
  [
    'a member of another kind',
    made(MEMBERS.map(one => ({ ...one, path: `index/3/l/log` }))),
    /no member of crates/,
  ],
  [
    'a member that leads beyond the end',
    changed(b => header(ALL[4] ?? '', 8_000_000_000).copy(b, OFFSETS[4])),
    /of 8000000000 bytes leads beyond the end/,
  ],
  [
    'a member less than planned',
    Buffer.concat([
      made([MEMBERS[0], MEMBERS[1]].flatMap(one => one ?? [])).subarray(0, -1024),
      paddingOf(),
    ]),
    /member 3|members, the plan has 5|out of order|is no member|leads beyond/,
  ],
])('a volume with %s is refused', ([, bytes, says]) => {
  expect(() => found(bytes)).toThrow(says)
  expect(() => found(bytes)).toThrow(expect.objectContaining({ code: 'refused' }))
})

/** One member that fills the place of three. */
function paddingOf(): Buffer {
  const size = (PLAN?.bytes ?? 0) - 1024 - (OFFSETS[2] ?? 0) - BLOCK_BYTES
  return Buffer.concat([
    header('crates/pad/pad-0.0.2.crate', size),
    Buffer.alloc(size),
    Buffer.alloc(1024),
  ])
}

test('a volume changed in any byte loses at most the member there, or is refused', () => {
  fc.assert(
    fc.property(fc.nat(WHOLE.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const bytes = changed(b => {
        b[at] = (b[at] ?? 0) ^ change
      })
      let all: Found[]
      try {
        all = found(bytes)
      } catch (error) {
        expect(error).toMatchObject({ code: 'refused' })
        return
      }
      const members = paths(all.filter(one => one.kind === 'member'))
      expect(members.length).toBeGreaterThanOrEqual(ALL.length - 1)
      expect(members.every(path => ALL.includes(path))).toBe(true)
    }),
    { numRuns: 2000 },
  )
})
