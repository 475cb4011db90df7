import { execFile } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { contents, type Ended, expectExit, Registry } from '../crateferry.ts'
import { Site } from '../site.ts'
import { type LoopbackUpstream, serveFolder } from '../upstream.ts'

const HULL = 'fe/rr/ferry-hull'
const timeout = 90_000

/** A registry that is served, a mirror of it, and the keys of a site; each test signs a copy. */
let registry: Registry
let upstream: LoopbackUpstream
let healthy: string
let site: Site
let count = 0

beforeAll(async () => {
  registry = await Registry.make()
  upstream = await serveFolder(registry.public)
  healthy = await registry.mirror('healthy', upstream.url)
  await expectExit(0, 'sync', '--mirror', healthy)
  site = await Site.make(registry.at('keys'))
}, 90_000)

afterAll(async () => {
  await upstream[Symbol.asyncDispose]()
  await registry[Symbol.asyncDispose]()
})

function copy(of = healthy): string {
  count += 1
  const mirror = registry.at(`copy-${count}`)
  cpSync(of, mirror, { recursive: true })
  return mirror
}

async function refused(exit: number, pattern: RegExp, ...args: string[]): Promise<void> {
  const { stderr } = await expectExit(exit, '--quiet', ...args)
  expect(stderr).toMatch(pattern)
  expect(stderr.trimEnd().split('\n')).toHaveLength(1)
}

async function signed(mirror: string, ...options: string[]): Promise<Record<string, unknown>> {
  return (await expectExit(0, 'sign', '--mirror', mirror, '--json', ...options)).json()
}

async function siteStatus(mirror: string): Promise<Record<string, unknown>> {
  const status = (await expectExit(0, 'status', '--mirror', mirror, '--json')).json()
  return status['site'] as Record<string, unknown>
}

test("who pins a site's root follows what the site signs, from its mirror alone", {
  timeout,
}, async () => {
  const mirror = copy()
  const before = await contents(join(mirror, 'public'))
  site.configure(mirror)
  expect(await signed(mirror, '--root', site.root)).toMatchObject({
    outcome: 'signed',
    versions: { root: 1, targets: 1, snapshot: 1, timestamp: 1 },
  })
  const after = await contents(join(mirror, 'public'))
  const added = Object.keys(after).filter(file => before[file] === undefined)
  expect(added.sort()).toEqual(
    ['1.root', '1.snapshot', '1.targets', 'timestamp'].map(name => `site/${name}.json`),
  )
  expect(readFileSync(join(mirror, 'public/site/1.root.json'))).toEqual(readFileSync(site.root))
  await expectExit(0, 'verify', '--mirror', mirror)

  await using served = await serveFolder(join(mirror, 'public'))
  const below = registry.at('below')
  const made = await expectExit(
    0,
    'init',
    below,
    '--upstream',
    served.url,
    '--root',
    site.root,
    '--json',
  )
  expect(made.json()).toMatchObject({ chain: 'site', version: 1 })
  await expectExit(0, 'sync', '--mirror', below)
  await expectExit(0, 'verify', '--mirror', below)
  expect(readFileSync(join(below, 'public/tuf/1.root.json'))).toEqual(readFileSync(site.root))
  expect(served.requests.count(/^\/tuf\/.*\.json$/)).toBe(1)

  // upstream goes on, and nothing reaches those below before the site has signed it
  await registry.publish(HULL, 'ferry-hull', '3.0.0')
  await registry.sign()
  site.configure(mirror, { snapshot: 'env:NOT_SET' })
  const unsigned = await expectExit(64, 'sync', '--mirror', mirror)
  expect(unsigned.stdout).toContain('published snapshot 2')
  expect(unsigned.stderr).toContain('not signed: sign.snapshot: the variable NOT_SET is not set')
  await expectExit(0, 'verify', '--mirror', mirror)
  expect((await expectExit(0, 'status', '--mirror', mirror)).stdout).toContain('run sign')
  expect((await expectExit(0, 'sync', '--mirror', below)).stdout).toContain('nothing changed')
  site.configure(mirror)
  const later = await expectExit(0, 'sync', '--mirror', mirror)
  expect(later.stdout).toContain('nothing changed')
  expect(later.stdout).toContain('signed: targets 2, snapshot 2, timestamp 2')
  expect((await expectExit(0, 'sync', '--mirror', below)).stdout).toContain('published snapshot 2')
  await expectExit(0, 'verify', '--mirror', below)
  expect(readFileSync(join(below, 'public/index', HULL), 'utf8')).toContain('"vers":"3.0.0"')
  expect(await siteStatus(mirror)).toMatchObject({ versions: { targets: 2, timestamp: 2 } })
})

test('a sign that has nothing to do changes no byte and is exit 0', { timeout }, async () => {
  const mirror = copy()
  site.configure(mirror)
  await signed(mirror, '--root', site.root)
  const before = [
    await contents(join(mirror, 'public')),
    await contents(join(mirror, 'state/trust')),
  ]
  expect(await signed(mirror)).toMatchObject({ outcome: 'unchanged', ok: true })
  expect(await signed(mirror, '--root', site.root)).toMatchObject({ outcome: 'unchanged' })
  const after = [
    await contents(join(mirror, 'public')),
    await contents(join(mirror, 'state/trust')),
  ]
  expect(after).toEqual(before)
  const other = site.root.replace('1.root', 'other')
  await expectExit(0, 'root', 'new', other, ...site.rootOptions('3'))
  await refused(64, /none of the roots of this site/, 'sign', '--mirror', mirror, '--root', other)
})

test('whoever may not sign, or has nothing whole to sign, is told why and leaves nothing', {
  timeout,
}, async () => {
  const mirror = copy()
  const sign = ['sign', '--mirror', mirror]
  const file = `file:${site.key('alice')}`
  await refused(64, /has no \[sign\] keys/, ...sign)
  site.configure(mirror)
  await refused(64, /no root of its own yet: give one with --root/, ...sign)
  await refused(64, /cannot read the root/, ...sign, '--root', registry.at('none'))
  await refused(
    64,
    /the targets key .* is not one that root 1 lists/,
    ...sign,
    '--root',
    registry.root,
  )
  site.configure(mirror, { timestamp: file })
  await refused(64, /the timestamp key [0-9a-f]{64} is not one/, ...sign, '--root', site.root)
  site.configure(mirror, { timestamp: 'file:keys/none.key' })
  await refused(64, /sign\.timestamp: cannot read .*\/keys\/none\.key/, ...sign)
  expect(existsSync(join(mirror, 'state/trust/site'))).toBe(false)
  expect(existsSync(join(mirror, 'public/site'))).toBe(false)

  site.configure(mirror)
  const empty = await registry.mirror('empty', upstream.url)
  site.configure(empty)
  await refused(3, /nothing is published yet/, 'sign', '--mirror', empty, '--root', site.root)
  const hull = await registry.publish(HULL, 'ferry-hull', '4.0.0')
  await registry.sign()
  upstream.misbehave(new RegExp(hull), { kind: 'status', status: 404 })
  await expectExit(3, 'sync', '--mirror', mirror)
  await refused(3, /is not whole.*held: fe\/rr\/ferry-hull/, ...sign, '--root', site.root)
  upstream.behave()
  await expectExit(0, 'sync', '--mirror', mirror)
  expect(await signed(mirror, '--root', site.root)).toMatchObject({ outcome: 'signed' })
})

test('a tree that this mirror built is signed though a crate of it is held: it has the old entry', {
  timeout,
}, async () => {
  const hull = await registry.publish(HULL, 'ferry-hull', '5.0.0')
  rmSync(registry.at(`plain/crates/ferry-hull/ferry-hull-5.0.0.crate`))
  await registry.sign(3)
  const repository = registry.at('repository')
  site.configure(repository)
  expect(await signed(repository, '--root', site.root)).toMatchObject({ outcome: 'signed' })
  await expectExit(0, 'verify', '--mirror', repository)
  expect(readFileSync(join(registry.public, 'index', HULL), 'utf8')).not.toContain(hull)
})

test('keys come from files or from the environment, and never from public', {
  timeout,
}, async () => {
  const mirror = copy()
  const run = promisify(execFile)
  const sign = async (env: Record<string, string>): Promise<Partial<Ended> & { code?: number }> => {
    const args = ['bin/crateferry.js', 'sign', '--mirror', mirror, '--root', site.root]
    const options = { env: { ...process.env, NODE_OPTIONS: '', ...env } }
    return await run(process.execPath, args, options).catch(error => error)
  }
  const secret = readFileSync(site.key('targets'), 'utf8')
  site.configure(mirror, { targets: 'env:SITE_TARGETS_KEY' })
  const unset = await sign({})
  expect(unset).toMatchObject({ code: 64 })
  expect(unset.stderr).toContain('the variable SITE_TARGETS_KEY is not set')
  const torn = await sign({ SITE_TARGETS_KEY: secret.slice(0, -10) })
  expect(torn).toMatchObject({ code: 64 })
  expect(torn.stderr).not.toContain(secret.slice(-40, -12))
  expect(await sign({ SITE_TARGETS_KEY: secret })).toMatchObject({
    stdout: expect.stringContaining('signed: targets 1'),
  })

  const shown = join(mirror, 'public/keys')
  mkdirSync(shown)
  cpSync(site.key('targets'), join(shown, 'targets.key'))
  site.configure(mirror, { targets: 'file:public/keys/targets.key' })
  await refused(64, /where all can read/, 'sign', '--mirror', mirror)
  symlinkSync(join(shown, 'targets.key'), join(mirror, 'link.key'))
  site.configure(mirror, { targets: 'file:link.key' })
  await refused(64, /where all can read/, 'sign', '--mirror', mirror)
  await refused(64, /where all can read/, 'key', 'new', join(shown, 'new.key'))
  symlinkSync(shown, registry.at('innocent'))
  await refused(64, /where all can read/, 'key', 'new', registry.at('innocent/new.key'))
  expect(existsSync(join(shown, 'new.key'))).toBe(false)
})

test('a key file is readable by its owner alone, never replaced, and shows only its public half', {
  timeout,
}, async () => {
  const file = site.key('alice')
  const secret = (JSON.parse(readFileSync(file, 'utf8')) as { seed: string }).seed
  expect(statSync(file).mode & 0o777).toBe(0o600)
  await refused(64, /is there already/, 'key', 'new', file)
  const shown = await expectExit(0, 'key', 'show', file, '--json')
  expect(`${shown.stdout}${shown.stderr}`).not.toContain(secret)

  const half = site.key('half')
  writeFileSync(half, shown.stdout)
  expect((await expectExit(0, 'key', 'show', half, '--json')).stdout).toBe(shown.stdout)
  writeFileSync(half, shown.stdout.replace(/"keyid":"./, '"keyid":"x'))
  await refused(64, /its keyid is not that of its public key/, 'key', 'show', half)
  writeFileSync(half, 'x')
  await refused(64, /is not a key file/, 'key', 'show', half)
})

test('a root names its quorum, is signed on the spot, and is never replaced', {
  timeout,
}, async () => {
  const out = site.root.replace('1.root', 'second')
  await refused(64, /is there already/, 'root', 'new', site.root, ...site.rootOptions())
  await refused(
    64,
    /--threshold is 0, expected 1 to 3/,
    'root',
    'new',
    out,
    ...site.rootOptions('0'),
  )
  await refused(
    64,
    /--threshold is 4, expected 1 to 3/,
    'root',
    'new',
    out,
    ...site.rootOptions('4'),
  )
  const twice = [...site.rootOptions(), '--key', site.key('alice')]
  await refused(64, /one root key is given twice/, 'root', 'new', out, ...twice)
  const online = [...site.rootOptions(), '--targets', site.key('alice')]
  await refused(64, /the targets key is one of the root keys/, 'root', 'new', out, ...online)
  expect(existsSync(out)).toBe(false)

  const half = site.key('half')
  writeFileSync(half, (await expectExit(0, 'key', 'show', site.key('targets'), '--json')).stdout)
  const ofAlice = site.key('alice').replace('.key', '.pub.json')
  const withHalf = site.rootOptions().map(one => (one === site.key('alice') ? ofAlice : one))
  await refused(64, /is not a key file/, 'root', 'new', out, ...withHalf)
  const made = await expectExit(
    0,
    'root',
    'new',
    out,
    ...site.rootOptions(),
    '--targets',
    half,
    '--json',
  )
  const { threshold, keyids, sha256 } = made.json() as { [key: string]: unknown }
  expect(threshold).toBe(2)
  expect((keyids as { root: string[] }).root).toHaveLength(3)
  expect((await contents(join(out, '..')))['second.json']).toBe(sha256)
  const { signatures } = JSON.parse(readFileSync(out, 'utf8')) as { signatures: object[] }
  expect(signatures).toHaveLength(3)
})
