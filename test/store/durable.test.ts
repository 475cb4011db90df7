import { execFile } from 'node:child_process'
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { test as base, expect } from 'vitest'
import { MirrorError } from '../../src/error.ts'
import {
  createFile,
  discardFile,
  flush,
  LockLost,
  linkFile,
  makeFolder,
  moveFile,
  removeFile,
  replaceFile,
  wrapped,
  writeFileAt,
} from '../../src/store/durable.ts'

const OLD = Buffer.from('old')
const NEW = Buffer.from('new bytes')

/** A fresh folder; `at` names something in it, and `owner` is the folder of who holds the lock. */
const test = base.extend('disk', async ({}, { onCleanup }) => {
  const folder = await mkdtempDisposable(join(tmpdir(), 'durable-'))
  onCleanup(() => folder.remove())
  const at = (name: string): string => join(folder.path, name)
  mkdirSync(at('owner'))
  return { root: folder.path, at, via: at('owner/1') }
})

const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8)

/** Runs a line of code in a process of its own, under other limits than ours. */
async function elsewhere(shell: string, code: string): Promise<string> {
  const script = `import * as durable from ${JSON.stringify(resolve('src/store/durable.ts'))}\n${code}`
  const { stdout } = await promisify(execFile)(
    '/bin/sh',
    ['-c', `${shell} "$0" --input-type=module -e "$1"`, process.execPath, script],
    { env: { ...process.env, NODE_OPTIONS: '' } },
  )
  return stdout.trim()
}

test('a mutable file has its old bytes or its new ones, and nothing is left of the way there', async ({
  disk,
}) => {
  writeFileSync(disk.at('published'), OLD)
  const reader = readFileSync(disk.at('published'))
  await replaceFile(disk.at('published'), NEW, { via: disk.via })
  expect(reader).toEqual(OLD)
  expect(readFileSync(disk.at('published'))).toEqual(NEW)
  expect(readdirSync(disk.at('owner'))).toEqual([])
})

test('a writer whose folder was moved away cannot replace, link or remove anything (P14)', async ({
  disk,
}) => {
  const { via } = disk
  writeFileSync(disk.at('published'), OLD)
  writeFileSync(disk.at('byhash'), NEW)
  renameSync(disk.at('owner'), disk.at('another owner took it'))
  const published = disk.at('published')
  await expect(replaceFile(published, NEW, { via })).rejects.toThrow(LockLost)
  await expect(linkFile(disk.at('byhash'), published, { via })).rejects.toThrow(LockLost)
  await expect(removeFile(published, { via })).rejects.toThrow(LockLost)
  await expect(removeFile(disk.at('not there'), { via })).rejects.toThrow('lost the lock')
  expect(readFileSync(published)).toEqual(OLD)
})

test('a missing folder of the file itself is no lost lock', async ({ disk }) => {
  const { via } = disk
  await expect(replaceFile(disk.at('no/such'), NEW, { via })).rejects.toMatchObject({ code: 'io' })
  await expect(linkFile(disk.at('none'), disk.at('x'), { via })).rejects.toMatchObject({
    code: 'io',
  })
  expect(readdirSync(disk.at('owner'))).toEqual([])
})

test('an immutable file that is there is left alone, a shorter one is made anew', async ({
  disk,
}) => {
  const via = disk.at('partial')
  await createFile(disk.at('tile'), NEW, { via })
  const { ino } = statSync(disk.at('tile'))
  await createFile(disk.at('tile'), NEW, { via })
  expect(statSync(disk.at('tile')).ino).toBe(ino)
  writeFileSync(disk.at('tile'), '')
  writeFileSync(via, 'left by a killed process')
  await createFile(disk.at('tile'), NEW, { via })
  expect(readFileSync(disk.at('tile'))).toEqual(NEW)
  expect(existsSync(via)).toBe(false)
})

test('a file that cannot be named leaves nothing behind', async ({ disk }) => {
  mkdirSync(disk.at('folder'))
  writeFileSync(disk.at('folder/x'), OLD)
  const via = disk.at('partial')
  await expect(createFile(disk.at('folder'), NEW, { via })).rejects.toMatchObject({ code: 'io' })
  expect(readdirSync(disk.root).sort()).toEqual(['folder', 'owner'])
  expect(readdirSync(disk.at('folder'))).toEqual(['x'])
})

test('a second name is the same file, and giving it again changes nothing', async ({ disk }) => {
  const { via } = disk
  writeFileSync(disk.at('byhash'), NEW)
  writeFileSync(disk.at('bypath'), OLD)
  await linkFile(disk.at('byhash'), disk.at('bypath'), { via })
  expect(statSync(disk.at('bypath')).ino).toBe(statSync(disk.at('byhash')).ino)
  const { ctimeNs } = statSync(disk.at('byhash'), { bigint: true })
  await linkFile(disk.at('byhash'), disk.at('bypath'), { via })
  expect(statSync(disk.at('byhash'), { bigint: true }).ctimeNs).toBe(ctimeNs)
  expect(readdirSync(disk.at('owner'))).toEqual([])
})

test('where a file can have no more links its second name is a copy', async ({ disk, skip }) => {
  const { via } = disk
  writeFileSync(disk.at('byhash'), NEW, { mode: 0o600 })
  mkdirSync(disk.at('links'))
  const fill = (): void => {
    for (let n = 1; n < 66_000; n += 1) linkSync(disk.at('byhash'), disk.at(`links/${n}`))
    skip('this file system has no limit of links near the 65,000 of ext4')
  }
  expect(fill).toThrow('EMLINK')
  await linkFile(disk.at('byhash'), disk.at('bypath'), { via })
  expect(readFileSync(disk.at('bypath'))).toEqual(NEW)
  expect(statSync(disk.at('bypath')).ino).not.toBe(statSync(disk.at('byhash')).ino)
  expect(modeOf(disk.at('bypath'))).toBe('644')
  expect(readdirSync(disk.at('owner'))).toEqual([])
})

test('removing what is not there is done', async ({ disk }) => {
  const { via } = disk
  writeFileSync(disk.at('gone'), OLD)
  await removeFile(disk.at('gone'), { via })
  await removeFile(disk.at('gone'), { via })
  await discardFile(disk.at('gone'))
  expect(readdirSync(disk.root)).toEqual(['owner'])
  expect(readdirSync(disk.at('owner'))).toEqual([])
})

test('files are 0644 and folders 0755 whatever the umask', async ({ disk }) => {
  await elsewhere(
    'umask 077; exec',
    `const at = name => ${JSON.stringify(disk.root)} + '/' + name
     await durable.makeFolder(at('a/b'))
     await durable.replaceFile(at('a/b/replaced'), Buffer.from('x'), { via: at('owner/1') })
     durable.writeFileAt(at('part'), [Buffer.from('x')], 0)
     durable.moveFile(at('part'), at('c/d/moved'))`,
  )
  expect(['a', 'a/b', 'c', 'c/d'].map(name => modeOf(disk.at(name)))).toEqual(Array(4).fill('755'))
  expect(['a/b/replaced', 'c/d/moved'].map(name => modeOf(disk.at(name)))).toEqual(['644', '644'])
})

test('a write that the disk takes only half of is an error, never a short file', async ({
  disk,
}) => {
  // 100 blocks of 512 bytes: the write returns a short count first, EFBIG only then
  const said = await elsewhere(
    'ulimit -f 100; exec',
    `try {
       durable.writeFileAt(${JSON.stringify(disk.at('part'))}, [Buffer.alloc(204_800)], 0)
     } catch (error) { console.log(error.code, error.message) }`,
  )
  expect(said).toBe(`no-space ${disk.at('part')} is too large for its file system (EFBIG)`)
})

test('many files are flushed where the sync program is missing, too', async ({ disk }) => {
  const names = Array.from({ length: 40 }, (_, n) => disk.at(`f${n}`))
  for (const name of names) writeFileSync(name, NEW)
  const code = (files: string[]): string =>
    `await durable.flush(${JSON.stringify(disk.root)}, {
       files: ${JSON.stringify(files)}, folders: [${JSON.stringify(disk.root)}] })
       .then(() => console.log('flushed'), error => console.log(error.code))`
  expect(await elsewhere('PATH=/nowhere; exec', code(names))).toBe('flushed')
  // the fallback really goes through the list
  const missing = [...names, disk.at('missing')]
  expect(await elsewhere('PATH=/nowhere; exec', code(missing))).toBe('io')
  expect(await elsewhere('exec', code(names))).toBe('flushed')
})

test('a file that was to be flushed and is not there stops a small flush', async ({ disk }) => {
  const lists = { files: [disk.at('missing')], folders: [disk.root] }
  await expect(flush(disk.root, lists)).rejects.toMatchObject({ code: 'io' })
})

test('a missing folder is made on the way to a name', async ({ disk }) => {
  writeFileAt(disk.at('part'), [NEW], 0)
  moveFile(disk.at('part'), disk.at('public/crates/se/rd/x.crate'))
  expect(readFileSync(disk.at('public/crates/se/rd/x.crate'))).toEqual(NEW)
  await makeFolder(disk.at('public/crates/se'))
  expect(() => moveFile(disk.at('part'), disk.at('y'))).toThrow(MirrorError)
})

test('a full disk is told from a broken one, and the path is named', () => {
  const failed = (code: string): MirrorError =>
    wrapped(Object.assign(new Error(`${code}: said so`), { code }), '/mirror/x')
  expect(failed('ENOSPC')).toMatchObject({
    code: 'no-space',
    message: expect.stringContaining('/mirror/x'),
  })
  expect(failed('EDQUOT').code).toBe('no-space')
  expect(failed('EIO')).toMatchObject({
    code: 'io',
    message: expect.stringContaining('/mirror/x: EIO'),
  })
  expect(failed('EROFS').code).toBe('io')
})
