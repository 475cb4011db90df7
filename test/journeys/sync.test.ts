import { existsSync } from 'node:fs'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test as base, expect } from 'vitest'
import {
  artifactAt,
  checksumOf,
  contents,
  crateferry,
  expectExit,
  Registry,
} from '../crateferry.ts'
import { serveFolder } from '../upstream.ts'

const test = base.extend('registry', async ({}, { onCleanup }) => {
  const registry = await Registry.make()
  onCleanup(() => registry[Symbol.asyncDispose]())
  return registry
})

const HULL = 'fe/rr/ferry-hull'
const DECK = 'fe/rr/ferry_deck'

test('a first sync brings what the upstream has, byte for byte; a second one asks two things', {
  timeout: 60_000,
}, async ({ registry }) => {
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  const dry = await expectExit(0, 'sync', '--mirror', mirror, '--dry-run', '--json')
  expect(dry.json()['dryRun']).toMatchObject({ crates: 11, artifacts: 19, removedCrates: 0 })
  expect(upstream.requests.count(/\.crate$/)).toBe(0)

  const first = await expectExit(0, 'sync', '--mirror', mirror, '--json')
  expect(first.json()).toMatchObject({ outcome: 'published', artifacts: 19, held: 0, snapshot: 1 })
  expect(await contents(join(mirror, 'public'))).toEqual(await contents(registry.public))
  expect(upstream.requests.count(/\.crate$/)).toBe(19)

  upstream.requests.clear()
  const before = await contents(mirror)
  const second = await expectExit(0, 'sync', '--mirror', mirror, '--json')
  expect(second.json()).toMatchObject({ outcome: 'unchanged', snapshot: 1 })
  expect(upstream.requests.map(({ path }) => path)).toEqual([
    '/tuf/2.root.json',
    '/tuf/timestamp.json',
  ])
  const after = await contents(mirror)
  delete before['state/runs.jsonl']
  delete after['state/runs.jsonl']
  expect(after).toEqual(before)
})

test('one version published, one yanked, one crate removed: only those files move', {
  timeout: 60_000,
}, async ({ registry }) => {
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  await expectExit(0, 'sync', '--mirror', mirror)
  const gone = await checksumOf(join(registry.at('plain/index')), '1/f', '1.0.0')

  const fresh = await registry.publish(HULL, 'ferry-hull', '3.0.0')
  await registry.edit(DECK, ([first = '', ...rest]) => [
    first.replace('"yanked":false', '"yanked":true'),
    ...rest,
  ])
  await rm(registry.at('plain/index/1/f'))
  await registry.sign()
  upstream.requests.clear()
  const next = await expectExit(0, 'sync', '--mirror', mirror, '--json')
  expect(next.json()).toMatchObject({
    artifacts: 1,
    removed: [{ path: '1/f', versions: ['1.0.0'], all: true }],
  })
  expect(upstream.requests.count(/\.crate$/)).toBe(1)
  expect(upstream.requests.count(/^\/index\//)).toBe(2)
  const shown = await contents(join(mirror, 'public'))
  expect(shown[artifactAt(HULL, fresh)]).toBe(fresh)
  expect(shown['index/1/f']).toBeUndefined()
  expect(shown[artifactAt('1/f', gone)]).toBe(gone)
  expect(await readFile(join(mirror, 'public/index', DECK), 'utf8')).toContain('"yanked":true')
  expect((await crateferry('status', '--mirror', mirror, '--json')).json()).toMatchObject({
    published: { n: 2, entries: 10 },
  })
})

test('an artifact that is refused and one with wrong bytes hold their two crates and no other', {
  timeout: 90_000,
}, async ({ registry }) => {
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  await expectExit(0, 'sync', '--mirror', mirror)
  const hull = await registry.publish(HULL, 'ferry-hull', '3.0.0')
  const deck = await registry.publish(DECK, 'ferry_deck', '0.4.0')
  const fry = await registry.publish('3/f/fry', 'fry', '0.3.0')
  await registry.sign()
  const old = await readFile(join(mirror, 'public/index', HULL), 'utf8')
  upstream.misbehave(new RegExp(hull), { kind: 'status', status: 403 })
  upstream.misbehave(new RegExp(deck), { kind: 'flip' })

  const held = await expectExit(3, 'sync', '--mirror', mirror, '--json')
  expect(held.json()).toMatchObject({ outcome: 'published', held: 2, artifacts: 1 })
  const shown = await contents(join(mirror, 'public'))
  expect(shown[artifactAt('3/f/fry', fry)]).toBe(fry)
  expect(await readFile(join(mirror, 'public/index', HULL), 'utf8')).toBe(old)
  expect(existsSync(join(mirror, 'state/evidence', `${deck}.crate`))).toBe(true)
  const status = (await expectExit(0, 'status', '--mirror', mirror, '--json')).json()
  const reasons = status['held'] as Record<string, { reason: string }>
  expect(Object.keys(reasons).sort()).toEqual([HULL, DECK])
  expect(reasons[HULL]?.reason).toContain('status 403')
  expect(reasons[DECK]?.reason).toContain('where the index says')
  const said = await expectExit(0, 'status', '--mirror', mirror)
  expect(said.stdout).toContain(`held       ${HULL}`)
  const verified = await expectExit(0, 'verify', 'ferry-hull@1.0.0', '--mirror', mirror)
  expect(verified.stderr).toContain('ferry-hull is held')

  // upstream moves on while they are held, and removes one of them
  await rm(registry.at(`plain/index/${DECK}`))
  const lookout = await registry.publish('fe/rr/ferry-lookout', 'ferry-lookout', '0.2.0')
  await registry.sign()
  await expectExit(3, 'sync', '--mirror', mirror)
  const later = await contents(join(mirror, 'public'))
  expect(later[artifactAt('fe/rr/ferry-lookout', lookout)]).toBe(lookout)
  expect(later[`index/${DECK}`]).toBeUndefined()
  expect(later[`index/${HULL}`]).toBe(shown[`index/${HULL}`])
  const one = (await crateferry('status', '--mirror', mirror, '--json')).json()
  expect(Object.keys(one['held'] as object)).toEqual([HULL])

  upstream.behave()
  await expectExit(0, 'sync', '--mirror', mirror)
  const healed = await contents(join(mirror, 'public'))
  expect(healed[artifactAt(HULL, hull)]).toBe(hull)
  expect(existsSync(join(mirror, 'state/held.json'))).toBe(false)
  await expectExit(0, 'sync', '--mirror', mirror)
})

test('a crate that is held from its first day, in a folder of its own, keeps nobody waiting', {
  timeout: 60_000,
}, async ({ registry }) => {
  const folder = registry.at('plain/index/ne/wc')
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'newcomer'), 'not JSON\n')
  await registry.publish(HULL, 'ferry-hull', '3.0.0')
  const signed = await registry.sign(3)
  expect(signed.stdout).toContain('1 held')
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  await expectExit(0, 'sync', '--mirror', mirror)
  expect(await readFile(join(mirror, 'public/index', HULL), 'utf8')).toContain('"3.0.0"')
  await expectExit(0, 'verify', '--mirror', mirror)
})

test('an upstream that dies in mid-sync holds nothing and publishes nothing; the next run goes on', {
  timeout: 90_000,
}, async ({ registry }) => {
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  await expectExit(0, 'sync', '--mirror', mirror)
  await registry.publish(HULL, 'ferry-hull', '3.0.0')
  await registry.publish('3/f/fry', 'fry', '0.3.0')
  await registry.sign()
  upstream.misbehave(/\.crate$/, { kind: 'close' })
  upstream.misbehave(/^\/index\//, { kind: 'close' }, { skip: 1 })
  const before = await contents(join(mirror, 'public'))
  const ended = await expectExit(3, 'sync', '--mirror', mirror, '--quiet')
  expect(ended.stderr.trimEnd().split('\n')).toHaveLength(1)
  expect(ended.stderr).toContain('is done for this run')
  const { index: _, ...status } = (await crateferry('status', '--mirror', mirror, '--json')).json()
  expect(status).toMatchObject({ published: { n: 1 }, held: {} })
  for (const [file, checksum] of Object.entries(before)) {
    expect((await contents(join(mirror, 'public')))[file]).toBe(checksum)
  }
  upstream.behave()
  const next = await expectExit(0, 'sync', '--mirror', mirror, '--json')
  expect(next.json()).toMatchObject({ outcome: 'published', held: 0 })
  expect(await contents(join(mirror, 'public/index'))).toMatchObject(
    await contents(join(registry.public, 'index')),
  )
})

test('a checksum that would change is held with exit 17 and never reaches a mirror further down', {
  timeout: 60_000,
}, async ({ registry }) => {
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  await expectExit(0, 'sync', '--mirror', mirror)
  await registry.edit(HULL, lines => lines.filter(line => !line.includes('"vers":"1.0.0"')))
  await registry.publish(HULL, 'ferry-hull', '1.0.0')
  const old = await readFile(join(mirror, 'public/index', HULL), 'utf8')
  expect((await registry.sign(17)).stderr).toContain('rollback')
  await expectExit(0, 'sync', '--mirror', mirror)
  expect(await readFile(join(mirror, 'public/index', HULL), 'utf8')).toBe(old)
})
