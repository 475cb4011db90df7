import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'

/** What each room may import: rooms below it, and the packages it is the only door to. */
const MAY_IMPORT: Record<string, string> = {
  'error.ts': '',
  'toml.ts': 'smol-toml',
  'units.ts': '',
  'config.ts': 'registry daemon toml.ts config-values.ts',
  'config-values.ts': 'registry daemon',
  'cargo-lock.ts': 'registry toml.ts',
  'config-file.ts': 'config.ts',
  registry: '',
  tree: 'registry',
  trust: 'registry @noble/ed25519 @noble/hashes',
  store: 'registry tree proper-lockfile',
  upstream: 'registry tree undici yauzl csv-parse @rgrove/parse-xml',
  sync: 'registry tree trust store upstream p-queue',
  bundle: 'registry tree trust store upstream',
  serve: 'registry store units.ts prom-client',
  daemon: 'chokidar croner',
  cli: 'registry tree trust store upstream sync bundle serve daemon config.ts config-file.ts cargo-lock.ts units.ts commander #package.json',
}
/** These rooms compute: no files, no sockets, no processes, no clocks of their own. */
const PURE = ['registry', 'tree', 'trust']
const PURE_NODE = ['node:crypto']

const FROM = /\b(?:from|import)\s*\(?\s*'([^'\s]+)'/g
const roomOf = (path: string): string => path.split('/')[0] ?? path
const packageOf = (name: string): string => /^(?:@[^/]+\/)?[^/]+/.exec(name)?.[0] ?? name

async function imports(): Promise<{ file: string; target: string }[]> {
  const found: { file: string; target: string }[] = []
  for (const file of await readdir('src', { recursive: true })) {
    if (!file.endsWith('.ts')) continue
    const text = await readFile(join('src', file), 'utf8')
    for (const [, target = ''] of text.matchAll(FROM)) found.push({ file, target })
  }
  return found
}

test('rooms import only the rooms below them, and packages through one door', async () => {
  const offences: string[] = []
  for (const { file, target } of await imports()) {
    if (target.startsWith('node:')) continue
    const allowed = [roomOf(file), 'error.ts', ...(MAY_IMPORT[roomOf(file)] ?? '').split(' ')]
    const other = target.startsWith('.') ? roomOf(join(file, '..', target)) : packageOf(target)
    if (!allowed.includes(other)) offences.push(`${file} → ${target}`)
  }
  expect(offences).toEqual([])
})

test('the pure rooms touch no files, sockets or processes', async () => {
  const offences = (await imports())
    .filter(({ file, target }) => PURE.includes(roomOf(file)) && target.startsWith('node:'))
    .filter(({ target }) => !PURE_NODE.includes(target))
    .map(({ file, target }) => `${file} → ${target}`)
  expect(offences).toEqual([])
})

test('only store/durable.ts renames, links and flushes', async () => {
  const calls = /(?:\bfs\.|(?<![.\w#]))(?:rename|link|symlink|fsync|fdatasync)(?:Sync)?\(/
  const definitions = /\basync \w+\(/g
  const offences: string[] = []
  for (const file of await readdir('src', { recursive: true })) {
    if (!file.endsWith('.ts') || file === 'store/durable.ts') continue
    const text = await readFile(join('src', file), 'utf8')
    if (calls.test(text.replace(definitions, ''))) offences.push(file)
  }
  expect(offences).toEqual([])
})
