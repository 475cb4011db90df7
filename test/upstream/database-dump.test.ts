import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { csvRows } from '../../src/upstream/csv-rows.ts'
import { namesInDump } from '../../src/upstream/database-dump.ts'
import { DumpRefused, HostGone } from '../../src/upstream/faults.ts'
import type { RemoteFile } from '../../src/upstream/remote-file.ts'
import { dumpZip, zipOf } from '../dump.ts'

const NAME = 'https://static.crates.io/db-dump.zip'
const MIB = 1_048_576
const { signal } = new AbortController()
const onSkipped = (name: string): void => expect.fail(name)

/** A dump that remembers what was read of it. */
class Remote implements RemoteFile {
  readonly name = NAME
  readonly size: number
  readonly asked: { readonly offset: number; readonly length: number }[] = []
  readonly #bytes: Buffer

  constructor(bytes: Buffer) {
    this.#bytes = bytes
    this.size = bytes.length
  }

  async read(offset: number, length: number, signal: AbortSignal): Promise<Uint8Array> {
    signal.throwIfAborted()
    this.asked.push({ offset, length })
    return this.#bytes.subarray(offset, offset + length)
  }
}

async function names(zip: Buffer, skipped: string[] = []): Promise<string[]> {
  return Array.fromAsync(namesInDump(new Remote(zip), { signal, onSkipped: n => skipped.push(n) }))
}

async function refusal(zip: Buffer): Promise<string> {
  const error = await names(zip).then(
    () => expect.unreachable('the dump was taken'),
    (error: unknown) => error,
  )
  if (!(error instanceof DumpRefused)) throw error
  expect(error).toMatchObject({ code: 'incomplete', transient: false })
  expect(error.message).not.toContain('\n')
  expect(error.message).toContain(NAME)
  return error.message
}

/** A zip whose list of members, or whatever stands at this place of it, is changed. */
function patched(zip: Buffer, at: number, bytes: readonly number[]): Buffer {
  const copy = Buffer.from(zip)
  copy.set(bytes, at)
  return copy
}

/** Where the record of `data/crates.csv` begins in the list of members. */
function recordOf(zip: Buffer): number {
  return zip.lastIndexOf('data/crates.csv') - 46
}

const README = 'line one,\n"two"\r\nthree,serde\n'
const CRATES = [{ name: 'serde', readme: README }, { name: 'Inflector' }, { name: 'a_b-c' }]

test('the names of a dump are read, whatever the readmes hold', async () => {
  expect(await names(await dumpZip({ crates: CRATES }))).toEqual(['serde', 'Inflector', 'a_b-c'])
})

test('a registry without crates has no names', async () => {
  expect(await names(await dumpZip({ crates: [] }))).toEqual([])
})

test('names that are none are passed over and told', async () => {
  const skipped: string[] = []
  const crates = [{ name: '../x' }, { name: 'serde' }, { name: 'con' }, { name: '' }]
  expect(await names(await dumpZip({ crates }), skipped)).toEqual(['serde'])
  expect(skipped).toEqual(['../x', 'con', ''])
})

test('columns are found by their names, in any order, beside columns nobody knows', async () => {
  const text = 'future,"name"\r\n"a\nb",serde\r\nc,tokio'
  const zip = await zipOf([{ path: '2026-08-21-020014/data/crates.csv', text }])
  expect(await names(zip)).toEqual(['serde', 'tokio'])
})

test('a column named like a part of every object does no harm', async () => {
  const zip = await zipOf([{ path: 'data/crates.csv', text: '__proto__,name\nx,serde\n' }])
  expect(await names(zip)).toEqual(['serde'])
})

test('a zip64, and members that are stored, are read as well', async () => {
  const members = [{ path: 'data/crates.csv', text: 'name\nserde\n', plain: true }]
  expect(await names(await zipOf(members))).toEqual(['serde'])
  expect(await names(await zipOf(members, { isZip64: true }))).toEqual(['serde'])
})

/** A dump with much before and after the table of crates, and readmes that do not compress. */
const LARGE = (async () => {
  const filler = { text: randomBytes(6 * MIB).toString('latin1'), plain: true }
  const rows = Array.from({ length: 200 }, (_, n) => {
    return `"${randomBytes(30_000).toString('base64')}\n""quoted""",crate-${n}\n`
  })
  return zipOf([
    { path: 'data/categories.csv', ...filler },
    { path: 'data/crates.csv', text: `readme,name\n${rows.join('')}` },
    { path: 'data/versions.csv', ...filler },
  ])
})()

test('of a large dump only the list and the one table are read, in blocks, each once', async () => {
  const zip = await LARGE
  const remote = new Remote(zip)
  expect(await Array.fromAsync(namesInDump(remote, { signal, onSkipped }))).toHaveLength(200)
  const read = remote.asked.reduce((sum, { length }) => sum + length, 0)
  const packed = zip.readUInt32LE(recordOf(zip) + 20)
  expect(packed).toBeGreaterThan(5 * MIB)
  expect(read).toBeLessThan(packed + 3 * MIB)
  expect(new Set(remote.asked.map(({ offset }) => offset)).size).toBe(remote.asked.length)
  expect(Math.max(...remote.asked.map(({ length }) => length))).toBe(MIB)
})

test('who takes names slowly holds the reading up: a few blocks are here at a time (P15)', async () => {
  const remote = new Remote(await LARGE)
  const reading = namesInDump(remote, { signal, onSkipped })
  await reading.next()
  await new Promise(resolve => setTimeout(resolve, 100))
  const { length } = remote.asked
  expect(length).toBeLessThanOrEqual(5)
  for (let n = 0; n < 150; n += 1) await reading.next()
  expect(remote.asked.length).toBeGreaterThan(length)
  await reading.return(undefined)
})

test('who stops early gives up what was asked for ahead', async () => {
  const zip = await LARGE
  let given: AbortSignal | undefined
  const remote = new Remote(zip)
  const read = (offset: number, length: number, signal: AbortSignal): Promise<Uint8Array> => {
    given = signal
    return remote.read(offset, length, signal)
  }
  for await (const _ of namesInDump({ name: NAME, size: zip.length, read }, { signal, onSkipped }))
    break
  expect(given?.aborted).toBe(true)
})

test('a signal ends the reading with its own reason, also while an answer is waited for', async () => {
  const zip = await LARGE
  const stop = new AbortController()
  const remote = new Remote(zip)
  const read = (offset: number, length: number, signal: AbortSignal): Promise<Uint8Array> => {
    if (remote.asked.length < 3) return remote.read(offset, length, signal)
    return new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
      setTimeout(() => stop.abort(new HostGone('told to stop')), 10)
    })
  }
  const reading = namesInDump(
    { name: NAME, size: zip.length, read },
    { signal: stop.signal, onSkipped },
  )
  await expect(Array.fromAsync(reading)).rejects.toThrow('told to stop')
})

test.for([0, 1, 3, 5])('a host that is gone at read %i is told as that', async working => {
  const zip = await LARGE
  const remote = new Remote(zip)
  const read = async (offset: number, length: number, signal: AbortSignal): Promise<Uint8Array> => {
    if (remote.asked.length >= working) throw new HostGone('static.crates.io: not connected')
    return remote.read(offset, length, signal)
  }
  const reading = namesInDump({ name: NAME, size: zip.length, read }, { signal, onSkipped })
  await expect(Array.fromAsync(reading)).rejects.toThrow(HostGone)
})

test('a read that gives fewer bytes than asked for is refused', async () => {
  const zip = await LARGE
  const remote = new Remote(zip)
  const read = async (offset: number, length: number, signal: AbortSignal): Promise<Uint8Array> => {
    const bytes = await remote.read(offset, length, signal)
    return remote.asked.length < 4 ? bytes : bytes.subarray(1)
  }
  const reading = namesInDump({ name: NAME, size: zip.length, read }, { signal, onSkipped })
  await expect(Array.fromAsync(reading)).rejects.toThrow(/expected 1048576 bytes at \d+, found/)
})

test.for([
  ['nothing', ''],
  ['a page of a proxy', `<html>${'Please log in '.repeat(10_000)}</html>`],
  ['a few bytes', 'PK'],
  ['a table that was not packed', 'name\nserde\n'],
])('%s is refused as a dump', async ([, text = '']) => {
  expect(await refusal(Buffer.from(text))).toContain('is not a zip, or was cut')
})

test('a dump cut anywhere is refused', async () => {
  const zip = await dumpZip({ crates: CRATES })
  for (let length = 0; length < zip.length; length += 13) {
    expect(await refusal(zip.subarray(0, length))).toContain('is not a zip, or was cut')
  }
})

test('a dump whose front was lost is refused', async () => {
  const zip = await dumpZip({ crates: CRATES })
  for (const lost of [1, 100, zip.length - 30]) {
    expect(await refusal(zip.subarray(lost))).toMatch(/is not a zip|is damaged|is cut/)
  }
})

test('a dump without the table of crates, or with two, is refused', async () => {
  const table = { path: 'data/crates.csv', text: 'name\nserde\n' }
  const other = { path: 'metadata.csv', text: '' }
  expect(await refusal(await zipOf([other]))).toContain('has no member "data/crates.csv"')
  const near = { path: 'old-data/crates.csv', text: 'name\nserde\n' }
  expect(await refusal(await zipOf([near]))).toContain('has no member "data/crates.csv"')
  const twice = await zipOf([table, { ...table, path: `x/${table.path}` }])
  expect(await refusal(twice)).toContain('has two members "data/crates.csv"')
})

test('more members than a dump has tables is refused (P15)', async () => {
  const members = Array.from({ length: 1_001 }, (_, n) => ({ path: `${n}.csv`, text: '' }))
  expect(await refusal(await zipOf(members))).toContain('has more than 1000 members')
})

test.for([
  ['encrypted', 8, [1, 0], 'is encrypted'],
  ['packed as we do not unpack', 10, [14, 0], 'has compression method 14, expected stored'],
  ['of another checksum', 16, [1, 2, 3, 4], 'expected CRC-32 04030201, found '],
  ['longer than the list says', 24, [3, 0, 0, 0], 'expected 3 bytes, found more'],
  ['shorter than the list says', 24, [0, 0, 0, 1], 'expected 16777216 bytes, found '],
  ['cut by the list', 20, [9, 0, 0, 0], 'is damaged ("unexpected end of file")'],
  ['beyond the end of the file', 42, [0, 0, 0, 9], 'is cut: 150994974 bytes are spoken of'],
  ['at another place', 42, [1, 0, 0, 0], 'is damaged ("invalid local file header signature'],
] as const)('a table that is %s is refused', async ([, at, bytes, fault]) => {
  const zip = await dumpZip({ crates: CRATES })
  expect(await refusal(patched(zip, recordOf(zip) + at, bytes))).toContain(fault)
})

test('a table of more than 8 GiB is refused before any of it is read (P15)', async () => {
  const path = 'data/crates.csv'
  const zip = await zipOf([{ path, text: 'name\nserde\n' }], { isZip64: true })
  // the list's record, its name, nine bytes of time, the zip64 field's header; then the size
  const at = recordOf(zip) + 46 + path.length + 9 + 4
  const large = patched(zip, at, [0, 0, 0, 0, 3, 0, 0, 0])
  expect(await refusal(large)).toContain('has 12884901888 bytes, at most 8589934592 are read')
})

test('a bit that flipped in the packed bytes is seen, wherever it is', async () => {
  const zip = await dumpZip({ crates: CRATES })
  const start = zip.indexOf('data/crates.csv') + 'data/crates.csv'.length
  const end = zip.indexOf('data/versions.csv') - 30
  for (let at = start; at < end; at += 5) {
    await refusal(patched(zip, at, [(zip[at] ?? 0) ^ 0x10]))
  }
})

test.for([
  ['nothing', '', 'has no header'],
  ['no column of names', 'id,title\n1,serde\n', 'expected one column "name", found 0'],
  ['two columns of names', 'name,name\nserde,tokio\n', 'expected one column "name", found 2'],
  ['a row that is short', 'id,name\n1\n', 'is not CSV ("Invalid Record Length'],
  ['a quote that never ends', 'id,name\n1,"serde\n', 'is not CSV ("Quote Not Closed'],
  ['a page of HTML', '<html>\n<p>Log in</p>\n', 'expected one column "name", found 0'],
  ['a quote in the midst', 'name\nser"de\n', 'is not CSV ("Invalid Opening Quote'],
  [
    'an endless readme',
    `id,name\n"${'x'.repeat(17 * MIB)}",serde\n`,
    'is not CSV ("Max Record Size',
  ],
] as const)('a table with %s is refused', async ([, text, fault]) => {
  const zip = await zipOf([{ path: 'data/crates.csv', text }])
  expect(await refusal(zip)).toContain(`${NAME}: data/crates.csv: ${fault}`)
})

test('a table of more rows than are taken is refused, after those that are (P15)', async () => {
  const table = { name: 'data/crates.csv', columns: ['name'], rowsMax: 3 } as const
  const rows = (count: number): AsyncIterable<Readonly<Record<'name', string>>> =>
    csvRows(Readable.from([Buffer.from(`name\n${'x\n'.repeat(count)}`)]), table)
  expect(await Array.fromAsync(rows(3))).toHaveLength(3)
  await expect(Array.fromAsync(rows(4))).rejects.toThrow('data/crates.csv: has more than 3 rows')
})
