import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { test as base, describe, expect } from 'vitest'
import { isBypassed, parseProxy } from '../../src/upstream/proxy.ts'
import { makeCertificates } from './certificates.ts'
import { drained, TestClient } from './client.ts'
import { LoopbackProxy } from './forward-proxy.ts'
import { ok, serveRaw } from './raw-server.ts'

/** Sites that reach the world through a proxy only, and see what it says where it does not let them. */
const test = base
  .extend('certificates', { scope: 'file' }, makeCertificates)
  .extend('upstream', async ({ certificates, skip }, { onCleanup }) => {
    if (certificates === undefined) return skip('openssl is not here to make certificates')
    const seen: { path: string; headers: string }[] = []
    const server = createServer(certificates, ({ url = '', rawHeaders }, response) => {
      seen.push({ path: url, headers: rawHeaders.join('\n').toLowerCase() })
      response.end(`secret of ${url}`)
    })
    await new Promise<void>(listening => server.listen(0, '127.0.0.1', listening))
    onCleanup(() => {
      server.closeAllConnections()
      return server[Symbol.asyncDispose]()
    })
    const { port } = server.address() as AddressInfo
    return { origin: `https://127.0.0.1:${port}`, port, seen, ca: certificates.ca }
  })

const tile = (): { kind: 'tile'; bytesMax: number; signal: AbortSignal } => ({
  kind: 'tile',
  bytesMax: 1_000,
  signal: AbortSignal.timeout(10_000),
})

async function text(client: TestClient, origin: string, path = '/a'): Promise<string> {
  return Buffer.from(await client.get({ origin, path }, tile())).toString()
}

/** Why nothing came, in full: what a log would hold. */
async function failure(client: TestClient, origin: string): Promise<string> {
  const error = await client.get({ origin, path: '/a' }, tile()).catch(error => error)
  expect(error).toMatchObject({ code: 'incomplete' })
  const causes: string[] = []
  for (let one = error; one instanceof Error; one = one.cause) causes.push(String(one.stack))
  expect(causes.join('\n')).not.toMatch(/s3cret|czNjcmV0/)
  return error.message
}

describe('an https host', () => {
  test('is asked through a tunnel, its certificate checked by us', async ({ upstream }) => {
    await using proxy = await LoopbackProxy.start()
    await using client = new TestClient({ proxy: proxy.origin, ca: upstream.ca })
    const { signal } = tile()
    expect(await text(client, upstream.origin)).toBe('secret of /a')
    const place = { origin: upstream.origin, path: '/b.crate' }
    const { bytes } = await drained(await client.artifact(place, { offset: 0, signal }))
    expect(bytes.toString()).toBe('secret of /b.crate')
    const authority = `127.0.0.1:${upstream.port}`
    for (const one of proxy.requests) {
      expect(one).toEqual({
        method: 'CONNECT',
        target: authority,
        host: authority,
        authorization: undefined,
      })
    }
    expect(proxy.requests.length).toBeGreaterThan(0)
  })

  test('is asked over no more tunnels than connections are allowed, and they are kept', async ({
    upstream,
  }) => {
    await using proxy = await LoopbackProxy.start()
    await using client = new TestClient({ proxy: proxy.origin, ca: upstream.ca, connections: 2 })
    await Promise.all(Array.from({ length: 20 }, (_, i) => text(client, upstream.origin, `/${i}`)))
    expect(upstream.seen).toHaveLength(20)
    expect(proxy.requests).toHaveLength(2)
  })

  test('never hears of the proxy, its user or its password', async ({ upstream }) => {
    await using proxy = await LoopbackProxy.start({ credentials: 'us er:s3cret/@:' })
    const url = `http://us%20er:s3cret%2F%40%3A@${proxy.host}`
    await using client = new TestClient({ proxy: url, ca: upstream.ca })
    expect(await text(client, upstream.origin)).toBe('secret of /a')
    expect(upstream.seen[0]?.headers).not.toMatch(/proxy|s3cret/)
  })

  test('whose certificate is vouched for by nobody is not believed, tunnel or not', async ({
    upstream,
  }) => {
    await using proxy = await LoopbackProxy.start()
    for (const options of [{ proxy: proxy.origin }, {}]) {
      await using client = new TestClient(options)
      expect(await failure(client, upstream.origin)).toContain(
        `cannot connect to ${upstream.origin}: its certificate is not trusted (SELF_SIGNED_CERT_IN_CHAIN); give its CA as upstream.ca-file`,
      )
    }
    expect(upstream.seen).toEqual([])
  })

  test('is not believed for being trusted under another name', async ({ upstream }) => {
    await using client = new TestClient({ ca: upstream.ca })
    expect(await failure(client, `https://127.0.0.2:${upstream.port}`)).toMatch(
      /cannot connect to https:\/\/127\.0\.0\.2:\d+: (ERR_TLS_CERT_ALTNAME_INVALID|ECONNREFUSED)/,
    )
    expect(await failure(client, `https://LOCALHOST.:${upstream.port}`)).toContain('cannot connect')
    expect(await text(client, upstream.origin)).toBe('secret of /a')
  })
})

describe('an http host', () => {
  test('is asked in absolute form, so that a proxy with tunnels to 443 only will do', async () => {
    await using server = await serveRaw(socket => socket.write(ok('fine')))
    await using proxy = await LoopbackProxy.start({ credentials: 'user:s3cret', tunnelPort: 443 })
    await using client = new TestClient({ proxy: `http://user:s3cret@${proxy.host}` })
    expect(await text(client, server.origin, '/a?b=c')).toBe('fine')
    expect(proxy.requests).toEqual([
      {
        method: 'GET',
        target: `${server.origin}/a?b=c`,
        host: server.host,
        authorization: `Basic ${Buffer.from('user:s3cret').toString('base64')}`,
      },
    ])
    expect(server.requests[0]?.head).toContain('GET /a?b=c HTTP/1.1\r\n')
    expect(server.requests[0]?.head).not.toMatch(/proxy-authorization|s3cret/i)
  })
})

describe('the proxy', () => {
  test.for([407, 403, 502])(
    'that refuses with %i is named, and its password is not',
    async (status, { upstream }) => {
      await using proxy = await LoopbackProxy.start({ refuses: status })
      await using client = new TestClient({ proxy: `http://user:s3cret@${proxy.host}` })
      const authority = `127.0.0.1:${upstream.port}`
      expect(await failure(client, upstream.origin)).toContain(
        `the proxy ${proxy.origin} refused to connect to ${authority} (status ${status})`,
      )
      // a wrong password is not tried again: accounts get locked
      expect(proxy.requests).toHaveLength(status === 407 ? 1 : 3)
    },
  )

  test('that wants another password says so for http hosts too', async () => {
    await using server = await serveRaw(socket => socket.write(ok('fine')))
    await using proxy = await LoopbackProxy.start({ credentials: 'user:other' })
    for (const user of ['user:s3cret@', '']) {
      await using client = new TestClient({ proxy: `http://${user}${proxy.host}` })
      expect(await failure(client, server.origin)).toContain(
        `the proxy ${proxy.origin} refused to connect to ${server.host} (status 407)`,
      )
    }
    expect(server.requests).toHaveLength(0)
  })

  test('that is dead is named, and the host is not asked without it', async ({ upstream }) => {
    const proxy = await LoopbackProxy.start()
    const { origin, host } = proxy
    await proxy[Symbol.asyncDispose]()
    await using server = await serveRaw(socket => socket.write(ok('fine')))
    for (const target of [upstream.origin, server.origin]) {
      await using client = new TestClient({ proxy: `http://user:s3cret@${host}`, ca: upstream.ca })
      expect(await failure(client, target)).toContain(
        `cannot connect to the proxy ${origin}: ECONNREFUSED`,
      )
    }
    expect(upstream.seen).toEqual([])
    expect(server.requests).toHaveLength(0)
  })

  test.for(['silent', 'closed'] as const)(
    'that falls %s ends within its tries',
    async (falls, { upstream }) => {
      await using proxy = await LoopbackProxy.start({ falls })
      const once = { tries: 1, times: { connectMs: 100 } }
      await using client = new TestClient({ proxy: proxy.origin, ...once })
      expect(await failure(client, upstream.origin)).toContain(
        `the proxy ${proxy.origin} made no tunnel`,
      )
      expect(proxy.requests).toHaveLength(1)
    },
  )

  test('may be spoken to over TLS, and is named where its own certificate is not trusted', async ({
    upstream,
    certificates,
  }) => {
    if (certificates === undefined) return
    await using server = await serveRaw(socket => socket.write(ok('fine')))
    await using proxy = await LoopbackProxy.start({ tls: certificates, credentials: 'u:s3cret' })
    const url = `https://u:s3cret@${proxy.host}`
    await using client = new TestClient({ proxy: url, ca: upstream.ca })
    expect(await text(client, upstream.origin)).toBe('secret of /a')
    expect(await text(client, server.origin)).toBe('fine')
    expect(proxy.requests.map(({ method }) => method)).toEqual(['CONNECT', 'GET'])
    await using strict = new TestClient({ proxy: url })
    for (const target of [upstream.origin, server.origin]) {
      expect(await failure(strict, target)).toContain(
        `cannot connect to the proxy ${proxy.origin}: its certificate is not trusted`,
      )
    }
  })

  test('is not asked for what no-proxy names', async ({ upstream }) => {
    await using server = await serveRaw(socket => socket.write(ok('fine')))
    await using proxy = await LoopbackProxy.start({ refuses: 403 })
    await using client = new TestClient({
      proxy: proxy.origin,
      noProxy: ['127.0.0.1'],
      ca: upstream.ca,
    })
    expect(await text(client, upstream.origin)).toBe('secret of /a')
    expect(await text(client, server.origin)).toBe('fine')
    expect(proxy.requests).toEqual([])
  })

  test('is held up by nothing when a run is stopped', async ({ upstream }) => {
    await using proxy = await LoopbackProxy.start({ falls: 'silent' })
    await using client = new TestClient({ proxy: proxy.origin, times: { connectMs: 5_000 } })
    const stop = new AbortController()
    const place = { origin: upstream.origin, path: '/a' }
    const waiting = client.get(place, { ...tile(), signal: stop.signal })
    await expect.poll(() => proxy.requests.length).toBe(1)
    const begun = performance.now()
    stop.abort(new Error('ctrl-c'))
    await expect(waiting).rejects.toThrow('ctrl-c')
    await client.close()
    expect(performance.now() - begun).toBeLessThan(300)
  })
})

test.for<[string, string[], boolean]>([
  ['https://crates.example', [], false],
  ['https://crates.example', ['crates.example'], true],
  ['https://crates.example:8443', ['crates.example'], true],
  ['https://a.crates.example', ['crates.example'], false],
  ['https://a.crates.example', ['.crates.example'], true],
  ['https://a.b.crates.example', ['.crates.example'], true],
  ['https://crates.example', ['.crates.example'], false],
  ['https://evilcrates.example', ['.crates.example'], false],
  ['https://crates.example.evil.example', ['crates.example', '.crates.example'], false],
  ['http://127.0.0.1:8377', ['127.0.0.1'], true],
  ['http://[::1]:8377', ['[::1]'], true],
  ['https://anything.example', ['*'], true],
])('%s with no-proxy %j is asked directly: %s', ([origin, noProxy, expected]) => {
  expect(isBypassed(origin, noProxy)).toBe(expected)
})

test.for(['socks5://user:s3cret@proxy.example', 'proxy.example:3128', 's3cret', ''])(
  'the proxy %j is wrong usage, and is not shown',
  url => {
    expect(() => parseProxy(url)).toThrow(expect.objectContaining({ code: 'usage' }))
    expect(() => parseProxy(url)).not.toThrow(/s3cret/)
  },
)
