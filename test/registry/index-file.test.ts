import { readdir, readFile } from 'node:fs/promises'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { MirrorError } from '../../src/error.ts'
import { type IndexFile, IndexFileRefused, readIndexFile } from '../../src/registry/index-file.ts'
import { type IndexPath, parseIndexPath } from '../../src/registry/sparse-path.ts'

const SERDE = 'se/rd/serde' as IndexPath
const A = 'a'.repeat(64)
const B = 'b'.repeat(64)
const C = 'c'.repeat(64)

const line = (fields: object = {}): string =>
  `${JSON.stringify({ name: 'serde', vers: '1.0.0', deps: [], cksum: A, features: {}, yanked: false, ...fields })}\n`
const read = (text: string, options: { signed?: boolean } = {}): IndexFile =>
  readIndexFile(Buffer.from(text), SERDE, options)

test('the fixture index files are read without a warning', async () => {
  const folder = 'fixtures/crates/index'
  const files = (await readdir(folder, { recursive: true, withFileTypes: true }))
    .filter(entry => entry.isFile())
    .map(entry => `${entry.parentPath}/${entry.name}`)
  expect(files).toHaveLength(11)
  for (const file of files) {
    const bytes = await readFile(file)
    const path = parseIndexPath(file.slice(folder.length + 1))
    if (path === undefined) throw new Error(`${file} lies under no crate's path`)
    const { entries, warnings, disputed, unusable } = readIndexFile(bytes, path)
    expect(warnings, file).toEqual([])
    expect(entries, file).toHaveLength(bytes.toString().trimEnd().split('\n').length)
    expect(disputed.size + unusable.size, file).toBe(0)
  }
})

test('entries come in the order of the file, with the numbers of their lines', () => {
  const { entries } = read(line({ vers: '2.0.0' }) + line({ cksum: '' }) + line({ yanked: true }))
  expect(entries).toEqual([
    { crate: 'serde', version: '2.0.0', checksum: A, yanked: false, line: 1 },
    { crate: 'serde', version: '1.0.0', checksum: A, yanked: true, line: 3 },
  ])
})

test('Windows line ends are tolerated', () => {
  const unix = line() + line({ vers: '1.0.1', cksum: B })
  expect(read(unix.replaceAll('\n', '\r\n'))).toEqual(read(unix))
})

test('versions that differ only in build metadata are two', () => {
  const file = read(line({ vers: '1.0.0+a' }) + line({ vers: '1.0.0+b', cksum: B }) + line())
  expect(file.entries).toHaveLength(3)
  expect(file.warnings).toEqual([])
})

test('the same line twice is one entry', () => {
  const file = read(line() + line() + line({ yanked: true }))
  expect(file.entries.map(entry => entry.line)).toEqual([1])
  expect(file.warnings).toEqual([])
  expect(file.disputed.size).toBe(0)
})

test('one version with several checksums is disputed, told once, and each is wanted once', () => {
  const file = read(line() + line({ cksum: B }) + line({ cksum: B }) + line() + line({ cksum: C }))
  expect(file.entries.map(entry => entry.checksum)).toEqual([A, B, C])
  expect([...file.disputed]).toEqual(['1.0.0'])
  expect(file.warnings).toEqual(['version 1.0.0 twice with different checksums'])
})

test('one version under two spellings of the name is told, and not disputed', () => {
  const file = read(line() + line({ name: 'Serde' }))
  expect(file.entries.map(entry => entry.crate)).toEqual(['serde', 'Serde'])
  expect(file.disputed.size).toBe(0)
  expect(file.warnings).toEqual(['version 1.0.0 twice with different spellings of the name'])
})

test('lines of a newer format are told once', () => {
  const file = read(line({ v: 3 }) + line({ vers: '1.1.0', v: 4 }) + line({ vers: '1.2.0' }))
  expect(file.entries.map(entry => entry.version)).toEqual(['1.2.0'])
  expect(file.warnings).toEqual(['line 1: v 3 is newer than 2'])
  expect([...file.unusable]).toEqual(['1.0.0', '1.1.0'])
})

test('a bad line never stops its crate', () => {
  const bad = [{ cksum: 'x' }, { vers: 'latest' }, { name: '../x' }, { yanked: 'no' }, { v: 'x' }]
  const file = read(`${bad.map(line).join('')}{}\n${line({ vers: '9.0.0' })}`)
  expect(file.entries.map(entry => entry.version)).toEqual(['9.0.0'])
  expect(file.warnings).toHaveLength(6)
})

test('of many bad lines twenty are told, and how many more there were', () => {
  const { warnings } = read(line({ cksum: '' }).repeat(1_000))
  expect(warnings).toHaveLength(21)
  expect(warnings[19]).toBe('line 20: cksum "" is not 64 lower-case hex digits')
  expect(warnings[20]).toBe('and 980 more')
})

test('a file as long as is allowed is read, with as many lines as are allowed', () => {
  const start = line().repeat(49_999)
  expect(read(start + line({ cksum: B })).entries.at(-1)?.line).toBe(50_000)
  expect(() => read(start + line() + line())).toThrow('index/se/rd/serde: more than 50000 lines')
})

test('what is refused as seen may be right the next time, what is signed stays as it is', () => {
  const refusal = (text: string, signed: boolean): MirrorError => {
    try {
      read(text, { signed })
    } catch (error) {
      if (error instanceof IndexFileRefused) return error
    }
    throw new Error('not refused')
  }
  for (const text of ['', line({ name: 'tokio' })]) {
    expect(refusal(text, false)).toMatchObject({ code: 'incomplete', transient: true })
    expect(refusal(text, true)).toMatchObject({ code: 'incomplete', transient: false })
  }
})

test('whatever the bytes, a file is read or refused by our own error (P17)', () => {
  const pieces = fc.constantFrom(
    ...[line(), line({ cksum: B }), line({ v: 3 }), line({ name: 'tokio' }), '{}\n', '\n', '\r\n'],
    ...['\0', '\ufeff', '{', '"', '<html>', line().slice(0, 40), '{"a":1,"a":2}\n'],
  )
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 6 }), fc.boolean(), (parts, signed) => {
      try {
        const { entries } = read(parts.join(''), { signed })
        expect(entries.length).toBeLessThanOrEqual(parts.length)
      } catch (error) {
        if (!(error instanceof IndexFileRefused)) throw error
        expect(error.message).toMatch(/^index\/se\/rd\/serde: /)
        if (signed) expect(error.message).toMatch(/empty; a crate|name "tokio"/)
      }
    }),
    { numRuns: 2000 },
  )
})
