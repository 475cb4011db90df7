import { execFileSync } from 'node:child_process'
import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test as base, expect } from 'vitest'
import { sha256 } from '../../src/registry/checksum.ts'
import type { CrateName } from '../../src/registry/crate-name.ts'
import type { Version } from '../../src/registry/version.ts'
import { directoryUpstream } from '../../src/upstream/directory.ts'
import { NotThere } from '../../src/upstream/faults.ts'
import type { ObservedFile, Wanted } from '../../src/upstream/upstream.ts'
import { artifactContract } from '../upstream.contract.ts'

artifactContract('a plain directory', async folder => ({
  upstream: directoryUpstream(join(folder, 'public')),
  [Symbol.asyncDispose]: async () => {},
}))

const test = base.extend('folder', async ({}, { onCleanup }) => {
  const folder = await mkdtempDisposable(join(tmpdir(), 'plain-'))
  onCleanup(() => folder.remove())
  return folder.path
})

function put(folder: string, name: string, text = name): void {
  mkdirSync(dirname(join(folder, name)), { recursive: true })
  writeFileSync(join(folder, name), text)
}

async function seen(folder: string, signal = AbortSignal.timeout(10_000)): Promise<ObservedFile[]> {
  return await Array.fromAsync(directoryUpstream(folder).observe({ signal }))
}

const BYTES = 'bytes of a crate'
const HULL: Wanted = {
  crate: 'Ferry_Hull' as CrateName,
  version: '1.0.0+moss' as Version,
  checksum: sha256(BYTES),
}

async function artifact(folder: string, offset = 0): Promise<string> {
  const signal = AbortSignal.timeout(10_000)
  const body = await directoryUpstream(folder).artifact(HULL, { offset, signal })
  if (!('pieces' in body)) return expect.unreachable('a small body came in chunks')
  return `${body.offset}: ${Buffer.concat(body.pieces).toString()}`
}

test('every index file is seen once, in order, and nothing else is', async ({ folder }) => {
  for (const path of ['se/rd/serde', '1/a', '2/ab', '3/a/abc', 'fe/rr/ferry_hull']) {
    put(folder, `index/${path}`, `${path}\n`)
  }
  for (const other of ['config.json', '.git/HEAD', 'se/.DS_Store', 'se/rd/.tmp-serde']) {
    put(folder, `index/${other}`)
  }
  put(folder, 'README.md')
  const files = await seen(folder)
  const paths = ['1/a', '2/ab', '3/a/abc', 'fe/rr/ferry_hull', 'se/rd/serde']
  expect(files.map(({ path }) => path)).toEqual(paths)
  expect(files.map(({ bytes }) => Buffer.from(bytes).toString())).toEqual(
    paths.map(path => `${path}\n`),
  )
})

test('an empty index is an index', async ({ folder }) => {
  mkdirSync(join(folder, 'index'))
  expect(await seen(folder)).toEqual([])
})

test.for<[string, (folder: string) => void]>([
  ['a folder without an index', folder => put(folder, 'crates/x')],
  ['a folder that is not there', () => {}],
  ['an index that is a file', folder => put(folder, 'index')],
])('%s is wrong usage', async ([, make], { folder }) => {
  make(folder)
  const asked = seen(join(folder, ''))
  await expect(asked).rejects.toMatchObject({ code: 'usage', message: /has no folder "index"/ })
})

test.for([
  'serde',
  'se/serde',
  'se/rd/tokio',
  'se/rd/Serde',
  'se/rd/serde.bak',
  'se/rd/serde\u001b[31m',
  'se/rd/x/serde',
  '1/ab',
  'se/rd/config.json',
  'sé/rd/sérde',
])('a file at index/%s is refused by its name', async (name, { folder }) => {
  put(folder, `index/${name}`)
  const error = await seen(folder).catch(error => error)
  expect(error).toMatchObject({ code: 'refused' })
  expect(error.message).toContain('" is not where a sparse index has the file of a crate')
  expect(error.message).not.toContain('\u001b')
})

test.for<[string, (file: string) => void]>([
  ['a link', file => symlinkSync('/etc/hostname', file)],
  ['a link to nowhere', file => symlinkSync('/nowhere', file)],
  ['a FIFO', file => void execFileSync('mkfifo', [file])],
])(
  '%s in place of an index file or a crate is refused, not opened',
  async ([, make], { folder }) => {
    mkdirSync(join(folder, 'index/se/rd'), { recursive: true })
    mkdirSync(join(folder, 'crates'))
    make(join(folder, 'index/se/rd/serde'))
    make(join(folder, `crates/${HULL.crate}-${HULL.version}.crate`))
    const refusal = { code: 'refused', message: /is not a regular file$/ }
    await expect(seen(folder)).rejects.toMatchObject(refusal)
    await expect(artifact(folder)).rejects.toMatchObject(refusal)
  },
)

test('a link in place of a folder of the index is not followed', async ({ folder }) => {
  put(folder, 'elsewhere/rd/serde')
  mkdirSync(join(folder, 'index'))
  symlinkSync(join(folder, 'elsewhere'), join(folder, 'index/se'))
  await expect(seen(folder)).rejects.toMatchObject({ code: 'refused' })
})

test('an index that is deeper than any can be is refused', async ({ folder }) => {
  put(folder, `index/${'a/'.repeat(20)}serde`)
  await expect(seen(folder)).rejects.toThrow('is more than 8 folders deep')
})

test('an index file over the limit is refused before it is read (P15)', async ({ folder }) => {
  put(folder, 'index/se/rd/serde')
  truncateSync(join(folder, 'index/se/rd/serde'), 64 * 1_048_576 + 1)
  await expect(seen(folder)).rejects.toThrow('has 67108865 bytes, at most 67108864 are read')
})

test('a crate over the limit is not read, and its crate waits (P15)', async ({ folder }) => {
  const name = `crates/${HULL.crate}-${HULL.version}.crate`
  put(folder, name)
  truncateSync(join(folder, name), 1_024 * 1_048_576 + 1)
  await expect(artifact(folder)).rejects.toMatchObject({ code: 'incomplete', transient: false })
})

test.for([
  `crates/${HULL.crate}/${HULL.crate}-${HULL.version}.crate`,
  `crates/${HULL.crate}-${HULL.version}.crate`,
  `crates/fe/rr/${HULL.checksum}.crate`,
])('a crate is found at %s, as other tools leave it', async (name, { folder }) => {
  put(folder, name, BYTES)
  expect(await artifact(folder)).toBe(`0: ${BYTES}`)
  expect(await artifact(folder, 9)).toBe('9: a crate')
})

test.for(['crates', `crates/${HULL.crate}`])(
  'a file at %s, where a folder belongs, is a crate that is not there',
  async (name, { folder }) => {
    put(folder, name)
    await expect(artifact(folder)).rejects.toBeInstanceOf(NotThere)
  },
)

test('a stop between two index files ends the look by the reason given', async ({ folder }) => {
  put(folder, 'index/1/a')
  put(folder, 'index/1/b')
  const stop = new AbortController()
  const reason = new Error('ctrl-c')
  const paths: string[] = []
  const looking = (async (): Promise<void> => {
    for await (const { path } of directoryUpstream(folder).observe(stop)) {
      paths.push(path)
      stop.abort(reason)
    }
  })()
  await expect(looking).rejects.toBe(reason)
  expect(paths).toEqual(['1/a'])
})
