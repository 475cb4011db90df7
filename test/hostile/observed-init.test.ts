import { existsSync } from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test as base, expect } from 'vitest'
import { initCommand } from '../../src/cli/init.ts'
import { runHere, type Told } from '../observing.ts'
import { answer, ok, serveRaw } from '../upstream/raw-server.ts'

/** `init --observed` reads one file, and nothing of it may send the mirror elsewhere. */

const test = base.extend('folder', async ({}, { onCleanup }) => {
  const folder = await mkdtempDisposable(join(tmpdir(), 'crateferry-init-'))
  onCleanup(() => folder.remove())
  return folder.path
})

const CONTACT = 'test@site.example'

async function init(folder: string, options: Parameters<typeof initCommand>[2]): Promise<Told> {
  const mirror = join(folder, 'mirror')
  return await runHere(context => initCommand(context, mirror, { observed: true, ...options }), {
    cwd: folder,
    mirror,
    now: () => new Date(),
  })
}

test.for<[string, string, number, RegExp]>([
  ['nothing', '{}', 16, /config\.json has no "dl"/],
  ['a page', '<html>', 16, /config\.json/],
  ['another host', '{"dl":"https://elsewhere.example/crates"}', 16, /"elsewhere\.example"/],
  ['a file', '{"dl":"file:///etc"}', 16, /file:/],
  ['a password', '{"dl":"http://user:geheim@127.0.0.1/crates"}', 16, /user/],
  ['a host within this one', '{"dl":"http://127.0.0.1.elsewhere.example/crates"}', 16, /elsewhere/],
])(
  'a dl that is %s is refused, and no mirror is made',
  async ([, config, exit, says], { folder }) => {
    await using server = await serveRaw(socket => void socket.write(ok(config)))
    const told = await init(folder, { upstream: `${server.origin}/index`, contact: CONTACT })
    expect(told.said.join('\n')).toMatch(says)
    expect(told.exit).toBe(exit)
    expect(told.said.join('\n')).not.toContain('geheim')
    expect(existsSync(join(folder, 'mirror'))).toBe(false)
  },
)

test('a dl on a host that the operator named is taken, and stands in the configuration', async ({
  folder,
}) => {
  const dl = 'https://static.elsewhere.example/crates'
  await using server = await serveRaw(socket => void socket.write(ok(JSON.stringify({ dl }))))
  const allowHost = ['static.elsewhere.example']
  const options = { upstream: `${server.origin}/index/`, contact: CONTACT, allowHost }
  expect(await init(folder, options)).toMatchObject({
    exit: 0,
    json: { trust: 'observed', index: `${server.origin}/index`, artifacts: dl },
  })
  expect(server.requests.map(({ path }) => path)).toEqual(['/index/config.json'])
})

test('a downloads host that is named, but not over TLS, is refused', async ({ folder }) => {
  const dl = 'http://static.elsewhere.example/crates'
  await using server = await serveRaw(socket => void socket.write(ok(JSON.stringify({ dl }))))
  const allowHost = ['static.elsewhere.example']
  const told = await init(folder, { upstream: server.origin, contact: CONTACT, allowHost })
  expect(told.said.join()).toMatch(/is not https: what nobody signs is believed over TLS only/)
  expect(told.exit).toBe(64)
})

test.for<[string, Parameters<typeof initCommand>[2], RegExp]>([
  ['without a contact', {}, /give --contact/],
  ['an index over plain http', { upstream: 'http://index.example', contact: CONTACT }, /not https/],
  ['an index that is a file', { upstream: 'file:///srv/index', contact: CONTACT }, /not https/],
  [
    'a host that only begins like this machine',
    { upstream: 'http://localhost.elsewhere.example', contact: CONTACT },
    /not https/,
  ],
  ['a contact of two lines', { contact: 'a@b.example\r\nX: y' }, /contact/],
])('wrong usage, exit 64, nobody is asked: %s', async ([, options, says], { folder }) => {
  const told = await init(folder, options)
  expect(told.said.join('\n')).toMatch(says)
  expect(told.exit).toBe(64)
  expect(existsSync(join(folder, 'mirror'))).toBe(false)
})

test('an index that does not answer is exit 3, and no mirror is made', async ({ folder }) => {
  await using server = await serveRaw(
    socket => void socket.write(answer('403 Forbidden', ['content-length: 0'])),
  )
  const told = await init(folder, { upstream: server.origin, contact: CONTACT })
  expect(told.said.join()).toMatch(/config\.json: not there \(status 403\)/)
  expect(told.exit).toBe(3)
  expect(existsSync(join(folder, 'mirror'))).toBe(false)
})
