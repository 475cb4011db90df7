import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { HostGone, NotThere, TransferCut, WrongForm } from '../../src/upstream/faults.ts'
import type { ArtifactBody } from '../../src/upstream/upstream.ts'
import { drained, TestClient } from './client.ts'
import { answer, chunk, ok, type RawServer, type Script, serveRaw } from './raw-server.ts'

/** A body from an offset: what is continued, what begins again, and what a slow side may do. */
const MIB = 1_048_576
const SMALL = randomBytes(100)
const LARGE = randomBytes(3 * MIB)

function artifact(
  client: TestClient,
  server: RawServer,
  { offset = 0, signal = AbortSignal.timeout(10_000) } = {},
): Promise<ArtifactBody> {
  return client.artifact(server.at('/x.crate'), { offset, signal })
}

async function failed(client: TestClient, server: RawServer, offset = 0): Promise<Error> {
  return artifact(client, server, { offset }).then(
    () => expect.unreachable('a body came'),
    error => error,
  )
}

const say =
  (bytes: Uint8Array): Script =>
  socket => {
    socket.write(bytes)
  }

const part = (contentRange: string | undefined, body: Uint8Array, ...more: string[]): Buffer => {
  const range = contentRange === undefined ? [] : [`content-range: ${contentRange}`]
  return answer('206 Partial Content', [`content-length: ${body.length}`, ...range, ...more], body)
}

test('a small body comes whole, a large one in chunks', async () => {
  await using server = await serveRaw((socket, { n }) => socket.write(ok(n === 1 ? SMALL : LARGE)))
  await using client = new TestClient()
  const small = await artifact(client, server)
  expect(small).toHaveProperty('pieces')
  expect((await drained(small)).bytes.equals(SMALL)).toBe(true)
  const large = await artifact(client, server)
  expect(large).toHaveProperty('chunks')
  const { offset, bytes, error } = await drained(large)
  expect(error).toBeUndefined()
  expect(offset).toBe(0)
  expect(bytes.equals(LARGE)).toBe(true)
})

test('a body without a known length comes in chunks', async () => {
  const head = answer('200 OK', ['transfer-encoding: chunked'])
  await using server = await serveRaw(say(Buffer.concat([head, chunk(SMALL), chunk('')])))
  await using client = new TestClient()
  const body = await artifact(client, server)
  expect(body).toHaveProperty('chunks')
  expect((await drained(body)).bytes.equals(SMALL)).toBe(true)
})

test('it is continued from where it stopped', async () => {
  await using server = await serveRaw(say(part('bytes 60-99/100', SMALL.subarray(60))))
  await using client = new TestClient()
  const { offset, bytes } = await drained(await artifact(client, server, { offset: 60 }))
  expect(server.requests[0]?.range).toBe('bytes=60-')
  expect(offset).toBe(60)
  expect(bytes.equals(SMALL.subarray(60))).toBe(true)
})

test('a server without ranges sends the whole, which is taken from 0', async () => {
  await using server = await serveRaw(say(ok(SMALL)))
  await using client = new TestClient()
  const { offset, bytes } = await drained(await artifact(client, server, { offset: 60 }))
  expect(offset).toBe(0)
  expect(bytes.equals(SMALL)).toBe(true)
  expect(server.requests).toHaveLength(1)
})

test.for<[string, Buffer]>([
  ['no range', part(undefined, SMALL.subarray(60))],
  ['a later range', part('bytes 61-99/100', SMALL.subarray(61))],
  ['an earlier range', part('bytes 0-99/100', SMALL)],
  ['less than the rest', part('bytes 60-98/100', SMALL.subarray(60, 99))],
  ['an end beyond the total', part('bytes 60-100/100', SMALL.subarray(60))],
  ['an unknown total', part('bytes 60-99/*', SMALL.subarray(60))],
  ['another unit', part('lines 60-99/100', SMALL.subarray(60))],
  ['two ranges', part('bytes 60-99/100', SMALL.subarray(60), 'content-range: bytes 0-39/100')],
  ['a number that is none', part('bytes 60-99/0x64', SMALL.subarray(60))],
  ['that there is no such range', answer('416 Range', ['content-length: 0'])],
])('a range answered by %s is given up, and the whole is asked for once', async ([, wrong]) => {
  await using server = await serveRaw((socket, { range }) => {
    socket.write(range === undefined ? ok(SMALL) : wrong)
  })
  await using client = new TestClient()
  const { offset, bytes } = await drained(await artifact(client, server, { offset: 60 }))
  expect(offset).toBe(0)
  expect(bytes.equals(SMALL)).toBe(true)
  expect(server.requests.map(({ range }) => range)).toEqual(['bytes=60-', undefined])
})

test.for<[string, Buffer]>([
  ['a range again', part('bytes 0-99/100', SMALL)],
  ['another length than its range', part('bytes 60-99/100', SMALL.subarray(61))],
])('%s is a wrong answer, which another try may better', async ([, wrong]) => {
  await using server = await serveRaw(say(wrong))
  await using client = new TestClient()
  const error = await failed(client, server, 60)
  expect(error).toBeInstanceOf(WrongForm)
  expect(error).toMatchObject({ code: 'incomplete', transient: true })
})

test('no 416 is endless: a whole that is answered by 416 too is refused', async () => {
  await using server = await serveRaw(say(answer('416 Range', ['content-length: 0'])))
  await using client = new TestClient()
  expect(await failed(client, server, 60)).toMatchObject({ code: 'incomplete', transient: false })
  expect(server.requests).toHaveLength(2)
})

test('no entity tag is sent or believed: a partial is bytes only, and its hash decides', async () => {
  const other = randomBytes(40)
  await using server = await serveRaw(say(part('bytes 60-99/100', other, 'etag: "same"')))
  await using client = new TestClient()
  const { offset, bytes } = await drained(await artifact(client, server, { offset: 60 }))
  expect(server.requests[0]?.head).not.toMatch(/if-range|if-match/i)
  expect(offset).toBe(60)
  expect(bytes.equals(other)).toBe(true)
})

test.for<[string, Buffer, 'end' | 'resetAndDestroy', number]>([
  ['small body that ends', ok(SMALL).subarray(0, -40), 'end', 60],
  ['small body that is reset', ok(SMALL).subarray(0, -40), 'resetAndDestroy', 60],
  ['large body that ends', ok(LARGE).subarray(0, -40), 'end', LARGE.length - 40],
])('of a %s early, what came is kept and the cut is said', async ([, sent, end, came]) => {
  await using server = await serveRaw(socket => socket.write(sent, () => socket[end]()))
  await using client = new TestClient()
  const { bytes, error } = await drained(await artifact(client, server))
  expect(error).toBeInstanceOf(TransferCut)
  expect(error).toMatchObject({
    transient: true,
    message: expect.stringContaining(`${came} bytes`),
  })
  expect(bytes).toHaveLength(came)
})

test('a body that is cut before its first byte is only an error', async () => {
  await using server = await serveRaw(socket =>
    socket.write(ok(SMALL).subarray(0, -100), () => socket.end()),
  )
  await using client = new TestClient()
  expect(await failed(client, server)).toBeInstanceOf(TransferCut)
})

test('one attempt is one request: whoever keeps the bytes asks again', async () => {
  await using server = await serveRaw(say(answer('500 Sorry', ['content-length: 0'])))
  await using client = new TestClient()
  expect(await failed(client, server)).toMatchObject({ transient: true })
  expect(server.requests).toHaveLength(1)
})

test.for([403, 404, 410, 451])('status %i says that it is not there (P2)', async status => {
  await using server = await serveRaw(say(answer(`${status} No`, ['content-length: 0'])))
  await using client = new TestClient()
  const error = await failed(client, server)
  expect(error).toBeInstanceOf(NotThere)
  expect(error).toMatchObject({ status, code: 'incomplete', transient: false })
})

test('an artifact without any frame is refused, since a cut could not be seen', async () => {
  await using server = await serveRaw(socket => socket.end(answer('200 OK', [], SMALL)))
  await using client = new TestClient()
  expect(await failed(client, server)).toBeInstanceOf(TransferCut)
})

test('an artifact longer than a GiB is refused by what it promises (P15)', async () => {
  const total = 1_024 * MIB + 1
  await using server = await serveRaw((socket, { range }) => {
    const rest = [`content-length: ${total - 60}`, `content-range: bytes 60-${total - 1}/${total}`]
    if (range !== undefined) socket.write(answer('206 Partial Content', rest))
    else socket.write(answer('200 OK', [`content-length: ${total}`]))
  })
  await using client = new TestClient()
  for (const offset of [0, 60]) {
    const error = await failed(client, server, offset)
    expect(error).toBeInstanceOf(WrongForm)
    expect(error).toMatchObject({ code: 'incomplete', transient: false })
  }
})

describe.concurrent('the floor rate', () => {
  test('a body below the floor rate is cut, though it never falls silent', async () => {
    await using server = await serveRaw(socket => {
      socket.write(answer('200 OK', ['content-length: 2000000']))
      const drip = setInterval(() => socket.write('0123456789'), 20)
      socket.on('close', () => clearInterval(drip))
    })
    await using client = new TestClient()
    const { bytes, error } = await drained(await artifact(client, server))
    expect(error).toBeInstanceOf(TransferCut)
    expect((error as Error).message).toMatch(/\d+ bytes in 0\.3 s, expected 1000 a second$/)
    expect(bytes.length).toBeGreaterThan(0)
  })

  test('a body above the floor rate has all the time it needs', async () => {
    await using server = await serveRaw(socket => {
      socket.write(answer('200 OK', ['content-length: 4000']))
      let left = 40
      const drip = setInterval(() => {
        left -= 1
        socket.write(Buffer.alloc(100))
        if (left === 0) clearInterval(drip)
      }, 20)
    })
    await using client = new TestClient()
    const begun = performance.now()
    const { bytes } = await drained(await artifact(client, server))
    expect(bytes).toHaveLength(4_000)
    expect(performance.now() - begun).toBeGreaterThan(700)
  })

  test('a server that never answers for an artifact is gone after three rounds', async () => {
    await using server = await serveRaw(() => {})
    await using client = new TestClient()
    const errors = [await failed(client, server), await failed(client, server)]
    expect(errors.every(error => error instanceof TransferCut)).toBe(true)
    expect(await failed(client, server)).toBeInstanceOf(HostGone)
  })

  test('a reader slower than the network holds it back, and is not blamed for it', async () => {
    const length = 64 * MIB
    await using server = await serveRaw(socket => {
      socket.write(answer('200 OK', [`content-length: ${length}`]))
      const piece = Buffer.alloc(MIB)
      let left = length
      const send = (): void => {
        while (left > 0) {
          left -= MIB
          if (!socket.write(piece)) {
            socket.once('drain', send)
            return
          }
        }
      }
      send()
    })
    await using client = new TestClient()
    const body = await artifact(client, server)
    if (!('chunks' in body)) return expect.unreachable('a large body came whole')
    await sleep(700)
    const sent = server.sockets[0]?.bytesWritten ?? length
    expect(sent).toBeLessThan(length / 2)
    let came = 0
    for await (const chunk of body.chunks) came += chunk.length
    expect(came).toBe(length)
  })

  test('a reader is not blamed for the window in which it lets the sender go on', async () => {
    await using server = await serveRaw(socket => {
      socket.write(ok(LARGE).subarray(0, 2 * MIB))
      setTimeout(() => socket.write(ok(LARGE).subarray(2 * MIB)), 700)
    })
    await using client = new TestClient({ times: { bodyMs: 5_000 } })
    const body = await artifact(client, server)
    await sleep(450)
    const { bytes, error } = await drained(body)
    expect(error).toBeUndefined()
    expect(bytes.equals(LARGE)).toBe(true)
  })
})

test('a reader who leaves gives the body up', async () => {
  await using server = await serveRaw(socket => {
    socket.write(ok(LARGE).subarray(0, 2 * MIB))
  })
  await using client = new TestClient({ times: { bodyMs: 5_000, floorWindowMs: 5_000 } })
  const body = await artifact(client, server)
  if (!('chunks' in body)) return expect.unreachable('a large body came whole')
  for await (const chunk of body.chunks) if (chunk.length > 0) break
  await expect.poll(() => server.sockets[0]?.destroyed).toBe(true)
})

test('a stop in the middle of a body ends it at once, by the reason given', async () => {
  await using server = await serveRaw(socket => {
    socket.write(ok(LARGE).subarray(0, 2 * MIB))
  })
  await using client = new TestClient({ times: { bodyMs: 5_000, floorWindowMs: 5_000 } })
  const stop = new AbortController()
  const reason = new Error('ctrl-c')
  const body = drained(await artifact(client, server, { signal: stop.signal }))
  await sleep(50)
  const begun = performance.now()
  stop.abort(reason)
  const { error, bytes } = await body
  expect(error).toBe(reason)
  expect(performance.now() - begun).toBeLessThan(150)
  expect(bytes.length).toBeGreaterThan(MIB)
  await expect.poll(() => server.sockets[0]?.destroyed).toBe(true)
})
