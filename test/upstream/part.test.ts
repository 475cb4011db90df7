import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { NotThere, TransferCut, WrongForm } from '../../src/upstream/faults.ts'
import type { Part } from '../../src/upstream/http.ts'
import { TestClient } from './client.ts'
import { answer, chunk, ok, type RawServer, type Script, serveRaw } from './raw-server.ts'

/** A part of a file that is too large to fetch: exactly it comes, of the same file, or nothing. */
const FILE = randomBytes(1_000)
const TAG = 'etag: "v1"'

interface Wanted {
  readonly offset?: number
  readonly length?: number
  readonly etag?: string
}

function part(
  client: TestClient,
  server: RawServer,
  { offset = 100, length = 50, ...etag }: Wanted = {},
): Promise<Part> {
  const signal = AbortSignal.timeout(10_000)
  return client.part(server.at('/dump.zip'), { offset, length, ...etag, signal })
}

/** A server of FILE, as ranges ask for it. */
const ranges: Script = (socket, { range = '' }) => {
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(range) ?? []
  const [first, last] = [Number(from), Math.min(Number(to), FILE.length - 1)]
  if (from === undefined) socket.write(ok(FILE, TAG))
  else if (first > last) socket.write(answer('416 Range', ['content-length: 0']))
  else socket.write(partial(`bytes ${first}-${last}/1000`, FILE.subarray(first, last + 1), TAG))
}

function partial(contentRange: string, body: Uint8Array, ...more: string[]): Buffer {
  const headers = [`content-length: ${body.length}`, `content-range: ${contentRange}`, ...more]
  return answer('206 Partial Content', headers, body)
}

const say =
  (bytes: Uint8Array, end?: 'end' | 'resetAndDestroy'): Script =>
  socket => {
    socket.write(bytes, () => {
      if (end !== undefined) socket[end]()
    })
  }

test('parts come exactly, with the length of the whole; the last one is as long as the file goes', async () => {
  await using server = await serveRaw(ranges)
  await using client = new TestClient()
  for (const [offset, length] of [
    [0, 10],
    [100, 50],
    [999, 1],
    [990, 500],
    [0, 1_000],
  ] as const) {
    const { bytes, total, etag } = await part(client, server, { offset, length, etag: '"v1"' })
    expect(Buffer.compare(bytes, FILE.subarray(offset, offset + length))).toBe(0)
    expect({ total, etag }).toEqual({ total: 1_000, etag: '"v1"' })
  }
  expect(server.requests.map(({ range }) => range)).toEqual([
    'bytes=0-9',
    'bytes=100-149',
    'bytes=999-999',
    'bytes=990-1489',
    'bytes=0-999',
  ])
  for (const { head } of server.requests) expect(head).toContain('accept-encoding: identity\r\n')
})

test('a server without ranges is told from the head, and its file is not read', async () => {
  let sent = 0
  await using server = await serveRaw(socket => {
    socket.on('close', () => {
      sent = socket.bytesWritten
    })
    socket.write(answer('200 OK', ['content-length: 100000000']))
    const piece = Buffer.alloc(100_000)
    const pour = (): void => {
      while (!socket.destroyed && socket.write(piece));
    }
    socket.on('drain', pour)
    pour()
  })
  await using client = new TestClient()
  const error = await part(client, server).catch(error => error)
  expect(error).toBeInstanceOf(WrongForm)
  expect(error).toMatchObject({ code: 'incomplete', transient: false })
  expect(error.message).toBe(`${server.origin}/dump.zip does not serve ranges`)
  expect(server.requests).toHaveLength(1)
  await expect.poll(() => sent).toBeGreaterThan(0)
  // what the socket buffers of both ends held was on its way
  expect(sent).toBeLessThan(16_000_000)
})

const BODY = FILE.subarray(100, 150)

test.for<[string, Buffer, RegExp]>([
  [
    'no range',
    answer('206 P', ['content-length: 50'], BODY),
    /expected bytes 100-149, found "no range"/,
  ],
  ['a later range', partial('bytes 101-150/1000', BODY), /found "bytes 101-150\/1000"/],
  ['an earlier range', partial('bytes 99-148/1000', BODY), /expected bytes 100-149/],
  ['a shorter range', partial('bytes 100-148/1000', BODY.subarray(1)), /expected bytes 100-149/],
  [
    'a longer range',
    partial('bytes 100-150/1000', FILE.subarray(100, 151)),
    /expected bytes 100-149/,
  ],
  ['the rest', partial('bytes 100-999/1000', FILE.subarray(100)), /expected bytes 100-149/],
  ['an unknown total', partial('bytes 100-149/*', BODY), /expected bytes 100-149/],
  ['an end beyond the total', partial('bytes 100-149/140', BODY), /expected bytes 100-139/],
  ['a range of nothing', partial('bytes 100-99/100', Buffer.alloc(0)), /expected bytes/],
  [
    'two ranges',
    partial('bytes 100-149/1000', BODY, 'content-range: bytes 0-49/1000'),
    /expected bytes 100-149/,
  ],
  [
    'multipart ranges',
    answer('206 P', ['content-length: 50', 'content-type: multipart/byteranges; boundary=x'], BODY),
    /"no range"/,
  ],
  [
    'another length than its range',
    partial('bytes 100-149/1000', BODY.subarray(1)),
    /expected 50 bytes, found 49/,
  ],
  [
    'fewer chunks',
    answer(
      '206 P',
      ['transfer-encoding: chunked', 'content-range: bytes 100-149/1000'],
      Buffer.concat([chunk(BODY.subarray(1)), chunk('')]),
    ),
    /expected 50 bytes, found 49/,
  ],
  [
    'more chunks',
    answer(
      '206 P',
      ['transfer-encoding: chunked', 'content-range: bytes 100-149/1000'],
      Buffer.concat([chunk(BODY), chunk('x'), chunk('')]),
    ),
    /expected 50 bytes, found more/,
  ],
])('a part answered by %s is a wrong answer, asked for again', async ([, sent, says]) => {
  await using server = await serveRaw(say(sent))
  await using client = new TestClient()
  const error = await part(client, server).catch(error => error)
  expect(error).toBeInstanceOf(WrongForm)
  expect(error.message).toMatch(says)
  expect(server.requests).toHaveLength(3)
})

test.for<[string, Buffer, 'end' | 'resetAndDestroy']>([
  ['ends early', partial('bytes 100-149/1000', BODY).subarray(0, -1), 'end'],
  ['is reset early', partial('bytes 100-149/1000', BODY).subarray(0, -1), 'resetAndDestroy'],
  [
    'has no frame and ends early',
    answer('206 P', ['content-range: bytes 100-149/1000'], BODY.subarray(1)),
    'end',
  ],
])('a part that %s is cut', async ([, sent, end]) => {
  await using server = await serveRaw(say(sent, end))
  await using client = new TestClient()
  expect(await part(client, server).catch(error => error)).toBeInstanceOf(TransferCut)
})

test('a part that was wrong once is right then', async () => {
  await using server = await serveRaw((socket, request) => {
    if (request.n === 1) socket.write(partial('bytes 0-49/1000', BODY))
    else ranges(socket, request)
  })
  await using client = new TestClient()
  expect(Buffer.compare((await part(client, server)).bytes, BODY)).toBe(0)
})

test.for<[string, string[]]>([
  ['another ETag', ['etag: "v2"']],
  ['a weaker ETag', ['etag: W/"v1"']],
  ['two ETags', ['etag: "v1"', 'etag: "v1"']],
  ['no ETag', []],
])('a file with %s changed while it was read, and no part of it is used', async ([, headers]) => {
  await using server = await serveRaw(say(partial('bytes 100-149/1000', BODY, ...headers)))
  await using client = new TestClient()
  expect((await part(client, server)).total).toBe(1_000)
  const error = await part(client, server, { etag: '"v1"' }).catch(error => error)
  expect(error).toBeInstanceOf(WrongForm)
  expect(error).toMatchObject({ code: 'incomplete', transient: false })
  expect(error.message).toMatch(/changed while it was read: expected etag "\\"v1\\"", found /)
  expect(server.requests).toHaveLength(2)
})

test('a part follows a redirect only to a host on the list', async () => {
  await using bucket = await serveRaw(ranges)
  const moved = answer('307 Elsewhere', ['content-length: 0', `location: ${bucket.origin}/d`])
  await using server = await serveRaw(say(moved))
  await using strict = new TestClient()
  await expect(part(strict, server)).rejects.toThrow(
    'the host is not on the list of redirect-hosts',
  )
  expect(bucket.requests).toHaveLength(0)
  await using client = new TestClient({ redirectHosts: [bucket.host] })
  expect(Buffer.compare((await part(client, server)).bytes, BODY)).toBe(0)
  expect(bucket.requests.map(({ range }) => range)).toEqual(['bytes=100-149'])
})

test('no part beyond the end, and none as gzip', async () => {
  await using server = await serveRaw(ranges)
  await using client = new TestClient()
  const beyond = await part(client, server, { offset: 1_000 }).catch(error => error)
  expect(beyond).toMatchObject({ code: 'incomplete', transient: false })
  expect(beyond.message).toContain('expected status 206, found 416')
  await using packing = await serveRaw(
    say(partial('bytes 100-149/1000', BODY, 'content-encoding: gzip')),
  )
  await expect(part(client, packing)).rejects.toThrow('encoded as "gzip"')
  await using missing = await serveRaw(say(answer('404 No', ['content-length: 0'])))
  await expect(part(client, missing)).rejects.toBeInstanceOf(NotThere)
})

test('a part has 1 byte to 8 MiB', async () => {
  await using server = await serveRaw(ranges)
  await using client = new TestClient()
  for (const length of [0, -1, 8 * 1_048_576 + 1]) {
    await expect(part(client, server, { length })).rejects.toBeInstanceOf(RangeError)
  }
  expect(server.requests).toHaveLength(0)
})
