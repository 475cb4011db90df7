import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test as base, expect } from 'vitest'
import { initCommand } from '../../src/cli/init.ts'
import { syncCommand } from '../../src/cli/sync.ts'
import { verifyCommand } from '../../src/cli/verify.ts'
import { expectExit, Registry } from '../crateferry.ts'
import { CratesIo } from '../crates-io.ts'
import { runHere, type Told } from '../observing.ts'
import { TestClient } from '../upstream/client.ts'
import { answer, ok, serveRaw } from '../upstream/raw-server.ts'
import { serveFolder } from '../upstream.ts'

const TOKEN = 'Bearer q7-secret'

const test = base
  .extend('folder', async ({}, { onCleanup }) => {
    const folder = await mkdtempDisposable(join(tmpdir(), 'crateferry-token-'))
    onCleanup(() => folder.remove())
    await writeFile(join(folder.path, 'token'), `${TOKEN}\n`)
    return folder.path
  })
  .extend('registry', async ({}, { onCleanup }) => {
    const registry = await CratesIo.start({ token: TOKEN })
    onCleanup(() => registry[Symbol.asyncDispose]())
    registry.publish('inside', '1.0.0')
    registry.publish('inside', '1.1.0')
    return registry
  })

async function uncomment(mirror: string, key: string): Promise<void> {
  const file = join(mirror, 'crateferry.toml')
  const text = await readFile(file, 'utf8')
  expect(text).toContain(`# ${key} = `)
  await writeFile(file, text.replace(`# ${key} = `, `${key} = `))
}

test('a registry that asks for a token is mirrored with it, and not without', async ({
  folder,
  registry,
}) => {
  const mirror = join(folder, 'mirror')
  let hours = 0
  const now = (): Date => new Date(Date.now() + hours * 3_600_000)
  const run = (command: Parameters<typeof runHere>[0]): Promise<Told> =>
    runHere(command, { cwd: folder, mirror, now })
  const options = { observed: true, upstream: registry.index, contact: 'test@site.example' }

  const refused = await run(context => initCommand(context, mirror, options))
  expect(refused.exit).toBe(3)
  expect(refused.said.join()).toMatch(/status 401: it wants a token \(upstream\.token-file\)/)
  const begun = await run(context =>
    initCommand(context, mirror, { ...options, tokenFile: 'token' }),
  )
  expect(begun.said).toEqual([])
  await writeFile(join(mirror, 'names.txt'), 'inside\n')
  await uncomment(mirror, 'names-file')

  const synced = await run(context => syncCommand(context, {}))
  expect(synced, JSON.stringify(synced)).toMatchObject({ exit: 0, json: { outcome: 'published' } })
  expect((await run(context => verifyCommand(context, [], {}))).exit).toBe(0)
  expect(registry.requests.count(/\/crates\/inside\/.*\/download/)).toBe(2)
  expect(JSON.stringify([begun, synced])).not.toContain('secret')

  await writeFile(join(folder, 'token'), 'another')
  // what was looked at in the second in which a sweep begins counts for it
  hours = 1
  const expired = await run(context => syncCommand(context, { sweep: true }))
  expect(expired.exit).toBe(3)
  expect(expired.said.join()).toMatch(/status 401: it wants a token .* or another one/)
})

test('a token goes to the hosts of the configuration, and to none that they redirect to', async () => {
  await using other = await serveRaw(socket => socket.write(ok('other')))
  await using home = await serveRaw((socket, { path }) => {
    const location = `location: ${path === '/away' ? `${other.origin}/x` : '/there'}`
    socket.write(
      path === '/there' ? ok('home') : answer('302 Moved', ['content-length: 0', location]),
    )
  })
  const token = { value: TOKEN, origins: [home.origin] }
  await using client = new TestClient({ token, redirectHosts: [other.host] })
  const request = { kind: 'tile', bytesMax: 100, signal: AbortSignal.timeout(10_000) } as const
  for (const path of ['/away', '/near']) await client.get(home.at(path), request)
  const told = (head: string): boolean => /^authorization: Bearer q7-secret\r$/im.test(head)
  expect(home.requests.map(({ head }) => told(head))).toEqual([true, true, true])
  expect(other.requests.map(({ head }) => /authorization|secret/i.test(head))).toEqual([false])
})

test.for<[string, string, RegExp]>([
  ['two lines', 'one\ntwo', /is not one line of at most 4,096 plain characters/],
  ['a control character', 'secret\u0000', /is not one line/],
  ['nothing', '\n', /is not one line/],
  ['more than a header holds', 's'.repeat(5000), /is not one line/],
])('a token file with %s is refused, and not shown', async ([, text, says]) => {
  await using registry = await Registry.make()
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  await writeFile(join(mirror, 'token'), text)
  await uncomment(mirror, 'token-file')
  const { stderr } = await expectExit(64, 'sync', '--mirror', mirror)
  expect(stderr).toMatch(says)
  expect(stderr).not.toMatch(/secret|ssss|one two/)
})

test('a token is told over TLS only', async ({ folder }) => {
  await using registry = await Registry.make()
  const root = join(registry.public, 'tuf/1.root.json')
  const args = ['--root', root, '--token-file', join(folder, 'token')]
  const upstream = ['--upstream', 'http://mirror.example/']
  const { stderr } = await expectExit(64, 'init', registry.at('mirror'), ...args, ...upstream)
  expect(stderr).toContain('"http://mirror.example" is not https: a token is told over TLS only')
})
