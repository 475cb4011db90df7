import { existsSync } from 'node:fs'
import { appendFile, copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
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
const timeout = 90_000

async function configure(mirror: string, from: string, to: string): Promise<void> {
  const file = join(mirror, 'crateferry.toml')
  const text = await readFile(file, 'utf8')
  expect(text).toContain(from)
  await writeFile(file, text.replace(from, to))
}

async function status(mirror: string): Promise<Record<string, unknown>> {
  return (await expectExit(0, 'status', '--mirror', mirror, '--json')).json()
}

async function lastRun(mirror: string): Promise<Record<string, unknown>> {
  const lines = (await readFile(join(mirror, 'state/runs.jsonl'), 'utf8')).trimEnd().split('\n')
  return JSON.parse(lines.at(-1) ?? '') as Record<string, unknown>
}

/** Moves a record of two hours into the past, in each file that holds it. */
async function age(mirror: string, n: number, first: string): Promise<void> {
  const earlier = new Date(Date.parse(first) - 7_200_000).toISOString().replace('.000', '')
  for (const name of ['published', `snapshots/${n}.json`, 'absent.json']) {
    const file = join(mirror, 'state', name)
    const text = await readFile(file, 'utf8')
    await writeFile(file, text.replace(`"first":"${first}"`, `"first":"${earlier}"`))
  }
}

test('what its origin does not have holds its crate, until it was missed twice, an hour apart', {
  timeout,
}, async ({ registry }) => {
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  await configure(mirror, 'origin = false', 'origin = true')
  const hull = await registry.publish(HULL, 'ferry-hull', '3.0.0')
  await registry.sign()
  upstream.misbehave(new RegExp(hull), { kind: 'status', status: 404 })
  await expectExit(3, 'sync', '--mirror', mirror)
  await expectExit(3, 'sync', '--mirror', mirror)
  const missed = await status(mirror)
  const absent = missed['absent'] as Record<string, { first: string; status: number }>
  expect(absent).toMatchObject({ [hull]: { crate: 'ferry-hull', version: '3.0.0', status: 404 } })
  expect(Object.keys(missed['held'] as object)).toEqual([HULL])
  expect(existsSync(join(mirror, 'public/index', HULL))).toBe(false)

  const { n } = missed['published'] as { n: number }
  await age(mirror, n, absent[hull]?.first ?? '')
  const believed = await expectExit(0, 'sync', '--mirror', mirror, '--json')
  expect(believed.json()).toMatchObject({ held: 0, absent: 1 })
  expect(await readFile(join(mirror, 'public/index', HULL), 'utf8')).toContain(hull)
  await expectExit(0, 'verify', '--mirror', mirror)
  expect((await expectExit(0, 'status', '--mirror', mirror)).stdout).toContain('ferry-hull@3.0.0')
})

test('another mirror is never believed that something is absent, but for so many as are accepted', {
  timeout,
}, async ({ registry }) => {
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  const hull = await registry.publish(HULL, 'ferry-hull', '3.0.0')
  await registry.sign()
  upstream.misbehave(new RegExp(hull), { kind: 'status', status: 404 })
  await expectExit(3, 'sync', '--mirror', mirror)
  expect(await status(mirror)).toMatchObject({ absent: {} })
  await expectExit(64, 'sync', '--mirror', mirror, '--accept-absent', '1')
  const why = ['--reason', 'upstream lost it']
  await expectExit(0, 'sync', '--mirror', mirror, '--accept-absent', '1', ...why)
  expect(await status(mirror)).toMatchObject({ held: {}, absent: { [hull]: { accepted: true } } })
  expect(JSON.stringify(await lastRun(mirror))).toContain('upstream lost it')

  upstream.behave()
  await registry.publish('3/f/fry', 'fry', '0.3.0')
  await registry.sign()
  await expectExit(0, 'sync', '--mirror', mirror)
  await expectExit(0, 'verify', '--mirror', mirror)
})

test('a pass that would remove too much changes nothing, exit 17, until just that is accepted', {
  timeout,
}, async ({ registry }) => {
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  await configure(mirror, '[guard]', '[guard]\nremoval-percent = 0\nremoval-crates = 1')
  await expectExit(0, 'sync', '--mirror', mirror)
  await registry.remove('1/f')
  await registry.remove('3/f/fry')
  await registry.sign()
  const before = await contents(join(mirror, 'public'))
  const stopped = await expectExit(17, 'sync', '--mirror', mirror, '--quiet')
  expect(stopped.stderr).toMatch(
    /would remove 2 of 11 crates.*--accept-removals 2 --reason TEXT\n$/,
  )
  const guarded = await contents(join(mirror, 'public'))
  for (const file of Object.keys(before)) expect(guarded[file], file).toBe(before[file])
  await expectExit(17, 'sync', '--mirror', mirror, '--accept-removals', '1', '--reason', 'one')
  await expectExit(0, 'sync', '--mirror', mirror, '--accept-removals', '2', '--reason', 'both')
  expect(existsSync(join(mirror, 'public/index/1/f'))).toBe(false)
  expect(JSON.stringify(await lastRun(mirror))).toContain('both')
})

test('a signed change of a published checksum is held with exit 17, until its crate is accepted', {
  timeout,
}, async ({ registry }) => {
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  await expectExit(0, 'sync', '--mirror', mirror)
  const old = await checksumOf(join(mirror, 'public/index'), HULL, '1.0.0')

  // the same keys sign another history, as somebody who took them would
  await registry.edit(HULL, lines => lines.filter(line => !line.includes('"vers":"1.0.0"')))
  const forged = await registry.publish(HULL, 'ferry-hull', '1.0.0')
  const other = [registry.at('other'), '--from', registry.at('plain')]
  await expectExit(0, 'upstream', ...other, '--keys', registry.at('repository.keys'))
  await registry.publish('3/f/fry', 'fry', '0.3.0')
  await expectExit(0, 'upstream', ...other, '--keys', registry.at('repository.keys'))
  upstream.folder = registry.at('other/public')

  const alarm = await expectExit(17, 'sync', '--mirror', mirror, '--json')
  expect(alarm.json()).toMatchObject({ rollbacks: [HULL], held: 1 })
  expect(await checksumOf(join(mirror, 'public/index'), HULL, '1.0.0')).toBe(old)
  expect(await readFile(join(mirror, 'public/index/3/f/fry'), 'utf8')).toContain('0.3.0')
  const accept = ['--accept-changed', 'ferry-hull', '--reason', 'the author asked']
  await expectExit(0, 'sync', '--mirror', mirror, ...accept)
  expect(await checksumOf(join(mirror, 'public/index'), HULL, '1.0.0')).toBe(forged)
  const shown = await contents(join(mirror, 'public'))
  expect(shown[artifactAt(HULL, old)]).toBe(old)
  expect(shown[artifactAt(HULL, forged)]).toBe(forged)
})

test('a byte limit stops a run, exit 3; the next one asks for nothing that came', {
  timeout,
}, async ({ registry }) => {
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  const stopped = await expectExit(3, 'sync', '--mirror', mirror, '--limit-bytes', '2000')
  expect(stopped.stderr).toContain('the byte limit of this run is reached')
  const came = Object.keys(await contents(join(mirror, 'public/crates')))
  expect(came.length).toBeGreaterThan(0)
  expect(came.length).toBeLessThan(19)
  upstream.requests.clear()
  await expectExit(0, 'sync', '--mirror', mirror)
  const asked = upstream.requests.map(({ path }) => path.replace('/crates/', ''))
  expect(asked.filter(path => came.includes(path))).toEqual([])
  expect(Object.keys(await contents(join(mirror, 'public/crates')))).toHaveLength(19)
})

test('bytes that three crates name come once and stand under each prefix that names them', {
  timeout,
}, async ({ registry }) => {
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  await expectExit(0, 'sync', '--mirror', mirror)
  const hull = await registry.publish(HULL, 'ferry-hull', '3.0.0')
  await twin(registry, 'fe/rr/ferry_deck', 'ferry_deck', hull)
  await twin(registry, '3/f/fry', 'fry', hull)
  await registry.sign()
  upstream.requests.clear()
  await expectExit(0, 'sync', '--mirror', mirror)
  expect(upstream.requests.count(/\.crate$/)).toBe(1)
  const shown = await contents(join(mirror, 'public'))
  expect(shown[artifactAt(HULL, hull)]).toBe(hull)
  expect(shown[artifactAt('3/f/fry', hull)]).toBe(hull)
  for (const path of [HULL, 'fe/rr/ferry_deck', '3/f/fry']) {
    expect(await readFile(join(mirror, 'public/index', path), 'utf8')).toContain(hull)
  }
  await expectExit(0, 'verify', '--mirror', mirror)
})

test('bytes that two crates name and nobody has hold them both', { timeout }, async ({
  registry,
}) => {
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  const hull = await registry.publish(HULL, 'ferry-hull', '3.0.0')
  await twin(registry, '3/f/fry', 'fry', hull)
  await registry.sign()
  upstream.misbehave(new RegExp(hull), { kind: 'status', status: 403 })
  await expectExit(3, 'sync', '--mirror', mirror)
  expect(Object.keys((await status(mirror))['held'] as object).sort()).toEqual(['3/f/fry', HULL])
})

/** Version 9.0.0 of a crate, of the very bytes of ferry-hull 3.0.0. */
async function twin(registry: Registry, path: string, name: string, cksum: string): Promise<void> {
  const crates = registry.at('plain/crates')
  await mkdir(join(crates, name), { recursive: true })
  const hull = join(crates, 'ferry-hull/ferry-hull-3.0.0.crate')
  await copyFile(hull, join(crates, name, `${name}-9.0.0.crate`))
  const fields = { name, vers: '9.0.0', deps: [], cksum, features: {}, yanked: false }
  const file = registry.at(`plain/index/${path}`)
  await mkdir(dirname(file), { recursive: true })
  await appendFile(file, `${JSON.stringify(fields)}\n`)
}

test('a dry run says what would come and go, and what is shown stays as it is', {
  timeout,
}, async ({ registry }) => {
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  await expectExit(0, 'sync', '--mirror', mirror)
  await registry.publish(HULL, 'ferry-hull', '3.0.0')
  await registry.remove('1/f')
  await registry.sign()
  upstream.requests.clear()
  const before = await contents(join(mirror, 'public'))
  const dry = await crateferry('sync', '--mirror', mirror, '--dry-run')
  expect(dry.stdout).toBe(
    'would bring 2 crates up to date and fetch 1 artifacts, about 180 KB\n' +
      'would no longer name 1 versions, 1 crates among them\n',
  )
  expect(upstream.requests.count(/\.crate$/)).toBe(0)
  const after = await contents(join(mirror, 'public'))
  for (const file of Object.keys(before)) expect(after[file], file).toBe(before[file])
  expect(await status(mirror)).toMatchObject({ published: { n: 1 } })
})
