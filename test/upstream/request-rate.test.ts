import { expect, test } from 'vitest'
import { RequestRate } from '../../src/upstream/request-rate.ts'
import { TestClient } from './client.ts'
import { answer, ok, serveRaw } from './raw-server.ts'

/** A rate that an upstream can rely on: even, and one for all transfers of a host. */
const tile = (): { kind: 'tile'; bytesMax: number; signal: AbortSignal } => ({
  kind: 'tile',
  bytesMax: 1_000,
  signal: AbortSignal.timeout(10_000),
})

test('each request has the next free instant, and time that passed unused is no credit', () => {
  const rate = new RequestRate(4)
  expect([rate.take(1_000), rate.take(1_000), rate.take(1_100)]).toEqual([0, 250, 400])
  expect([rate.take(60_000), rate.take(60_000), rate.take(60_250)]).toEqual([0, 250, 250])
})

test('all transfers of a host share its rate, artifacts too, and other hosts do not wait', async () => {
  const at: number[] = []
  await using server = await serveRaw(socket => {
    at.push(performance.now())
    socket.write(ok('fine'))
  })
  await using other = await serveRaw(socket => socket.write(ok('fine')))
  await using client = new TestClient({ requestsPerSecond: 50 })
  const begun = performance.now()
  const { signal } = tile()
  const busy = Promise.all(
    Array.from({ length: 11 }, (_, i) =>
      i % 2 === 0
        ? client.get(server.at(`/${i}`), tile())
        : client.artifact(server.at(`/${i}`), { offset: 0, signal }),
    ),
  )
  await client.get(other.at('/'), tile())
  expect(performance.now() - begun).toBeLessThan(150)
  await busy
  expect(at).toHaveLength(11)
  expect((at.at(-1) ?? 0) - begun).toBeGreaterThan(190)
  // evenly: no tenth of a second sees more than its share, timers apart
  for (const start of at) {
    expect(at.filter(time => time >= start && time < start + 100).length).toBeLessThanOrEqual(8)
  }
})

test('tries and redirects count as the requests they are', async () => {
  const moved = answer('302 Moved', ['content-length: 0', 'location: /b'])
  await using server = await serveRaw((socket, { n }) => {
    if (n === 1) socket.write(answer('500 Sorry', ['content-length: 0']))
    else socket.write(n === 2 ? moved : ok('fine'))
  })
  await using client = new TestClient({ requestsPerSecond: 10 })
  const begun = performance.now()
  await client.get(server.at('/a'), tile())
  expect(server.requests).toHaveLength(3)
  expect(performance.now() - begun).toBeGreaterThan(195)
})

test('a stop while waiting for a turn ends at once', async () => {
  await using server = await serveRaw(socket => socket.write(ok('fine')))
  await using client = new TestClient({ requestsPerSecond: 1 })
  await client.get(server.at('/a'), tile())
  const stop = new AbortController()
  const reason = new Error('the operator pressed ctrl-c')
  const waiting = client.get(server.at('/b'), { ...tile(), signal: stop.signal })
  const begun = performance.now()
  setTimeout(() => stop.abort(reason), 20)
  await expect(waiting).rejects.toBe(reason)
  expect(performance.now() - begun).toBeLessThan(300)
  expect(server.requests).toHaveLength(1)
})
