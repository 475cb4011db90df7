import { describe, expect, test } from 'vitest'
import { WrongForm } from '../../src/upstream/faults.ts'
import { followed, parseBase, shown } from '../../src/upstream/url-policy.ts'
import { drained, TestClient } from './client.ts'
import { answer, ok, type RawServer, serveRaw } from './raw-server.ts'

/** A redirect must not turn us against a neighbour of ours, nor lead us off the upstream. */
const moved = (location: string, status = 302): Buffer =>
  answer(`${status} Moved`, ['content-length: 0', `location: ${location}`])

async function fetched(client: TestClient, server: RawServer, path: string): Promise<string> {
  const signal = AbortSignal.timeout(10_000)
  const bytes = await client.get(server.at(path), { kind: 'tile', bytesMax: 1_000, signal })
  return Buffer.from(bytes).toString()
}

test.for([301, 302, 303, 307, 308])('status %i is followed on the same host', async status => {
  await using server = await serveRaw((socket, { path }) => {
    socket.write(path === '/a/b' ? moved('../c?sig=1', status) : ok(path))
  })
  await using client = new TestClient()
  expect(await fetched(client, server, '/a/b')).toBe('/c?sig=1')
})

test('a range goes with its redirect', async () => {
  await using server = await serveRaw((socket, { path, range }) => {
    const range0 = ['content-length: 40', 'content-range: bytes 60-99/100']
    if (path === '/a') socket.write(moved('/b'))
    else socket.write(range === undefined ? ok('whole') : answer('206 P', range0, Buffer.alloc(40)))
  })
  await using client = new TestClient()
  const signal = AbortSignal.timeout(10_000)
  const body = await drained(await client.artifact(server.at('/a'), { offset: 60, signal }))
  expect(body).toMatchObject({ offset: 60, error: undefined })
  expect(body.bytes).toHaveLength(40)
  expect(server.requests.map(({ range }) => range)).toEqual(['bytes=60-', 'bytes=60-'])
})

test('five redirects are followed, a sixth is refused, and a loop ends so', async () => {
  await using server = await serveRaw((socket, { path }) => {
    const left = Number(path.slice(1))
    socket.write(left === 0 ? ok('there') : moved(left > 90 ? path : `/${left - 1}`))
  })
  await using client = new TestClient()
  expect(await fetched(client, server, '/5')).toBe('there')
  await expect(fetched(client, server, '/6')).rejects.toThrow(
    `${server.origin}/6: more than 5 redirects`,
  )
  server.requests.length = 0
  await expect(fetched(client, server, '/99')).rejects.toBeInstanceOf(WrongForm)
  expect(server.requests).toHaveLength(6)
})

test('another host is followed only where it is on the list', async () => {
  await using other = await serveRaw(socket => socket.write(ok('other')))
  await using server = await serveRaw(socket => socket.write(moved(`${other.origin}/x`)))
  await using strict = new TestClient()
  await expect(fetched(strict, server, '/')).rejects.toThrow(
    `${server.origin}/: redirect to "${other.host}" refused: the host is not on the list of redirect-hosts`,
  )
  expect(other.requests).toHaveLength(0)
  expect(server.requests).toHaveLength(1)
  await using client = new TestClient({ redirectHosts: [other.host] })
  expect(await fetched(client, server, '/')).toBe('other')
})

test('a redirect without a location, or with two, is refused', async () => {
  await using server = await serveRaw((socket, { path }) => {
    const locations = path === '/none' ? [] : ['location: /a', 'location: /b']
    socket.write(answer('302 Moved', ['content-length: 0', ...locations]))
  })
  await using client = new TestClient()
  for (const path of ['/none', '/two']) {
    await expect(fetched(client, server, path)).rejects.toThrow('status 302 without one location')
  }
})

describe('where a redirect may lead', () => {
  const home = parseBase('https://crates.example/mirror')
  const policy = { home, hosts: ['cdn.example', 'cdn.example:8443'] }

  test.for<[string, string, string]>([
    ['../x', 'https://crates.example', '/x'],
    ['/x?y=z', 'https://crates.example', '/x?y=z'],
    ['//cdn.example/x', 'https://cdn.example', '/x'],
    ['https://cdn.example:8443/x', 'https://cdn.example:8443', '/x'],
    ['https://CRATES.example:443/x#part', 'https://crates.example', '/x'],
  ])('%s is followed', ([location, origin, path]) => {
    expect(followed(home, location, policy)).toEqual({ origin, path })
  })

  test.for<[string, RegExp]>([
    [
      'http://crates.example/x',
      /redirect to "crates\.example" refused: it leads from https to http/,
    ],
    ['https://169.254.169.254/latest', /redirect to "169\.254\.169\.254" refused: the host is not/],
    ['https://crates.example:8443/x', /not on the list/],
    ['https://crates.example.evil.example/', /not on the list/],
    ['https://cdn.example@evil.example/', /user info/],
    [
      'https://user:secret@crates.example/x',
      /redirect to "crates\.example" refused: it has user info/,
    ],
    ['file:///etc/passwd', /redirect to "file:" refused: only http and https/],
    ['javascript:alert(1)', /only http and https/],
    ['https://[', /it is not a URL/],
    ['https://\u001b[31m', /redirect to "https:\/\/\\u001b\[31m" refused: it is not a URL/],
  ])('%j is refused', ([location, message]) => {
    expect(() => followed(home, location, policy)).toThrow(WrongForm)
    expect(() => followed(home, location, policy)).toThrow(message)
    expect(() => followed(home, location, policy)).not.toThrow(/secret/)
  })

  test('from a host on the list the upstream may be returned to, not a third one', () => {
    const from = { origin: 'https://cdn.example', path: '/x' }
    expect(followed(from, 'https://crates.example/y', policy).origin).toBe(home.origin)
    expect(() => followed(from, 'https://third.example/y', policy)).toThrow(WrongForm)
  })
})

test.for<[string, string]>([
  ['https://crates.example', 'https://crates.example/'],
  ['http://127.0.0.1:8377/a/b', 'http://127.0.0.1:8377/a/b/'],
  ['HTTPS://Crates.Example:443/a/../b/', 'https://crates.example/b/'],
])('the base URL %s is read as %s', ([text, expected]) => {
  const { origin, path } = parseBase(text)
  expect(`${origin}${path}`).toBe(expected)
})

test.for([
  'ftp://crates.example/',
  'crates.example',
  '',
  'https://user:secret@crates.example/',
  'https://secret@crates.example/',
  'https://crates.example/?token=secret',
  'https://crates.example/#secret',
])('the base URL %j is wrong usage, and no secret is shown', text => {
  expect(() => parseBase(text)).toThrow(expect.objectContaining({ code: 'usage' }))
  expect(() => parseBase(text)).not.toThrow(/secret/)
})

test('messages show no query, and no path without end', () => {
  expect(shown({ origin: 'https://a.example', path: '/x?sig=secret' })).toBe('https://a.example/x')
  expect(shown({ origin: 'https://a.example', path: `/${'x'.repeat(999)}` })).toHaveLength(301)
})
