import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { HostGone } from '../../src/upstream/faults.ts'
import type { HttpClient } from '../../src/upstream/http.ts'
import { TestClient } from './client.ts'
import { answer, ok, type RawServer, serveRaw } from './raw-server.ts'

/** What the client sends, over how many connections, and how it is stopped. */
const TILE = { kind: 'tile', bytesMax: 1_000 } as const

function fetched(client: HttpClient, server: RawServer, path: string): Promise<string> {
  const request = { ...TILE, signal: AbortSignal.timeout(10_000) }
  return client.get(server.at(path), request).then(bytes => Buffer.from(bytes).toString())
}

test('a request says who asks and which codings it takes, and says nothing else', async () => {
  await using server = await serveRaw(socket => socket.write(ok('fine')))
  const userAgent = 'crateferry/9.9 (+https://example.org; ops@example.org)'
  await using client = new TestClient({ userAgent })
  const signal = AbortSignal.timeout(10_000)
  await client.get(server.at('/a?b=c'), { ...TILE, signal })
  await client.artifact(server.at('/x'), { offset: 60, signal })
  const lines = (coding: string): string[] => [
    `host: ${server.host}`,
    'connection: keep-alive',
    `accept-encoding: ${coding}`,
    `user-agent: ${userAgent}`,
  ]
  expect(server.requests.map(({ head }) => head.trimEnd().split('\r\n'))).toEqual([
    ['GET /a?b=c HTTP/1.1', ...lines('gzip')],
    ['GET /x HTTP/1.1', ...lines('identity'), 'range: bytes=60-'],
  ])
})

test('no more connections are opened than allowed, and they are kept', async () => {
  await using server = await serveRaw(socket => {
    setTimeout(() => socket.write(ok('fine')), 10)
  })
  await using client = new TestClient({ connections: 3 })
  const paths = Array.from({ length: 20 }, (_, i) => `/${i}`)
  const texts = await Promise.all(paths.map(path => fetched(client, server, path)))
  expect(texts).toEqual(Array(20).fill('fine'))
  expect(server.sockets).toHaveLength(3)
})

test.for<[string, 'end' | 'resetAndDestroy']>([
  ['closes', 'end'],
  ['resets', 'resetAndDestroy'],
])('a kept connection that the server just %s costs no try', async ([, end]) => {
  await using server = await serveRaw((socket, { n }) => {
    if (n === 2) socket[end]()
    else socket.write(ok(`answer ${n}`))
  })
  await using client = new TestClient({ connections: 1, tries: 1 })
  expect(await fetched(client, server, '/a')).toBe('answer 1')
  expect(await fetched(client, server, '/b')).toBe('answer 3')
  expect(server.sockets).toHaveLength(2)
})

test('a kept connection is forgiven once a request, not for ever', async () => {
  await using server = await serveRaw((socket, { n }) => {
    if (n > 1) socket.end()
    else socket.write(ok('fine'))
  })
  await using client = new TestClient({ connections: 1, tries: 1 })
  expect(await fetched(client, server, '/a')).toBe('fine')
  await expect(fetched(client, server, '/b')).rejects.toBeInstanceOf(HostGone)
  expect(server.requests).toHaveLength(3)
})

test('an answer of no use keeps its connection, unless it has a lot to say', async () => {
  await using server = await serveRaw((socket, { path }) => {
    const length = Number(path.slice(1))
    socket.write(answer('404 Not Found', [`content-length: ${length}`], Buffer.alloc(length)))
  })
  await using client = new TestClient({ connections: 1 })
  for (const path of ['/60000', '/60000', '/900000', '/10']) {
    await expect(fetched(client, server, path)).rejects.toThrow('status 404')
  }
  expect(server.sockets).toHaveLength(2)
})

const REASON = new Error('the operator pressed ctrl-c')

async function rejectedSoon(asked: Promise<unknown>, stop: AbortController): Promise<void> {
  const begun = performance.now()
  stop.abort(REASON)
  await expect(asked).rejects.toBe(REASON)
  expect(performance.now() - begun).toBeLessThan(150)
}

test('a stop before the first byte is asked for asks for nothing', async () => {
  await using server = await serveRaw(socket => socket.write(ok('fine')))
  await using client = new TestClient()
  const signal = AbortSignal.abort(REASON)
  await expect(client.get(server.at('/'), { ...TILE, signal })).rejects.toBe(REASON)
  expect(server.sockets).toHaveLength(0)
})

test.for<[string, Buffer]>([
  ['for an answer', Buffer.alloc(0)],
  ['for the rest of a body', answer('200 OK', ['content-length: 100'], 'some')],
  ['out a brake', answer('429 Later', ['content-length: 0', 'retry-after: 60'])],
])('a stop while waiting %s ends at once', async ([, bytes]) => {
  await using server = await serveRaw(socket => socket.write(bytes))
  await using client = new TestClient({
    times: { headersMs: 5_000, bodyMs: 5_000, requestMs: 5_000 },
  })
  const stop = new AbortController()
  const asked = client.get(server.at('/'), { ...TILE, signal: stop.signal })
  await expect.poll(() => server.requests.length).toBe(1)
  await sleep(20)
  await rejectedSoon(asked, stop)
  if (!bytes.includes('429')) await expect.poll(() => server.sockets[0]?.destroyed).toBe(true)
})

test('a stop while waiting for a try ends at once', async () => {
  await using server = await serveRaw(socket => {
    socket.write(answer('500 Sorry', ['content-length: 0']))
  })
  await using client = new TestClient({ times: { backoffMs: 60_000, backoffMsMax: 60_000 } })
  const stop = new AbortController()
  const asked = client.get(server.at('/'), { ...TILE, signal: stop.signal })
  await expect.poll(() => server.requests.length).toBe(1)
  await sleep(20)
  await rejectedSoon(asked, stop)
  expect(server.requests).toHaveLength(1)
})

test('a stop while waiting for a connection ends at once and leaves the others alone', async () => {
  await using server = await serveRaw((socket, { path }) => {
    if (path === '/slow') setTimeout(() => socket.write(ok('slow')), 200)
    else socket.write(ok('fine'))
  })
  await using client = new TestClient({
    connections: 1,
    times: { headersMs: 5_000, requestMs: 5_000 },
  })
  const slow = fetched(client, server, '/slow')
  const stop = new AbortController()
  const asked = client.get(server.at('/queued'), { ...TILE, signal: stop.signal })
  await expect.poll(() => server.requests.length).toBe(1)
  await rejectedSoon(asked, stop)
  expect(await slow).toBe('slow')
  expect(await fetched(client, server, '/after')).toBe('fine')
  expect(server.requests.map(({ path }) => path)).toEqual(['/slow', '/after'])
})

test('a client that is closed ends what is under way', async () => {
  await using server = await serveRaw(() => {})
  const client = new TestClient({ tries: 1, times: { headersMs: 5_000, requestMs: 5_000 } })
  const asked = fetched(client, server, '/').catch(error => error)
  await expect.poll(() => server.requests.length).toBe(1)
  await client.close()
  expect(await asked).toMatchObject({ code: 'incomplete' })
  await expect.poll(() => server.sockets[0]?.destroyed).toBe(true)
})
