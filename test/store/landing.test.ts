import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { test as base, expect } from 'vitest'
import { MirrorError } from '../../src/error.ts'
import { type Checksum, sha256 } from '../../src/registry/checksum.ts'
import type { Prefix } from '../../src/registry/sparse-path.ts'
import { LockLost } from '../../src/store/durable.ts'
import { finishLanding, Landing, readLanding, Withdrawn } from '../../src/store/landing.ts'
import { artifactFile, LANDING, PARTIALS, partialFile } from '../../src/store/layout.ts'
import { ChecksumMismatch, wholePartial } from '../../src/store/partial.ts'
import { Writer } from '../../src/store/writer.ts'

/** One artifact: its bytes, its checksum, the name it is to get. */
interface Crate {
  readonly bytes: Buffer
  readonly checksum: Checksum
  readonly name: string
}

function crate(text: string, prefix = 'se/rd'): Crate {
  const bytes = Buffer.from(text)
  const checksum = sha256(bytes)
  return { bytes, checksum, name: artifactFile(prefix as Prefix, checksum) }
}

/** A mirror's folders with a writer that holds them; `stillHere` may be made to fail. */
class Disk {
  readonly root: string
  readonly owner: string
  readonly writer: Writer
  stillHere: () => Promise<void> = async () => {}

  constructor(root: string) {
    this.root = root
    this.owner = this.at('state/owners/token')
    for (const folder of ['public', PARTIALS, 'state/owners/token']) {
      mkdirSync(this.at(folder), { recursive: true })
    }
    // landing uses of a mirror and an owner exactly these; both rooms have their own tests
    type Given = ConstructorParameters<typeof Writer>
    const mirror = { root, assertStillHere: () => this.stillHere() }
    this.writer = new Writer(mirror as unknown as Given[0], { folder: this.owner } as Given[1])
  }

  at(name: string): string {
    return join(this.root, name)
  }

  write(name: string, bytes: Uint8Array | string): void {
    mkdirSync(dirname(this.at(name)), { recursive: true })
    writeFileSync(this.at(name), bytes)
  }

  partial({ bytes, checksum }: Crate): void {
    wholePartial(this.at(partialFile(checksum)), bytes, checksum)
  }

  /** Every file below `public/` and `state/`, folders left out. */
  files(): string[] {
    const names = readdirSync(this.root, { recursive: true, encoding: 'utf8' })
    return names.filter(name => statSync(this.at(name)).isFile()).sort()
  }

  list(...crates: Crate[]): void {
    const finals = crates.map(({ name }) => name)
    this.write(LANDING, JSON.stringify({ format: 1, finals }))
  }
}

const test = base.extend('disk', async ({}, { onCleanup }) => {
  const folder = await mkdtempDisposable(join(tmpdir(), 'landing-'))
  onCleanup(() => folder.remove())
  return new Disk(folder.path)
})

const A = crate('a')
const B = crate('b')
const C = crate('c', '3/c')
const names = (...crates: Crate[]): string[] => crates.map(({ name }) => name).sort()

test('what landed is there under its name, and nothing else is left', async ({ disk }) => {
  const landing = new Landing(disk.writer)
  const crates = Array.from({ length: 50 }, (_, n) => crate(`crate ${n}`, `se/${n}`))
  const told: boolean[] = []
  for (const { name, bytes, checksum } of crates) {
    wholePartial(disk.at(partialFile(checksum)), bytes, checksum)
    const landed = (): void => {
      told.push(existsSync(disk.at(name)) && !existsSync(disk.at(LANDING)))
    }
    await landing.add({ name, bytes: bytes.length, landed })
  }
  expect(disk.files().filter(name => name.startsWith('public/'))).toEqual([])
  await landing.settle()
  expect(disk.files()).toEqual(names(...crates))
  for (const { name, bytes } of crates) expect(readFileSync(disk.at(name))).toEqual(bytes)
  expect(told).toEqual(Array(50).fill(true))
  expect(statSync(disk.at(crates[0]?.name ?? '')).mode & 0o777).toBe(0o644)
  await landing.settle()
})

test('nothing is named before the list of names is on the disk', async ({ disk }) => {
  // a file where a folder is needed: the second name cannot be given
  disk.write('public/crates/3', 'in the way')
  const landing = new Landing(disk.writer)
  await landing.addBytes(A.name, A.bytes)
  await landing.addBytes(C.name, C.bytes)
  await expect(landing.settle()).rejects.toMatchObject({ code: 'io' })
  expect(readLanding(disk.root)).toEqual([A.name, C.name])
  expect(existsSync(disk.at(A.name))).toBe(true)
  // nothing lands over an unsettled list, and the first failure is told again
  await expect(landing.addBytes(B.name, B.bytes)).rejects.toMatchObject({ code: 'io' })
  await expect(landing.settle()).rejects.toMatchObject({ code: 'io' })

  // the next run has nothing to clean by hand (P5)
  rmSync(disk.at('public/crates/3'))
  const next = new Landing(disk.writer)
  await next.add({ name: C.name, bytes: 1 })
  await next.settle()
  expect(disk.files()).toEqual(names(A, C))
})

test('one batch lands while the next one fills, and a third has to wait', async ({ disk }) => {
  const landed: string[] = []
  let release = (): void => {}
  const gate = new Promise<void>(resolve => {
    release = resolve
  })
  disk.stillHere = () => gate
  const landing = new Landing(disk.writer, { filesMax: 2 })
  const add = (text: string): Promise<void> => {
    const { name, bytes } = crate(text)
    return landing.addBytes(name, bytes, () => void landed.push(text))
  }
  await add('1')
  await add('2')
  await add('3')
  const fourth = add('4')
  const first = await Promise.race([fourth.then(() => 'added'), setTimeout(50, 'waits')])
  expect(first).toBe('waits')
  expect(landed).toEqual([])
  release()
  await fourth
  expect(landed).toEqual(['1', '2'])
  await landing.settle()
  expect(landed).toEqual(['1', '2', '3', '4'])
})

test('many at once fill batches without losing one', async ({ disk }) => {
  const landing = new Landing(disk.writer, { filesMax: 7, bytesMax: 40 })
  const crates = Array.from({ length: 100 }, (_, n) => crate(`${n}`.padEnd(n % 30)))
  await Promise.all(crates.map(({ name, bytes }) => landing.addBytes(name, bytes)))
  await landing.settle()
  expect(disk.files()).toEqual(names(...crates))
})

test('a batch that fills no further lands by itself', async ({ disk }) => {
  const landing = new Landing(disk.writer, { delayMs: 10 })
  await new Promise<void>((resolve, reject) => {
    landing.addBytes(A.name, A.bytes, resolve).catch(reject)
  })
  expect(disk.files()).toEqual(names(A))
})

test('a batch whose time came while another was landing lands after it', async ({ disk }) => {
  disk.stillHere = () => setTimeout(40)
  const landing = new Landing(disk.writer, { filesMax: 2, delayMs: 10 })
  await landing.addBytes(A.name, A.bytes)
  await landing.addBytes(B.name, B.bytes)
  await new Promise<void>((resolve, reject) => {
    landing.addBytes(C.name, C.bytes, resolve).catch(reject)
  })
  expect(disk.files()).toEqual(names(A, B, C))
})

test('bytes that serve two crates get both names, each a file of its own', async ({ disk }) => {
  const twin = crate('a', 'ot/he')
  const landing = new Landing(disk.writer)
  await landing.addBytes(A.name, A.bytes)
  await landing.addBytes(twin.name, A.bytes)
  await landing.settle()
  expect(disk.files()).toEqual(names(A, twin))
  expect(readFileSync(disk.at(twin.name))).toEqual(A.bytes)
  expect(statSync(disk.at(A.name)).nlink).toBe(1)
})

test('a right file keeps its name, a damaged one loses it to the right bytes', async ({ disk }) => {
  disk.write(A.name, A.bytes)
  disk.write(B.name, 'x')
  const { ino } = statSync(disk.at(A.name))
  const landing = new Landing(disk.writer)
  await landing.addBytes(A.name, A.bytes)
  await landing.addBytes(B.name, B.bytes)
  await landing.settle()
  expect(statSync(disk.at(A.name)).ino).toBe(ino)
  expect(readFileSync(disk.at(B.name))).toEqual(B.bytes)
  expect(disk.files()).toEqual(names(A, B))
})

test('a partial that is not there gets no name', async ({ disk }) => {
  const landing = new Landing(disk.writer)
  await landing.add({ name: A.name, bytes: 1 })
  await expect(landing.settle()).rejects.toMatchObject({ code: 'io' })
  expect(existsSync(disk.at(A.name))).toBe(false)
})

test('wrong bytes and names that hold no hash do not land (P1)', async ({ disk }) => {
  const landing = new Landing(disk.writer)
  await expect(landing.addBytes(A.name, B.bytes)).rejects.toThrow(ChecksumMismatch)
  for (const name of ['public/index/config.json', `public/../state/${A.checksum}.crate`, '']) {
    await expect(landing.addBytes(name, A.bytes)).rejects.toThrow('no name of an immutable')
  }
  await landing.settle()
  expect(disk.files()).toEqual([])
})

test('what policy withdrew does not land again', async ({ disk }) => {
  disk.write(`state/quarantine/${A.checksum}.crate`, A.bytes)
  const landing = new Landing(disk.writer)
  await expect(landing.addBytes(A.name, A.bytes)).rejects.toThrow(Withdrawn)
  await landing.addBytes(B.name, B.bytes)
  await landing.settle()
  expect(existsSync(disk.at(A.name))).toBe(false)
  expect(existsSync(disk.at(B.name))).toBe(true)
})

test('a writer that lost the lock names nothing more (P14)', async ({ disk }) => {
  const landing = new Landing(disk.writer)
  await landing.addBytes(A.name, A.bytes)
  renameSync(disk.owner, disk.at('state/owners/aside'))
  await expect(landing.settle()).rejects.toThrow(LockLost)
  expect(existsSync(disk.at(A.name))).toBe(false)
  expect(existsSync(disk.at(LANDING))).toBe(false)
})

test('a medium that is gone gets no list and no names (P9)', async ({ disk }) => {
  disk.stillHere = async () => {
    throw new MirrorError('no-mirror', 'another medium lies here')
  }
  const landing = new Landing(disk.writer)
  await landing.addBytes(A.name, A.bytes)
  await expect(landing.settle()).rejects.toMatchObject({ code: 'no-mirror' })
  expect(disk.files()).toEqual([partialFile(A.checksum)])
})

test('a callback that fails stops the landing that follows', async ({ disk }) => {
  const landing = new Landing(disk.writer)
  await landing.addBytes(A.name, A.bytes, () => Promise.reject(new Error('no link')))
  await expect(landing.settle()).rejects.toThrow('no link')
  expect(disk.files()).toEqual(names(A))
})

// what a kill or a power cut leaves, step by step, and what the next start makes of it (P5, P6)

test('killed before the list: the partials are kept', async ({ disk }) => {
  disk.partial(A)
  expect(await finishLanding(disk.writer)).toBe(0)
  expect(disk.files()).toEqual([partialFile(A.checksum)])
})

test.for(['', '{"format":1,"finals":["public/cra', '\0\0\0\0', '{"format":2,"finals":[]}'])(
  'killed while the list was written (%j): nothing was named yet, and the partials are kept',
  async (torn, { disk }) => {
    disk.partial(A)
    disk.write(LANDING, torn)
    expect(readLanding(disk.root)).toEqual([])
    expect(await finishLanding(disk.writer)).toBe(0)
    expect(disk.files()).toEqual([partialFile(A.checksum)])
  },
)

test('killed after the list: the partials are kept and land with the next batch', async ({
  disk,
}) => {
  disk.partial(A)
  disk.partial(B)
  disk.list(A, B)
  expect(await finishLanding(disk.writer)).toBe(0)
  expect(disk.files()).toEqual([partialFile(A.checksum), partialFile(B.checksum)].sort())
})

test('killed between two names: the right one stays, copies for others go', async ({ disk }) => {
  const twin = crate('a', 'ot/he')
  disk.write(A.name, A.bytes)
  disk.write(`${partialFile(A.checksum)}.2`, A.bytes)
  disk.partial(B)
  disk.list(A, twin, B)
  expect(await finishLanding(disk.writer)).toBe(0)
  expect(disk.files()).toEqual([A.name, partialFile(B.checksum)].sort())
})

test('power cut between the names and their flush: what is torn loses its name', async ({
  disk,
}) => {
  disk.write(A.name, A.bytes)
  disk.write(B.name, '')
  disk.write(C.name, 'x')
  disk.list(A, B, C)
  expect(await finishLanding(disk.writer)).toBe(2)
  expect(disk.files()).toEqual(names(A))
  expect(await finishLanding(disk.writer)).toBe(0)
})

test('killed before the list went: all names stay', async ({ disk }) => {
  for (const { name, bytes } of [A, B, C]) disk.write(name, bytes)
  disk.list(A, B, C)
  expect(await finishLanding(disk.writer)).toBe(0)
  expect(disk.files()).toEqual(names(A, B, C))
})

test('a list that names anything else is not followed', async ({ disk }) => {
  disk.write('public/index/config.json', '{}')
  disk.write(LANDING, JSON.stringify({ format: 1, finals: ['public/index/config.json'] }))
  expect(await finishLanding(disk.writer)).toBe(0)
  expect(disk.files()).toEqual(['public/index/config.json'])
})
