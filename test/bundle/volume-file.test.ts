import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test as base, expect } from 'vitest'
import { type SourcedMember, writeVolume } from '../../src/bundle/volume-file.ts'
import { readVolumeIndex } from '../../src/bundle/volume-index.ts'
import { cutVolumes } from '../../src/bundle/volume-plan.ts'
import { sha256 } from '../../src/registry/checksum.ts'

const { signal } = new AbortController()

const test = base.extend('folder', async ({}, { onCleanup }) => {
  const folder = await mkdtempDisposable(join(tmpdir(), 'crateferry-volume-'))
  onCleanup(() => folder.remove())
  return folder.path
})

/** Files with what shall be in a volume, under names that have nothing to do with it. */
function sources(folder: string, files: Readonly<Record<string, Buffer>>): SourcedMember[] {
  return Object.entries(files).map(([path, bytes], n) => {
    const source = join(folder, `source-${n}`)
    writeFileSync(source, bytes)
    return { path, size: bytes.length, sha256: sha256(bytes), source }
  })
}

test('a volume and its index have the bytes of the test vector', async ({ folder }) => {
  const members = sources(folder, {
    'crates/serde-json/serde-json-1.0.0.crate': Buffer.from('two'),
    'crates/serde/serde-1.0.0.crate': Buffer.from('one'),
  })
  const path = join(folder, 'crates-00001.tar')
  const { bytes, sha256: hash, index } = await writeVolume(path, members, { signal })
  expect(bytes).toBe(3072)
  expect(hash).toBe('670088aed337c0919aa5116e87e07ec0f3775d1e32ec8c18b9f7966486cb3b13')
  expect(sha256(readFileSync(path))).toBe(hash)
  expect(sha256(index)).toBe('c76eded367cde151460f0bc8c143cfc8fbafafe8b845c24ac706b41ff1107faf')
})

test('a large volume is what was planned, and GNU tar finds in it what went in', async ({
  folder,
}) => {
  // around the size of the pieces it is written in, and of blocks
  const sizes = [1, 511, 512, 513, 4_193_791, 4_194_304, 4_194_305, 9_000_000, 700]
  const files = Object.fromEntries(
    sizes.map((size, n) => [`crates/pad/pad-0.0.${n}.crate`, Buffer.alloc(size, `${n} and more`)]),
  )
  const members = sources(folder, files)
  const path = join(folder, 'crates-00001.tar')
  const written = await writeVolume(path, members, { signal })
  expect(written.bytes).toBe(readFileSync(path).length)
  expect(written.sha256).toBe(sha256(readFileSync(path)))
  const [planned, ...more] = [...cutVolumes('crates', members, 4_294_901_760)]
  expect(more).toEqual([])
  expect(planned).toMatchObject({ bytes: written.bytes, indexBytes: written.index.length })
  const given = { kind: 'crates', volumeBytes: written.bytes, name: 'crates-00001.idx' } as const
  expect(readVolumeIndex(written.index, given)).toHaveLength(sizes.length)
  mkdirSync(join(folder, 'out'))
  execFileSync('tar', ['xf', path, '-C', join(folder, 'out')])
  for (const [name, bytes] of Object.entries(files)) {
    expect(readFileSync(join(folder, 'out', name)).equals(bytes), name).toBe(true)
  }
})

test.for<[string, (source: string) => void]>([
  ['other bytes', source => writeFileSync(source, 'xxx')],
  ['a byte less', source => writeFileSync(source, 'on')],
  ['a byte more', source => writeFileSync(source, 'one!')],
  ['much more', source => writeFileSync(source, Buffer.alloc(5_000_000))],
])(
  'a member that has %s on the disk ends the volume, and nothing of it stays',
  async ([, damage], { folder }) => {
    const members = sources(folder, { 'crates/serde/serde-1.0.0.crate': Buffer.from('one') })
    const [{ source = '' } = {}] = members
    damage(source)
    const path = join(folder, 'crates-00001.tar')
    await expect(writeVolume(path, members, { signal })).rejects.toMatchObject({
      code: 'damaged',
      message: expect.stringContaining(`${source}: expected 3 bytes with sha256`),
    })
    expect(existsSync(path)).toBe(false)
  },
)

test('a file that is there is not written over', async ({ folder }) => {
  const path = join(folder, 'crates-00001.tar')
  writeFileSync(path, 'mine')
  await expect(writeVolume(path, [], { signal })).rejects.toMatchObject({ code: 'io' })
  expect(readFileSync(path, 'utf8')).toBe('mine')
})

test('who is told to stop stops, and leaves nothing', async ({ folder }) => {
  const members = sources(folder, { 'crates/serde/serde-1.0.0.crate': Buffer.from('one') })
  const path = join(folder, 'crates-00001.tar')
  const stopped = AbortSignal.abort(new Error('told to stop'))
  await expect(writeVolume(path, members, { signal: stopped })).rejects.toThrow('told to stop')
  expect(existsSync(path)).toBe(false)
})
