import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { test as base, expect } from 'vitest'
import { sha256 } from '../../src/registry/checksum.ts'
import { createMirror, openMirror } from '../../src/store/mirror.ts'

/** A disk that is surely not the one of the scratch folder, where the machine has one. */
const OTHER_DISK = '/dev/shm'
const hasOtherDisk =
  statSync(OTHER_DISK, { throwIfNoEntry: false }) !== undefined &&
  statSync(OTHER_DISK).dev !== statSync(tmpdir()).dev

const ROOT = { version: 3, bytes: Buffer.from('{"signed":{"version":3}}') }
const OPTIONS = { trust: 'tuf', pinnedRoot: ROOT, configuration: '# mine\n' } as const

const test = base.extend('at', async ({}, { onCleanup }) => {
  const folder = await mkdtempDisposable(join(tmpdir(), 'mirror-'))
  onCleanup(() => folder.remove())
  return (name: string): string => join(folder.path, name)
})

/** Every file below a folder, with its content. */
function filesOf(root: string): Record<string, string> {
  const entries = readdirSync(root, { recursive: true, withFileTypes: true })
  const files = entries.filter(entry => entry.isFile())
  const paths = files.map(entry => join(entry.parentPath, entry.name)).sort()
  return Object.fromEntries(paths.map(path => [path.slice(root.length + 1), read(path)]))
}

const read = (path: string): string => readFileSync(path, 'utf8')

function write(path: string, text = ''): void {
  mkdirSync(join(path, '..'), { recursive: true })
  writeFileSync(path, text)
}

test('a new mirror has its folders, configuration, pinned root and marker, and nothing else', async ({
  at,
}) => {
  const { marker } = await createMirror(at('new/mirror'), OPTIONS)
  expect(marker).toMatchObject({ format: 1, trust: 'tuf', root: sha256(ROOT.bytes) })
  expect(filesOf(at('new/mirror'))).toEqual({
    'crateferry.toml': '# mine\n',
    'state/marker': `{"format":1,"root":"${marker.root}","trust":"tuf","uuid":"${marker.uuid}"}\n`,
    'state/trust/upstream/root_history/3.root.json': ROOT.bytes.toString(),
  })
  for (const folder of ['public/index', 'public/crates', 'public/tuf']) {
    expect(statSync(at(`new/mirror/${folder}`)).mode & 0o777, folder).toBe(0o755)
  }
  const opened = await openMirror(at('new/mirror'))
  expect(opened.marker).toEqual(marker)
})

test('two mirrors are told apart, and one that only observes pins no root', async ({ at }) => {
  const observed = { trust: 'observed', configuration: '' } as const
  const one = await createMirror(at('one'), observed)
  const other = await createMirror(at('other'), observed)
  expect(one.marker).toMatchObject({ trust: 'observed', root: null })
  expect(one.marker.uuid).not.toBe(other.marker.uuid)
})

test('init refuses the root folder, the home folder, a file and a mirror that is there', async ({
  at,
}) => {
  write(at('file'))
  const made = await createMirror(at('mirror'), OPTIONS)
  symlinkSync(homedir(), at('home'))
  const refusals = [
    ['/', /^"\/" cannot be a mirror; use a folder of its own$/],
    [homedir(), /cannot be a mirror/],
    [at('home'), /cannot be a mirror/],
    [at('file'), /is not a folder$/],
    [at('mirror'), /is a mirror already$/],
  ] as const
  for (const [folder, message] of refusals) {
    const creating = createMirror(folder, OPTIONS)
    await expect(creating, folder).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringMatching(message),
    })
  }
  expect((await openMirror(at('mirror'))).marker).toEqual(made.marker)
})

test('init leaves a folder alone that holds anything of somebody else', async ({ at }) => {
  const foreign = [
    'thesis.tex',
    'state/notes.txt',
    'public/index.html',
    // a mirror that lost its marker is no empty folder
    'state/published',
    'state/partials/a.part',
    // somebody began with the configuration: it would be overwritten
    'crateferry.toml',
  ]
  for (const [i, file] of foreign.entries()) {
    write(at(`${i}/${file}`), 'precious')
    await expect(createMirror(at(`${i}`), OPTIONS), file).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringContaining(
        'is not empty and has no mirror marker; use an empty folder',
      ),
    })
    expect(filesOf(at(`${i}`))).toEqual({ [file]: 'precious' })
  }
})

test('an init that was killed at any step is simply run again', async ({ at }) => {
  const steps: (() => void)[] = [
    () => mkdirSync(at('mirror')),
    () => mkdirSync(at('mirror/public/index'), { recursive: true }),
    () => mkdirSync(at('mirror/state/owners'), { recursive: true }),
    () => mkdirSync(at('mirror/state/trust/upstream/root_history'), { recursive: true }),
    () => writeFileSync(at('mirror/state/owners/init'), '{"signed":{"ver'),
    () => writeFileSync(at('mirror/state/trust/upstream/root_history/3.root.json'), ROOT.bytes),
    () => writeFileSync(at('mirror/state/owners/init'), '# mi'),
    () => writeFileSync(at('mirror/crateferry.toml'), '# mine\n'),
    () => writeFileSync(at('mirror/state/owners/init'), '{"form'),
  ]
  for (const last of steps.keys()) {
    for (const step of steps.slice(0, last + 1)) step()
    await createMirror(at('mirror'), OPTIONS)
    expect(Object.keys(filesOf(at('mirror'))), `step ${last}`).toEqual([
      'crateferry.toml',
      'state/marker',
      'state/trust/upstream/root_history/3.root.json',
    ])
    rmSync(at('mirror'), { recursive: true })
  }
})

test('run again with another root, a killed init leaves nothing of the first one', async ({
  at,
}) => {
  await createMirror(at('mirror'), { ...OPTIONS, pinnedRoot: { ...ROOT, version: 1 } })
  rmSync(at('mirror/state/marker'))
  await createMirror(at('mirror'), OPTIONS)
  const history = at('mirror/state/trust/upstream/root_history')
  expect(readdirSync(history)).toEqual(['3.root.json'])
})

test('what is no mirror, or one of another program, is not opened', async ({ at }) => {
  write(at('file'))
  mkdirSync(at('empty'))
  const missing = 'is no mirror: it has no state/marker; use init'
  for (const name of ['empty', 'file', 'gone']) {
    await expect(openMirror(at(name)), name).rejects.toMatchObject({
      code: 'no-mirror',
      message: `${at(name)} ${missing}`,
    })
  }
  write(at('newer/state/marker'), '{"format":2,"uuid":{"high":1}}')
  await expect(openMirror(at('newer'))).rejects.toMatchObject({
    code: 'no-mirror',
    message: expect.stringContaining('is a mirror of format 2, this program reads 1'),
  })
  const { marker } = await createMirror(at('mirror'), OPTIONS)
  for (const damage of ['', '{', '[]', JSON.stringify({ ...marker, trust: 'blind' })]) {
    writeFileSync(at('mirror/state/marker'), damage)
    await expect(openMirror(at('mirror')), damage).rejects.toMatchObject({ code: 'damaged' })
  }
})

test('a mirror without its public folder is damaged', async ({ at }) => {
  await createMirror(at('mirror'), OPTIONS)
  rmSync(at('mirror/public'), { recursive: true })
  await expect(openMirror(at('mirror'))).rejects.toMatchObject({ code: 'damaged' })
})

test.runIf(hasOtherDisk)('public and state on two file systems are refused', async ({ at }) => {
  await using other = await mkdtempDisposable(join(OTHER_DISK, 'mirror-'))
  await createMirror(at('mirror'), OPTIONS)
  rmSync(at('mirror/public'), { recursive: true })
  symlinkSync(other.path, at('mirror/public'))
  await expect(openMirror(at('mirror'))).rejects.toMatchObject({
    code: 'usage',
    message: expect.stringContaining('must be on one file system'),
  })
})

test('a mirror that is pulled out or exchanged during a run is noticed (P9)', async ({ at }) => {
  await createMirror(at('mirror'), OPTIONS)
  const mirror = await openMirror(at('mirror'))
  await mirror.assertStillHere()
  renameSync(at('mirror'), at('elsewhere'))
  const gone = { code: 'io', message: expect.stringMatching(/: the folder is gone; insert/) }
  await expect(mirror.assertStillHere()).rejects.toMatchObject(gone)
  const other = await createMirror(at('mirror'), OPTIONS)
  await expect(mirror.assertStillHere()).rejects.toMatchObject({
    code: 'no-mirror',
    message: expect.stringContaining(`found ${other.marker.uuid}`),
  })
  rmSync(at('mirror/state/marker'))
  const bare = { code: 'io', message: expect.stringContaining('another folder has taken its') }
  await expect(mirror.assertStillHere()).rejects.toMatchObject(bare)
  rmSync(at('mirror'), { recursive: true })
  renameSync(at('elsewhere'), at('mirror'))
  await mirror.assertStillHere()
  writeFileSync(at('mirror/state/marker'), JSON.stringify(other.marker))
  await expect(mirror.assertStillHere()).rejects.toMatchObject({
    code: 'no-mirror',
    message: `${mirror.root}: expected mirror ${mirror.marker.uuid}, found ${other.marker.uuid}`,
  })
  rmSync(at('mirror/state/marker'))
  await expect(mirror.assertStillHere()).rejects.toThrow('found no marker')
})

test('a link to a mirror that leads elsewhere during a run is noticed (P9)', async ({ at }) => {
  await createMirror(at('mirror'), OPTIONS)
  mkdirSync(at('twin/state'), { recursive: true })
  writeFileSync(at('twin/state/marker'), read(at('mirror/state/marker')))
  symlinkSync(at('mirror'), at('link'))
  const mirror = await openMirror(at('link'))
  await mirror.assertStillHere()
  rmSync(at('link'))
  symlinkSync(at('twin'), at('link'))
  await expect(mirror.assertStillHere()).rejects.toMatchObject({
    code: 'io',
    message: expect.stringContaining('another folder has taken its place'),
  })
})

test.runIf(hasOtherDisk)('an empty mount point is told by its device (P9)', async ({ at }) => {
  await using other = await mkdtempDisposable(join(OTHER_DISK, 'mirror-'))
  await createMirror(at('mirror'), OPTIONS)
  symlinkSync(at('mirror'), at('link'))
  const mirror = await openMirror(at('link'))
  rmSync(at('link'))
  symlinkSync(other.path, at('link'))
  const { dev } = statSync(at('mirror'))
  await expect(mirror.assertStillHere()).rejects.toMatchObject({
    code: 'io',
    message: expect.stringContaining(`mount changed dev ${dev} → ${statSync(other.path).dev}`),
  })
})
