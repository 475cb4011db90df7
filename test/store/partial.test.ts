import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test as base, expect } from 'vitest'
import { sha256 } from '../../src/registry/checksum.ts'
import {
  ARTIFACT_BYTES_MAX,
  ChecksumMismatch,
  Partial,
  wholePartial,
} from '../../src/store/partial.ts'

const MIB = 1024 * 1024
const SMALL = randomBytes(20_000)
const LARGE = randomBytes(3 * MIB + 12_345)

/** The path of a partial in a fresh folder. */
const test = base.extend('path', async ({}, { onCleanup }) => {
  const folder = await mkdtempDisposable(join(tmpdir(), 'partial-'))
  onCleanup(() => folder.remove())
  return join(folder.path, 'x.part')
})

function inChunks(partial: Partial, bytes: Uint8Array, size = 65_536): void {
  for (let at = 0; at < bytes.length; at += size) partial.write(bytes.subarray(at, at + size))
}

test('a small body touches the disk only when it is whole and right', async ({ path }) => {
  const partial = await Partial.open(path)
  inChunks(partial, SMALL, 1_000)
  expect(partial.length).toBe(SMALL.length)
  expect(existsSync(path)).toBe(false)
  await partial.finish(sha256(SMALL))
  expect(readFileSync(path)).toEqual(SMALL)
  expect(statSync(path).mode & 0o777).toBe(0o644)
  expect(partial.length).toBe(SMALL.length)
})

test.for([1, MIB - 1, MIB, MIB + 1, 2 * MIB, LARGE.length])(
  'a body of %i bytes arrives byte for byte, whatever its chunks',
  async (length, { path }) => {
    const body = LARGE.subarray(0, length)
    for (const size of [65_536, 1_000_003, LARGE.length]) {
      const partial = await Partial.open(path)
      inChunks(partial, body, size)
      await partial.finish(sha256(body))
      expect(readFileSync(path).equals(body)).toBe(true)
      expect(partial.length).toBe(length)
      await partial.restart()
    }
  },
)

test.for([0, 1_000])(
  'a body in pieces is written once, after %i bytes as before them',
  async (before, { path }) => {
    const partial = await Partial.open(path)
    if (before > 0) partial.write(SMALL.subarray(0, before))
    partial.adopt([
      SMALL.subarray(before, 7_000),
      SMALL.subarray(7_000, 7_001),
      SMALL.subarray(7_001),
    ])
    expect(partial.length).toBe(SMALL.length)
    expect(existsSync(path)).toBe(false)
    await partial.finish(sha256(SMALL))
    expect(readFileSync(path)).toEqual(SMALL)
  },
)

test('a body in pieces that was cut goes on behind them', async ({ path }) => {
  const partial = await Partial.open(path)
  partial.adopt([SMALL.subarray(0, 5_000), SMALL.subarray(5_000, 6_000)])
  partial.write(SMALL.subarray(6_000))
  expect(partial.isWhole(sha256(SMALL))).toBe(true)
  await partial.finish(sha256(SMALL))
  expect(readFileSync(path)).toEqual(SMALL)
  await partial.restart()
  partial.adopt([SMALL.subarray(0, 5_000), SMALL.subarray(5_001)])
  await expect(partial.finish(sha256(SMALL))).rejects.toThrow(ChecksumMismatch)
  expect(existsSync(path)).toBe(false)
})

test('of a large body at most a MiB waits in memory', async ({ path }) => {
  const partial = await Partial.open(path)
  for (let at = 0; at < LARGE.length; at += 65_536) {
    partial.write(LARGE.subarray(at, at + 65_536))
    const onDisk = existsSync(path) ? statSync(path).size : 0
    expect(partial.length - onDisk).toBeLessThanOrEqual(MIB)
  }
})

test('a transfer that broke goes on where it stopped, in this process and in the next', async ({
  path,
}) => {
  const checksum = sha256(LARGE)
  const first = await Partial.open(path)
  inChunks(first, LARGE.subarray(0, 2_500_000))
  first.keep()
  expect(statSync(path).size).toBe(2_500_000)
  inChunks(first, LARGE.subarray(2_500_000, 2_600_000))
  first.keep()

  const second = await Partial.open(path)
  expect(second.length).toBe(2_600_000)
  expect(second.isWhole(checksum)).toBe(false)
  inChunks(second, LARGE.subarray(2_600_000))
  await second.finish(checksum)
  expect(readFileSync(path).equals(LARGE)).toBe(true)

  const third = await Partial.open(path)
  expect(third.isWhole(checksum)).toBe(true)
})

test('a small transfer that broke is kept, too', async ({ path }) => {
  const first = await Partial.open(path)
  first.write(SMALL.subarray(0, 7_000))
  first.keep()
  const second = await Partial.open(path)
  expect(second.length).toBe(7_000)
  second.write(SMALL.subarray(7_000))
  await second.finish(sha256(SMALL))
  expect(readFileSync(path)).toEqual(SMALL)
})

test('a wrong byte that an earlier process left never finishes, and all goes (P7)', async ({
  path,
}) => {
  const left = Buffer.from(LARGE.subarray(0, 2_000_000))
  left[1_234_567] = (left[1_234_567] ?? 0) ^ 1
  writeFileSync(path, left)
  const partial = await Partial.open(path)
  inChunks(partial, LARGE.subarray(2_000_000))
  const error = await partial.finish(sha256(LARGE)).catch(error => error)
  expect(error).toBeInstanceOf(ChecksumMismatch)
  expect(error).toMatchObject({ code: 'incomplete', transient: true, expected: sha256(LARGE) })
  expect(existsSync(path)).toBe(false)
  // from 0 once more
  expect(partial.length).toBe(0)
  inChunks(partial, LARGE)
  await partial.finish(sha256(LARGE))
  expect(readFileSync(path).equals(LARGE)).toBe(true)
})

test.for([SMALL, LARGE])(
  'wrong bytes are gone or become evidence, never a partial',
  async (body, { path }) => {
    const evidence = join(path, '../evidence/wrong')
    for (const options of [{}, { evidence }]) {
      const partial = await Partial.open(path)
      inChunks(partial, body)
      await expect(partial.finish(sha256('other'), options)).rejects.toThrow(
        `expected sha256 ${sha256('other')}, found ${sha256(body)} (${body.length} bytes)`,
      )
      expect(existsSync(path)).toBe(false)
    }
    expect(readFileSync(evidence).equals(body)).toBe(true)
  },
)

test('of an empty body there is no evidence to keep, and it is wrong all the same', async ({
  path,
}) => {
  const partial = Partial.empty(path)
  const evidence = join(path, '../evidence/empty')
  await expect(partial.finish(sha256('other'), { evidence })).rejects.toThrow('(0 bytes)')
  expect([existsSync(path), existsSync(evidence)]).toEqual([false, false])
})

test('from 0 again forgets what is in memory and on the disk', async ({ path }) => {
  const partial = await Partial.open(path)
  inChunks(partial, LARGE)
  await partial.restart()
  expect(partial.length).toBe(0)
  expect(existsSync(path)).toBe(false)
  partial.write(SMALL)
  await partial.finish(sha256(SMALL))
  expect(readFileSync(path)).toEqual(SMALL)
})

test('an empty or missing partial is not the whole of anything', async ({ path }) => {
  const nothing = sha256('')
  expect((await Partial.open(path)).isWhole(nothing)).toBe(false)
  writeFileSync(path, '')
  const partial = await Partial.open(path)
  expect(partial.isWhole(nothing)).toBe(false)
  partial.write(SMALL)
  await partial.finish(sha256(SMALL))
  expect(readFileSync(path)).toEqual(SMALL)
})

test('of an artifact longer than the limit nothing stays (P15)', async ({ path }) => {
  writeFileSync(path, SMALL)
  const partial = await Partial.open(path)
  const endless = { length: ARTIFACT_BYTES_MAX } as Uint8Array
  expect(() => partial.write(endless)).toThrow('longer than')
  expect(existsSync(path)).toBe(false)
  expect(partial.length).toBe(0)
  // one that an earlier process left is dropped without being read; this one is sparse
  writeFileSync(path, '')
  truncateSync(path, ARTIFACT_BYTES_MAX + 1)
  expect((await Partial.open(path)).length).toBe(0)
  expect(existsSync(path)).toBe(false)
})

test('a body that came whole is written once, or refused', ({ path }) => {
  expect(() => wholePartial(path, SMALL, sha256(LARGE))).toThrow(ChecksumMismatch)
  expect(existsSync(path)).toBe(false)
  writeFileSync(path, LARGE)
  wholePartial(path, SMALL, sha256(SMALL))
  expect(readFileSync(path)).toEqual(SMALL)
})

test('a file that vanished under its transfer is an error of the disk', async ({ path }) => {
  writeFileSync(path, SMALL)
  const partial = await Partial.open(path)
  await (await Partial.open(path)).restart()
  partial.write(SMALL)
  expect(() => partial.keep()).toThrow(expect.objectContaining({ code: 'io' }))
})
