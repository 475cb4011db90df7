import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test as base, expect } from 'vitest'
import { LockLost } from '../../src/store/durable.ts'
import { acquireLock } from '../../src/store/lock.ts'
import { createMirror } from '../../src/store/mirror.ts'
import { Writer } from '../../src/store/writer.ts'

const test = base.extend('writer', async ({}, { onCleanup }) => {
  const opened = new AsyncDisposableStack()
  onCleanup(() => opened.disposeAsync())
  const folder = opened.use(await mkdtempDisposable(join(tmpdir(), 'writer-')))
  const root = join(folder.path, 'mirror')
  const mirror = await createMirror(root, { trust: 'observed', configuration: '' })
  const signal = AbortSignal.timeout(30_000)
  const lock = opened.use(await acquireLock(mirror, { command: 'test', signal, now: new Date() }))
  return new Writer(mirror, lock.owner)
})

const read = (writer: Writer, file: string): string => readFileSync(writer.at(file), 'utf8')
const leftovers = (writer: Writer): string[] => readdirSync(writer.owner.folder)

test('a writer replaces, names and removes, and leaves nothing on the way', async ({ writer }) => {
  for (const text of ['old', 'new', '']) {
    await writer.replace('public/index/se/rd/serde', Buffer.from(text))
    expect(read(writer, 'public/index/se/rd/serde')).toBe(text)
  }
  await writer.replace('public/index/se/rd/serde', Buffer.from('whole'))
  await writer.link('public/index/se/rd/serde', 'public/index/3/s/ser')
  await writer.link('public/index/se/rd/serde', 'public/index/3/s/ser')
  expect(statSync(writer.at('public/index/3/s/ser')).ino).toBe(
    statSync(writer.at('public/index/se/rd/serde')).ino,
  )
  await writer.remove('public/index/se/rd/serde')
  await writer.remove('public/index/se/rd/serde')
  expect(existsSync(writer.at('public/index/se/rd/serde'))).toBe(false)
  await writer.move('public/index/3/s/ser', 'state/evidence/ser')
  await writer.move('public/index/3/s/ser', 'state/evidence/ser')
  expect(existsSync(writer.at('public/index/3/s/ser'))).toBe(false)
  expect(read(writer, 'state/evidence/ser')).toBe('whole')
  expect(leftovers(writer)).toEqual(['owner.json'])
})

test('what many callers replace at one time does not meet on the way', async ({ writer }) => {
  const files = Array.from({ length: 20 }, (_, i) => `public/tuf/tree/${i}`)
  await Promise.all(files.map(file => writer.replace(file, Buffer.from(file))))
  for (const file of files) expect(read(writer, file)).toBe(file)
  expect(leftovers(writer)).toEqual(['owner.json'])
})

test('a writer that lost the lock changes nothing any more (P14)', async ({ writer }) => {
  await writer.replace('state/published', Buffer.from('theirs'))
  await writer.replace('public/index/1/a', Buffer.from('theirs'))
  mkdirSync(writer.at('public/index/2'))
  writeFileSync(writer.at('public/index/2/by-hash'), 'ours')
  renameSync(writer.owner.folder, `${writer.owner.folder}.aside`)
  await expect(writer.replace('state/published', Buffer.from('ours'))).rejects.toThrow(LockLost)
  await expect(writer.replace('public/index/1/new', Buffer.from('ours'))).rejects.toThrow(LockLost)
  await expect(writer.link('public/index/2/by-hash', 'public/index/1/a')).rejects.toThrow(LockLost)
  await expect(writer.remove('public/index/1/a')).rejects.toThrow(LockLost)
  await expect(writer.move('public/index/1/a', 'state/a')).rejects.toThrow(LockLost)
  expect(read(writer, 'state/published')).toBe('theirs')
  expect(readdirSync(writer.at('public/index/1'))).toEqual(['a'])
  expect(read(writer, 'public/index/1/a')).toBe('theirs')
  expect(existsSync(writer.owner.folder)).toBe(false)
})

test('a disk fault is not taken for a lost lock', async ({ writer }) => {
  mkdirSync(writer.at('state/published/not-a-file'), { recursive: true })
  const replacing = writer.replace('state/published', Buffer.from('new'))
  await expect(replacing).rejects.toMatchObject({ code: 'io' })
  expect(leftovers(writer)).toEqual(['owner.json'])
})
