import { once } from 'node:events'
import { truncateSync } from 'node:fs'
import type { Socket } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { crateFile, type PlainMirror } from './plain-mirror.ts'
import { GET, type Serving, test } from './serving.ts'

const LARGE = Buffer.alloc(24 * 1024 * 1024, 'large')
const FILE = crateFile('serde', { version: '1.0.0', artifact: 'any' })

/** Far more than any socket buffers, so that a client who stops reading stops the server too. */
function large(mirror: PlainMirror): string {
  mirror.publish(1, [FILE])
  return `/${mirror.artifact(FILE, LARGE)}`
}

/** Takes the head of the answer and then no more. */
async function stopReading(socket: Socket): Promise<string> {
  const [first] = await once(socket, 'data')
  socket.pause()
  return String(first)
}

async function gone(serving: Serving, socket: Socket): Promise<void> {
  if (!socket.closed) await once(socket, 'close')
  expect((await serving.ask(''))[0]).toBe(200)
}

/** How many bytes still come of an answer that was broken off. */
async function rest(socket: Socket): Promise<number> {
  let length = 0
  socket.on('data', piece => {
    length += piece.length
  })
  socket.resume()
  if (!socket.closed) await once(socket, 'close')
  return length
}

test('a client that asks nothing is dropped', async ({ start }) => {
  const serving = await start({ silentMs: 200 })
  const socket = serving.socket()
  socket.resume()
  await gone(serving, socket)
})

test('a client that sends its head drop by drop is dropped', async ({ start }) => {
  const serving = await start({ headersMs: 200, requestMs: 300, checkMs: 50 })
  const socket = serving.socket('GET / HTTP/1.1\r\n')
  const drip = setInterval(() => socket.write('a: b\r\n'), 20)
  try {
    // what is dripped after the end is answered with a reset, which may overtake the answer
    const end = await text(socket).catch((error: NodeJS.ErrnoException) => error.code)
    expect(end).toMatch(/^HTTP\/1.1 408 |^ECONNRESET$/)
  } finally {
    clearInterval(drip)
  }
})

test('a client that stops reading is dropped', async ({ mirror, start }) => {
  const serving = await start({ silentMs: 200 })
  const socket = serving.socket(GET(large(mirror)))
  expect(await stopReading(socket)).toMatch(/^HTTP\/1.1 200 /)
  await sleep(800)
  expect(await rest(socket)).toBeLessThan(LARGE.length)
  expect(serving.log).toEqual([])
})

test('a client that reads more slowly than the pace allows is dropped', async ({
  mirror,
  start,
}) => {
  const pace = { graceMs: 100, bytesPerSecond: 1024 * 1024 }
  const serving = await start({ pace })
  const socket = serving.socket(GET(large(mirror)))
  await stopReading(socket)
  await sleep(600)
  expect(await rest(socket)).toBeLessThan(LARGE.length)
  expect(serving.log).toEqual([])
})

test('a client that pauses within the pace gets every byte', async ({ mirror, start }) => {
  const serving = await start({ pace: { graceMs: 5000, bytesPerSecond: 1024 } })
  const socket = serving.socket(GET(large(mirror), 'Connection: close\r\n'))
  const head = await stopReading(socket)
  await sleep(300)
  const length = (await rest(socket)) + head.length
  expect(length - head.indexOf('\r\n\r\n') - 4).toBe(LARGE.length)
})

test('a connection that is kept is not dropped by the pace of its last answer', async ({
  mirror,
  start,
}) => {
  mirror.publish(1, [FILE])
  const path = `/${mirror.artifact(FILE, 'small')}`
  const serving = await start({ pace: { graceMs: 100, bytesPerSecond: 1024 } })
  const socket = serving.socket(GET(path))
  await once(socket, 'data')
  await sleep(400)
  expect(socket.closed).toBe(false)
  socket.write(GET(path, 'Connection: close\r\n'))
  expect(await text(socket)).toContain('small')
})

test('a file that is cut while it is served ends the connection, and is logged', async ({
  mirror,
  start,
}) => {
  const serving = await start()
  const path = large(mirror)
  const socket = serving.socket(GET(path))
  await stopReading(socket)
  truncateSync(mirror.at(`public${path}`), 1000)
  expect(await rest(socket)).toBeLessThan(LARGE.length)
  await expect.poll(() => serving.log.join()).toMatch(/cut while it was served/)
})

test('a client that leaves in the middle is no fault', async ({ mirror, start }) => {
  const serving = await start()
  const socket = serving.socket(GET(large(mirror)))
  await stopReading(socket)
  socket.destroy()
  await sleep(100)
  expect((await serving.ask(''))[0]).toBe(200)
  expect(serving.log).toEqual([])
})

test('ten clients who ask at once for a file never asked for get it whole', {
  timeout: 30_000,
}, async ({ mirror, start }) => {
  const serving = await start()
  const path = large(mirror)
  const answers = await Promise.all(Array.from({ length: 10 }, () => serving.get(path.slice(1))))
  for (const answer of answers) {
    expect(LARGE.equals(Buffer.from(await answer.arrayBuffer()))).toBe(true)
  }
})

test('an address has so many connections and no more', async ({ start }) => {
  const serving = await start({ connectionsPerAddress: 3 })
  const sockets = [1, 2, 3].map(() => serving.socket(GET('/')))
  for (const socket of sockets) await once(socket, 'data')
  expect(await serving.raw(GET('/'))).toBe('')
  sockets[0]?.destroy()
  await sleep(100)
  expect(await serving.raw(GET('/', 'Connection: close\r\n'))).toMatch(/^HTTP\/1.1 200 /)
  for (const socket of sockets) socket.destroy()
})

test('the server has so many connections and no more', async ({ start }) => {
  const serving = await start({ connections: 2 })
  const sockets = [1, 2].map(() => serving.socket(GET('/')))
  for (const socket of sockets) await once(socket, 'data')
  expect(await serving.raw(GET('/'))).toBe('')
  for (const socket of sockets) socket.destroy()
})

test('those on which nothing moves make room, the longest first; those on which it does stay', async ({
  mirror,
  start,
}) => {
  const serving = await start({ connections: 3, stalledMs: 300, checkMs: 50 })
  const closed: string[] = []
  const opened = async (name: string, request: string) => {
    const socket = serving.socket(request)
    socket.on('close', () => closed.push(name))
    await once(socket, request === '' ? 'connect' : 'data')
    return socket
  }
  const [silent, reader] = [await opened('silent', ''), await opened('reader', GET('/'))]
  const hanger = await opened('hanger', GET(large(mirror)))
  hanger.pause()
  for (let at = 0; at < 10; at += 1) {
    reader.write(GET('/'))
    await sleep(50)
  }
  expect(await serving.raw(GET('/', 'Connection: close\r\n'))).toMatch(/^HTTP\/1.1 200 /)
  expect(closed).toEqual(['silent'])
  const late = await opened('late', GET('/'))
  reader.write(GET('/'))
  expect(await serving.raw(GET('/', 'Connection: close\r\n'))).toMatch(/^HTTP\/1.1 200 /)
  hanger.resume()
  await once(hanger, 'close')
  expect(closed).toEqual(['silent', 'hanger'])
  expect((await serving.get('metrics')).status).toBe(200)
  for (const socket of [silent, reader, late]) socket.destroy()
})

test('close lets an answer under way end, and its kept connection with it', async ({
  mirror,
  start,
}) => {
  const serving = await start({ drainMs: 10_000, keepAliveMs: 10_000 })
  const socket = serving.socket(GET(large(mirror)))
  const head = await stopReading(socket)
  const begun = performance.now()
  const closed = serving.server.close()
  const length = (await rest(socket)) + head.length
  await closed
  expect(length - head.indexOf('\r\n\r\n') - 4).toBe(LARGE.length)
  expect(performance.now() - begun).toBeLessThan(5000)
})

test('close waits so long for a client that does not read, and no longer', async ({
  mirror,
  start,
}) => {
  const serving = await start({ drainMs: 300 })
  const socket = serving.socket(GET(large(mirror)))
  await stopReading(socket)
  const begun = performance.now()
  await serving.server.close()
  const took = performance.now() - begun
  expect(took).toBeGreaterThan(250)
  expect(took).toBeLessThan(3000)
  await rest(socket)
})

test('closing twice is closing once', async ({ start }) => {
  const serving = await start()
  await Promise.all([serving.server.close(), serving.server.close()])
})
