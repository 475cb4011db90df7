import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { crateferry, expectExit, Registry } from '../crateferry.ts'
import { serveFolder } from '../upstream.ts'

/** One line that says what and where, and no stack trace. */
async function refused(exit: number, pattern: RegExp, ...args: string[]): Promise<void> {
  const { stderr } = await expectExit(exit, '--quiet', ...args)
  expect(stderr).toMatch(pattern)
  expect(stderr.trimEnd().split('\n').length, stderr).toBeLessThanOrEqual(2)
  expect(stderr).not.toContain('    at ')
}

test('wrong usage is exit 64 with one line', { timeout: 60_000 }, async () => {
  await refused(64, /unknown option '--dry-rum'/, 'sync', '--dry-rum')
  await refused(64, /unknown command/, 'snyc')
  await refused(64, /whole number/, 'sync', '--limit-bytes', '-1')
  await refused(64, /give either --root FILE, or --observed/, 'init', 'x')
  await refused(64, /not CRATE or CRATE@VERSION/, 'verify', '../x')
  const help = await expectExit(0, 'sync', '--help')
  expect(help.stdout).toMatch(/Example:[\s\S]*Exit codes:[\s\S]* 30 {2}busy/)
})

test('what is no mirror, or may not become one, is refused and left alone', {
  timeout: 60_000,
}, async () => {
  await using registry = await Registry.make()
  await using upstream = await serveFolder(registry.public)
  const url = upstream.url
  const full = registry.at('full')
  mkdirSync(full)
  await refused(10, /is no mirror/, 'status', '--mirror', full)
  writeFileSync(join(full, 'mine'), 'x')
  const init = ['init', full, '--upstream', url, '--root']
  await refused(64, /not empty and has no mirror marker/, ...init, registry.root)
  expect(readFileSync(join(full, 'mine'), 'utf8')).toBe('x')

  const root = readFileSync(registry.root, 'utf8')
  const bad = registry.at('bad.json')
  const to = ['init', registry.at('new'), '--upstream', url, '--root', bad]
  writeFileSync(bad, '<html>')
  await refused(16, /not JSON/, ...to)
  writeFileSync(bad, root.replace('"version":1', '"version":2'))
  await refused(11, /signed by 0 of 2/, ...to)
  await refused(64, /cannot read the root/, 'init', registry.at('new'), '--root', registry.at('no'))
  const keys = registry.at('repository/public/keys')
  const from = ['upstream', registry.at('repository'), '--from', registry.at('plain'), '--keys']
  await refused(64, /where all can read/, ...from, keys)
  await refused(64, /without its keys/, ...from, registry.at('elsewhere'))
})

test('a configuration that weakens the pinned trust, or is broken, is exit 64', {
  timeout: 60_000,
}, async () => {
  await using registry = await Registry.make()
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  const file = join(mirror, 'crateferry.toml')
  const good = readFileSync(file, 'utf8')
  writeFileSync(file, good.replace('[upstream]', '[upstream]\ntrsut = "tuf"'))
  await refused(64, /did you mean "upstream.trust"/, 'sync', '--mirror', mirror)
  writeFileSync(file, '[upstream]\ntrust = "observed"\n')
  await refused(64, /pinned root/, 'sync', '--mirror', mirror)
  writeFileSync(file, '[serve]\n')
  await refused(64, /filled by bundles only/, 'sync', '--mirror', mirror)
  const said = await crateferry('sync', '--mirror', mirror, '--json')
  expect(said.json()).toMatchObject({ ok: false, exit: 64 })
  writeFileSync(file, good)
  await expectExit(0, 'sync', '--mirror', mirror)
})

test('an upstream with older or damaged metadata changes nothing: exit 13, 11, 16', {
  timeout: 90_000,
}, async () => {
  await using registry = await Registry.make()
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  const old = readFileSync(join(registry.public, 'tuf/timestamp.json'))
  await registry.publish('3/f/fry', 'fry', '0.9.0')
  await registry.sign()
  await expectExit(0, 'sync', '--mirror', mirror)
  const timestamp = join(registry.public, 'tuf/timestamp.json')
  const good = readFileSync(timestamp)
  writeFileSync(timestamp, old)
  await refused(13, /version 1, accepted before: 2/, 'sync', '--mirror', mirror)
  writeFileSync(timestamp, good.toString().replace('"version":2', '"version":3'))
  await refused(11, /signed by 0 of 1/, 'sync', '--mirror', mirror)
  writeFileSync(timestamp, '<html>a captive portal</html>')
  await refused(16, /begins "<html>a captive/, 'sync', '--mirror', mirror)
  writeFileSync(timestamp, good)
  await expectExit(0, 'sync', '--mirror', mirror)
})
