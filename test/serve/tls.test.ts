import { once } from 'node:events'
import { type ClientHttp2Session, connect, type IncomingHttpHeaders } from 'node:http2'
import { request as requestOfOne } from 'node:https'
import { buffer } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { expect } from 'vitest'
import { type Certificates, makeCertificates } from '../upstream/certificates.ts'
import { crateFile, type PlainMirror } from './plain-mirror.ts'
import { test as base, type Serving } from './serving.ts'

const FILE = crateFile('serde', { version: '1.0.0', artifact: 'small' })
const LARGE = Buffer.alloc(24 * 1024 * 1024, 'large')

const test = base.extend('certificates', async ({ skip }): Promise<Certificates> => {
  return (await makeCertificates()) ?? skip('openssl is not here to make a certificate')
})

interface Answer {
  readonly status: number | undefined
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

/** A session of HTTP/2 that ends with the block it is in. */
function session(serving: Serving, { ca }: Certificates): ClientHttp2Session & Disposable {
  const client = connect(serving.server.url, { ca })
  client.on('error', () => {})
  return Object.assign(client, { [Symbol.dispose]: () => client.destroy() })
}

async function ask(
  client: ClientHttp2Session,
  path: string,
  { body, ...headers }: Record<string, string> = {},
): Promise<Answer> {
  const stream = client.request({ ':path': path, ...headers }, { endStream: body === undefined })
  if (body !== undefined) stream.end(body)
  const [head] = await once(stream, 'response')
  return { status: head[':status'], headers: head, body: await buffer(stream) }
}

/** The certificate that a new connection sees. */
async function serialSeen({ server }: Serving, ca: readonly string[]): Promise<string> {
  const socket = connectTls({ port: server.port, host: '127.0.0.1', ca: [...ca] })
  await once(socket, 'secureConnect')
  const { serialNumber } = socket.getPeerCertificate()
  socket.destroy()
  return serialNumber
}

function publish(mirror: PlainMirror, bytes: Uint8Array | string = 'small'): string {
  mirror.shown(FILE)
  mirror.publish(1, [FILE])
  return `/${mirror.artifact(FILE, bytes)}`
}

test('over TLS everything is served by HTTP/2', async ({ mirror, start, certificates }) => {
  const path = publish(mirror)
  using client = session(await start({}, certificates), certificates)
  const config = await ask(client, '/index/config.json')
  expect(String(config.body)).toContain(`${client.socket.remotePort}/crates/`)
  expect(String(config.body)).toContain('"https://127.0.0.1:')
  expect(String((await ask(client, '/index/se/rd/serde')).body)).toBe(FILE.text)
  expect(String((await ask(client, path)).body)).toBe('small')
  const part = await ask(client, path, { range: 'bytes=1-2' })
  expect([part.status, String(part.body)]).toEqual([206, 'ma'])
  const etag = String(part.headers.etag)
  expect((await ask(client, path, { 'if-none-match': etag })).status).toBe(304)
  expect((await ask(client, path, { ':method': 'HEAD' })).headers['content-length']).toBe('5')
  expect((await ask(client, '/nothing')).status).toBe(404)
})

test('over TLS HTTP/1.1 is served too', async ({ mirror, start, certificates: { ca, ...own } }) => {
  const path = publish(mirror)
  const { server } = await start({}, own as Certificates)
  const request = requestOfOne(`${server.url}${path}`, { ca }).end()
  const [response] = await once(request, 'response')
  expect([response.httpVersion, String(await buffer(response))]).toEqual(['1.1', 'small'])
})

test('HTTP/2 refuses what HTTP/1.1 refuses, and its connection goes on', async ({
  start,
  certificates,
}) => {
  using client = session(await start({}, certificates), certificates)
  const post = await ask(client, '/', { ':method': 'POST', body: 'a' })
  expect([post.status, post.headers['allow']]).toEqual([405, 'GET, HEAD'])
  expect((await ask(client, '/', { body: 'a' })).status).toBe(400)
  expect((await ask(client, '/')).status).toBe(200)
})

test('a hundred streams of one connection are answered at once', async ({
  mirror,
  start,
  certificates,
}) => {
  const path = publish(mirror)
  using client = session(await start({}, certificates), certificates)
  const answers = await Promise.all(Array.from({ length: 400 }, () => ask(client, path)))
  expect(answers.filter(({ body }) => String(body) === 'small')).toHaveLength(400)
})

test('a connection that speaks no TLS, or nothing at all, is dropped', async ({
  start,
  certificates,
}) => {
  const serving = await start({ headersMs: 200, silentMs: 300 }, certificates)
  expect(await serving.raw('GET / HTTP/1.1\r\nHost: a\r\n\r\n')).not.toContain('HTTP/1.1 200')
  const silent = serving.socket()
  silent.resume()
  await once(silent, 'close')
})

test('a session that asks nothing more is dropped', async ({ start, certificates }) => {
  using client = session(await start({ silentMs: 300 }, certificates), certificates)
  expect((await ask(client, '/')).status).toBe(200)
  await once(client, 'close')
})

test('a session on which nothing moves makes room, one on which it does stays', async ({
  start,
  certificates,
}) => {
  const limits = { connections: 2, stalledMs: 300, checkMs: 50 }
  const serving = await start(limits, certificates)
  using moving = session(serving, certificates)
  using silent = session(serving, certificates)
  const closed = once(silent, 'close')
  for (const client of [moving, silent]) expect((await ask(client, '/')).status).toBe(200)
  for (let at = 0; at < 10; at += 1) {
    expect((await ask(moving, '/')).status).toBe(200)
    await sleep(50)
  }
  using late = session(serving, certificates)
  expect((await ask(late, '/')).status).toBe(200)
  await closed
  expect((await ask(moving, '/')).status).toBe(200)
})

test('a stream that is not read is dropped, and the others of its connection go on', async ({
  mirror,
  start,
  certificates,
}) => {
  const path = publish(mirror, LARGE)
  const pace = { graceMs: 200, bytesPerSecond: 1024 * 1024 }
  const serving = await start({ pace }, certificates)
  using client = session(serving, certificates)
  const stream = client.request({ ':path': path })
  await once(stream, 'response')
  await sleep(600)
  expect((await ask(client, '/')).status).toBe(200)
  const length = (await buffer(stream).catch(() => Buffer.alloc(0))).length
  expect(length).toBeLessThan(LARGE.length)
  expect(serving.log).toEqual([])
})

test('close lets a stream under way end, and opens no other', async ({
  mirror,
  start,
  certificates,
}) => {
  const path = publish(mirror, LARGE)
  const serving = await start({ drainMs: 10_000 }, certificates)
  using client = session(serving, certificates)
  const stream = client.request({ ':path': path })
  await once(stream, 'response')
  const begun = performance.now()
  const closed = serving.server.close()
  expect((await buffer(stream)).length).toBe(LARGE.length)
  await closed
  expect(performance.now() - begun).toBeLessThan(8000)
})

test('close waits so long for a stream that is not read, and no longer', async ({
  mirror,
  start,
  certificates,
}) => {
  const path = publish(mirror, LARGE)
  const serving = await start({ drainMs: 300 }, certificates)
  using client = session(serving, certificates)
  const stream = client.request({ ':path': path })
  stream.on('error', () => {})
  await once(stream, 'response')
  const begun = performance.now()
  await serving.server.close()
  expect(performance.now() - begun).toBeLessThan(3000)
})

test('a certificate is exchanged without a restart; a wrong one changes nothing', async ({
  start,
  certificates,
}) => {
  const next = (await makeCertificates()) as Certificates
  const authorities = [certificates.ca, next.ca]
  const serving = await start({}, certificates)
  using client = session(serving, certificates)
  const before = await serialSeen(serving, authorities)
  serving.server.renew(next)
  const after = await serialSeen(serving, authorities)
  expect(after).not.toBe(before)
  expect((await ask(client, '/')).status).toBe(200)
  expect(() => serving.server.renew({ cert: next.cert, key: certificates.key })).toThrow('mismatch')
  expect(() => serving.server.renew({ cert: Buffer.from('none'), key: next.key })).toThrow()
  expect(await serialSeen(serving, authorities)).toBe(after)
})
