import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test as base, expect } from 'vitest'
import { startServer } from '../../src/serve/server.ts'
import { MirrorReader } from '../../src/store/reader.ts'
import { artifactAt, checksumOf, contents, expectExit, Registry } from '../crateferry.ts'
import { serveFolder } from '../upstream.ts'

const test = base.extend('registry', async ({}, { onCleanup }) => {
  const registry = await Registry.make()
  onCleanup(() => registry[Symbol.asyncDispose]())
  return registry
})

const HULL = 'fe/rr/ferry-hull'
const DECK = 'fe/rr/ferry_deck'

async function configure(mirror: string, old: string, line: string): Promise<void> {
  const file = join(mirror, 'crateferry.toml')
  const text = await readFile(file, 'utf8')
  expect(text).toContain(old)
  await writeFile(file, text.replace(old, line))
}

const keepNoPast = (mirror: string): Promise<void> =>
  configure(mirror, '# keep-days = 7', 'keep-days = 0')

const artifactsIn = async (mirror: string): Promise<string[]> =>
  Object.keys(await contents(join(mirror, 'public'))).filter(name => name.endsWith('.crate'))

test('what upstream removed goes by prune, is told before and recorded after, while readers read on', {
  timeout: 60_000,
}, async ({ registry }) => {
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  await expectExit(0, 'sync', '--mirror', mirror)
  const gone = await checksumOf(registry.at('plain/index'), '1/f', '1.0.0')
  await registry.remove('1/f')
  await registry.sign()
  await expectExit(0, 'sync', '--mirror', mirror)

  // a week has not passed
  const early = await expectExit(0, 'prune', '--mirror', mirror)
  expect(early.stdout).toBe('nothing to remove: all 19 artifacts are named\n')
  await keepNoPast(mirror)
  const before = await contents(join(mirror, 'public'))
  const dry = await expectExit(0, 'prune', '--mirror', mirror, '--dry-run')
  expect(dry.stdout).toMatch(/^would remove 1 of 19 artifacts \(\d+ B\), 1 index files, 1 tiles/)
  expect(await contents(join(mirror, 'public'))).toEqual(before)

  const shown = (await artifactsIn(mirror)).filter(name => !name.includes(gone))
  const reader = new MirrorReader(mirror)
  const log = (line: string): never => expect.fail(line)
  const listen = { host: '127.0.0.1', port: 0 }
  await using server = await startServer({ reader, listen, url: 'http://unused.example', log })
  const pruning = expectExit(0, 'prune', '--mirror', mirror, '--json')
  for (const name of [...shown, ...shown, `index/${HULL}`]) {
    expect((await fetch(`${server.url}/${name}`)).status, name).toBe(200)
  }
  const removed = [`1/${gone}`]
  const facts = { artifacts: { files: 1 }, of: { files: 19 }, snapshots: [1], removed }
  expect((await pruning).json()).toMatchObject({ ok: true, exit: 0, ...facts })
  expect((await fetch(`${server.url}/${artifactAt('1/f', gone)}`)).status).toBe(404)
  expect((await artifactsIn(mirror)).sort()).toEqual(shown)
  const status = (await expectExit(0, 'status', '--mirror', mirror, '--json')).json()
  expect((status['runs'] as object[]).at(-1)).toMatchObject({ command: 'prune', exit: 0, ...facts })
  await expectExit(0, 'verify', '--mirror', mirror)
})

test('a crate whose new index file never came stops no prune, and its old one stays', {
  timeout: 60_000,
}, async ({ registry }) => {
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  await expectExit(0, 'sync', '--mirror', mirror)
  await keepNoPast(mirror)
  await registry.publish(HULL, 'ferry-hull', '3.0.0')
  const deck = await registry.publish(DECK, 'ferry_deck', '0.4.0')
  const lost = await registry.publish(DECK, 'ferry_deck', '0.5.0')
  await registry.sign()
  upstream.misbehave(/ferry-hull$/, { kind: 'status', status: 404 })
  upstream.misbehave(new RegExp(lost), { kind: 'status', status: 404 })
  await expectExit(3, 'sync', '--mirror', mirror)

  const before = await contents(join(mirror, 'public'))
  await expectExit(0, 'prune', '--mirror', mirror)
  const after = await contents(join(mirror, 'public'))
  expect(Object.keys(before).filter(name => /^(?:index|crates)/.test(name))).toEqual(
    Object.keys(after).filter(name => /^(?:index|crates)/.test(name)),
  )
  expect(after[artifactAt(DECK, deck)]).toBe(deck)
  await expectExit(0, 'verify', '--mirror', mirror)
  upstream.behave()
  upstream.requests.clear()
  await expectExit(0, 'sync', '--mirror', mirror)
  expect(upstream.requests.count(/\.crate$/)).toBe(2)
})

test('what a sync has fetched and not yet published stays', {
  timeout: 60_000,
}, async ({ registry }) => {
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  await keepNoPast(mirror)
  // one after the other, so that some have landed when the limit is reached
  await configure(mirror, '# connections = 32', 'connections = 1')
  await expectExit(3, 'sync', '--mirror', mirror, '--limit-bytes', '8000')
  const here = await artifactsIn(mirror)
  expect(here.length).toBeGreaterThan(2)
  await expectExit(0, 'prune', '--mirror', mirror)
  expect(await artifactsIn(mirror)).toEqual(here)
  await expectExit(0, 'sync', '--mirror', mirror)
  for (const version of ['4.0.0', '5.0.0', '6.0.0']) {
    await registry.publish(HULL, 'ferry-hull', version)
  }
  await registry.sign()
  await expectExit(3, 'sync', '--mirror', mirror, '--limit-bytes', '40')
  const more = await artifactsIn(mirror)
  expect(more.length).toBeGreaterThan(19)
  await expectExit(0, 'prune', '--mirror', mirror)
  expect(await artifactsIn(mirror)).toEqual(more)
})

test('a prune that would remove more than a tenth ends with 17, and goes on with --yes (P20)', {
  timeout: 60_000,
}, async ({ registry }) => {
  const mirror = registry.at('repository')
  for (const path of ['1/f', '2/fy', '3/f/fry']) await registry.remove(path)
  await registry.sign()
  await keepNoPast(mirror)
  const before = await artifactsIn(mirror)
  const refused = await expectExit(17, 'prune', '--mirror', mirror)
  expect(refused.stdout).toBe('')
  expect(refused.stderr).toMatch(
    /would remove \d of 19 artifacts, \d+ of \d+ bytes, more than 10 %/,
  )
  expect(await artifactsIn(mirror)).toEqual(before)
  const dry = await expectExit(0, 'prune', '--mirror', mirror, '--dry-run')
  expect(dry.stdout).toContain('goes only with --yes')

  // what cannot be read could name anything, whatever is confirmed
  const hull = await readFile(join(mirror, 'public/index', HULL))
  await writeFile(join(mirror, 'public/index', HULL), 'damaged')
  const damaged = await expectExit(4, 'prune', '--mirror', mirror, '--yes')
  expect(damaged.stderr).toContain('run verify --repair')
  await writeFile(join(mirror, 'public/index', HULL), hull)
  expect(await artifactsIn(mirror)).toEqual(before)
  await expectExit(0, 'prune', '--mirror', mirror, '--yes')
  expect((await artifactsIn(mirror)).length).toBeLessThan(17)
  await expectExit(0, 'verify', '--mirror', mirror)
  expect(existsSync(join(mirror, 'public/tuf/1.root.json'))).toBe(true)
  // and the chain goes on
  await registry.publish(HULL, 'ferry-hull', '3.0.0')
  await registry.sign()
})
