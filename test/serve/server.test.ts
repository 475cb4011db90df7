import { once } from 'node:events'
import { readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type RunningServer, startServer } from '../../src/serve/server.ts'
import { MirrorReader } from '../../src/store/reader.ts'
import { artifactAt, checksumOf, Registry } from '../crateferry.ts'

let registry: Registry
let server: RunningServer
let mirror: string
let artifact: string
const log: string[] = []
const HULL = 'fe/rr/ferry-hull'

beforeAll(async () => {
  registry = await Registry.make()
  mirror = registry.at('repository')
  artifact = artifactAt(HULL, await checksumOf(join(mirror, 'public/index'), HULL, '1.0.0'))
  server = await startServer({
    reader: new MirrorReader(mirror),
    listen: { host: '127.0.0.1', port: 0 },
    url: 'http://unused.example',
    log: line => log.push(line),
    limits: { silentMs: 300, connectionsPerAddress: 20 },
  })
}, 30_000)

afterAll(async () => {
  await server.close()
  await registry[Symbol.asyncDispose]()
})

const get = (
  path: string,
  headers: Record<string, string> = {},
  method = 'GET',
): Promise<Response> => fetch(`${server.url}/${path}`, { headers, method })

/** Bytes as they are, since clients tidy up what they are asked to send. */
async function raw(request: string): Promise<string> {
  const socket = connect(server.port, '127.0.0.1')
  socket.write(request)
  return await text(socket)
}

const line = (method: string, target: string): string =>
  `${method} ${target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`

test('everything that public/ has is served byte for byte, with a strong ETag', async () => {
  const paths = [
    `index/${HULL}`,
    artifact,
    'tuf/1.root.json',
    'tuf/timestamp.json',
    'tuf/1.targets.json',
  ]
  for (const path of paths) {
    const answer = await get(path)
    expect(answer.status, path).toBe(200)
    expect(answer.headers.get('etag'), path).toMatch(/^"[0-9a-f]{64}"$/)
    expect(answer.headers.get('x-content-type-options')).toBe('nosniff')
    const bytes = Buffer.from(await answer.arrayBuffer())
    expect(bytes.equals(readFileSync(join(mirror, 'public', path))), path).toBe(true)
  }
  expect((await get(artifact)).headers.get('cache-control')).toContain('immutable')
  expect((await get('tuf/timestamp.json')).headers.get('cache-control')).toBe('no-cache')
})

test('config.json names this server, never what a client calls it', async () => {
  const answer = await raw(
    'GET /index/config.json HTTP/1.1\r\nHost: evil\r\nConnection: close\r\n\r\n',
  )
  expect(answer).toContain(`"dl":"${server.url}/crates/{lowerprefix}/{sha256-checksum}.crate"`)
  expect(answer).not.toContain('evil')
})

test('an artifact is found by its name and by the API path, with a plus spelled either way', async () => {
  const name = 'ferry-engine-sys'
  const version = '0.8.0+bunker.2.3.9'
  const path = `fe/rr/${name}`
  const sha = await checksumOf(join(mirror, 'public/index'), path, version)
  for (const one of [version, version.replace('+', '%2B')]) {
    for (const at of [
      `crates/${name}/${name}-${one}.crate`,
      `api/v1/crates/${name}/${one}/download`,
    ]) {
      const answer = await get(at)
      expect(answer.status, at).toBe(200)
      expect(answer.headers.get('etag')).toBe(`"${sha}"`)
    }
  }
})

test.each([
  ['/../state/marker', 404],
  ['/index/..%2f..%2fstate/marker', 404],
  ['/index/%2e%2e/%2e%2e/state/marker', 404],
  ['//evil.example/x', 404],
  ['/index//fe/rr/ferry-hull', 404],
  ['/index\\fe', 404],
  ['/index/fe/rr/ferry-hull?x=1', 404],
  ['/index/fe/rr/ferry-hull%00', 404],
  ['/state/marker', 404],
  ['/crateferry.toml', 404],
  ['/index/se/rd/serde', 404],
  ['/index/fe/rr/Ferry-Hull', 404],
  ['http://evil.example/index/fe/rr/ferry-hull', 400],
  ['*', 400],
])('%s is answered %i and nothing of it is echoed', async (target, status) => {
  const answer = await raw(line('GET', target))
  expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
  expect(answer).not.toContain('evil')
  expect(answer).not.toContain('uuid')
})

test('other methods, bodies, two Hosts and none are refused', async () => {
  for (const method of ['POST', 'PUT', 'DELETE', 'TRACE', 'OPTIONS']) {
    expect(await raw(line(method, '/')), method).toMatch(/^HTTP\/1.1 405 [\s\S]*allow: GET, HEAD/i)
  }
  const body = 'GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc'
  expect(await raw(body)).toMatch(/^HTTP\/1.1 400 /)
  expect(await raw('GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n')).toMatch(/^HTTP\/1.1 400 /)
  expect(await raw('GET / HTTP/1.1\r\n\r\n')).toMatch(/^HTTP\/1.1 400 /)
})

test('what a client has is not sent again; a HEAD has no body', async () => {
  const etag = (await get(`index/${HULL}`)).headers.get('etag') ?? ''
  for (const tag of [etag, `"x", ${etag}`, `W/${etag}`, '*']) {
    expect((await get(`index/${HULL}`, { 'if-none-match': tag })).status, tag).toBe(304)
  }
  expect((await get(`index/${HULL}`, { 'if-none-match': '"x"' })).status).toBe(200)
  const head = await get(artifact, {}, 'HEAD')
  expect(head.status).toBe(200)
  expect(head.headers.get('content-length')).toBe(
    String(readFileSync(join(mirror, 'public', artifact)).length),
  )
  expect(await head.text()).toBe('')
})

test('one range of an artifact is served, of anything else and of several the whole', async () => {
  const bytes = readFileSync(join(mirror, 'public', artifact))
  const etag = (await get(artifact)).headers.get('etag') ?? ''
  const part = async (range: string, more = {}): Promise<[number, string | null, Buffer]> => {
    const answer = await get(artifact, { range, ...more })
    const range_ = answer.headers.get('content-range')
    return [answer.status, range_, Buffer.from(await answer.arrayBuffer())]
  }
  const n = bytes.length
  expect(await part('bytes=10-')).toEqual([206, `bytes 10-${n - 1}/${n}`, bytes.subarray(10)])
  expect(await part('bytes=0-4')).toEqual([206, `bytes 0-4/${n}`, bytes.subarray(0, 5)])
  expect(await part('bytes=-5')).toEqual([206, `bytes ${n - 5}-${n - 1}/${n}`, bytes.subarray(-5)])
  expect((await part(`bytes=${n}-`))[0]).toBe(416)
  expect((await part('bytes=0-1,3-4'))[0]).toBe(200)
  expect((await part('bytes=9999999999999999-'))[0]).toBe(200)
  expect((await part('bytes=3-', { 'if-range': etag }))[0]).toBe(206)
  expect((await part('bytes=3-', { 'if-range': '"other"' }))[0]).toBe(200)
  expect((await get(`index/${HULL}`, { range: 'bytes=3-' })).status).toBe(200)
})

test('a client that never reads or never asks is dropped', async () => {
  const silent = connect(server.port, '127.0.0.1')
  silent.resume()
  await once(silent, 'close')
})

test('a damaged file is answered 500 without a byte of it, and logged; a link is not followed', async () => {
  const sha = await checksumOf(join(mirror, 'public/index'), 'fe/rr/ferry_deck', '0.3.0')
  const path = artifactAt('fe/rr/ferry_deck', sha)
  const file = join(mirror, 'public', path)
  const good = readFileSync(file)
  writeFileSync(file, 'damaged bytes')
  const answer = await get(path)
  expect(answer.status).toBe(500)
  expect(await answer.text()).not.toContain('damaged bytes')
  expect(log.at(-1)).toContain(sha)
  writeFileSync(file, good)
  expect((await get(path)).status).toBe(200)
  renameSync(file, `${file}.away`)
  symlinkSync(`${file}.away`, file)
  expect((await get(path)).status).toBe(500)
})

test('close ends idle connections at once', async () => {
  const another = await startServer({
    reader: new MirrorReader(mirror),
    listen: { host: '127.0.0.1', port: 0 },
    url: 'http://unused.example',
    log: () => {},
  })
  const socket = connect(another.port, '127.0.0.1')
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await once(socket, 'data')
  const begun = performance.now()
  await another.close()
  expect(performance.now() - begun).toBeLessThan(5000)
  socket.destroy()
})
