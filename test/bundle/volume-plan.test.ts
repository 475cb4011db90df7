import fc from 'fast-check'
import { expect, test } from 'vitest'
import { nextOffset, volumeIndexLine } from '../../src/bundle/volume-index.ts'
import type { PlannedMember } from '../../src/bundle/volume-plan.ts'
import { cutVolumes, layOnMedia, PRESETS } from '../../src/bundle/volume-plan.ts'
import { sha256 } from '../../src/registry/checksum.ts'

const member = (n: number, size: number): PlannedMember => ({
  path: `crates/pad/pad-0.0.${String(n).padStart(6, '0')}.crate`,
  size,
  sha256: sha256(`${n}`),
})

/** What volumes of these members are, worked out the slow way. */
function written(members: readonly PlannedMember[]): { bytes: number; indexBytes: number } {
  let offset = 0
  let indexBytes = 0
  for (const one of members) {
    indexBytes += volumeIndexLine({ offset, ...one }).length
    offset = nextOffset({ offset, size: one.size })
  }
  return { bytes: offset + 1024, indexBytes }
}

test('volumes hold all members in order, none is larger than it may be, and none could take the next', () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 20_000 }), { minLength: 1, maxLength: 200 })
  fc.assert(
    fc.property(sizes, fc.integer({ min: 2048, max: 100_000 }), (sizes, volumeSize) => {
      const members = sizes.map((size, n) => member(n, size))
      const volumes = [...cutVolumes('crates', members, volumeSize)]
      let at = 0
      for (const [n, volume] of volumes.entries()) {
        const held = members.slice(at, at + volume.members)
        at += volume.members
        expect(volume).toEqual({
          file: `crates-${String(n + 1).padStart(5, '0')}`,
          first: held[0]?.path,
          last: held.at(-1)?.path,
          members: held.length,
          ...written(held),
        })
        expect(volume.bytes <= volumeSize || volume.members === 1).toBe(true)
        const next = members[at]
        if (next !== undefined) expect(written([...held, next]).bytes).toBeGreaterThan(volumeSize)
      }
      expect(at).toBe(members.length)
    }),
  )
})

test('a volume is full to its last byte', () => {
  // two members of a block each: 2 x 1024, and the end
  const members = [member(1, 512), member(2, 512), member(3, 512)]
  expect([...cutVolumes('crates', members, 3072)].map(one => one.members)).toEqual([2, 1])
  expect([...cutVolumes('crates', members, 3071)].map(one => one.members)).toEqual([1, 1, 1])
  expect([...cutVolumes('index', [], 3072)]).toEqual([])
})

test('a volume has at most 2^20 members', () => {
  function* many(): Generator<PlannedMember> {
    for (let n = 0; n <= 2 ** 20; n += 1) yield { path: `crates/${n}`, size: 1, sha256: sha256('') }
  }
  const volumes = [...cutVolumes('crates', many(), PRESETS.bd.volumeSize)]
  expect(volumes.map(one => one.members)).toEqual([2 ** 20, 1])
})

test('volumes lie on media in order, each with its index in whole clusters', () => {
  const volumes = [
    ...cutVolumes(
      'crates',
      [1, 2, 3, 4].map(n => member(n, 900_000)),
      1_000_000,
    ),
  ]
  expect(volumes).toHaveLength(4)
  const small = 32 * 1024 * 1024
  const clusterBytes = 131_072
  // 7 clusters each, and one for the index
  const two = { mediumSize: small + 2 * 8 * clusterBytes, clusterBytes }
  expect(layOnMedia(volumes, two)).toEqual([1, 1, 2, 2])
  expect(layOnMedia(volumes, { ...two, mediumSize: two.mediumSize - 1 })).toEqual([1, 2, 3, 4])
  expect(layOnMedia(volumes, { mediumSize: undefined, clusterBytes })).toEqual([1, 1, 1, 1])
  expect(layOnMedia([], two)).toEqual([])
  expect(() => layOnMedia(volumes, { mediumSize: small, clusterBytes })).toThrow(
    'crates-00001 has 901632 bytes, a medium of 33554432 holds at most 0 beside its small files',
  )
})
