import { randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import { expect, test } from 'vitest'
import { Traffic } from '../../src/upstream/traffic.ts'
import { drained, TestClient } from './client.ts'

async function serving(body: Buffer): Promise<AsyncDisposable & { readonly origin: string }> {
  const server = createServer((_request, response) => {
    response.setHeader('content-length', body.length)
    response.end(body)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' ? address?.port : 0
  return {
    origin: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

test('the debt of what came is paid at the rate of the moment, and looked at twice a second', () => {
  let rate: number | undefined = 1000
  const traffic = new Traffic(() => rate)
  expect(traffic.heldMs(0)).toBe(0)
  traffic.took(10_000)
  expect(traffic.heldMs(0)).toBe(500)
  expect(traffic.heldMs(9_700)).toBe(200)
  expect(traffic.heldMs(9_900)).toBe(0)
  traffic.took(10_000)
  rate = undefined
  expect(traffic.heldMs(9_900)).toBe(0)
  expect(traffic.received).toBe(20_000)
})

test('bodies of all connections together come no faster than the rate, and whole', {
  timeout: 30_000,
}, async () => {
  const body = randomBytes(400_000)
  await using server = await serving(body)
  const traffic = new Traffic(() => 1_000_000)
  await using client = new TestClient({ traffic, times: { requestMs: 20_000 } })
  const { signal } = new AbortController()
  const begun = performance.now()
  const bodies = await Promise.all(
    Array.from({ length: 6 }, async () => {
      const place = { origin: server.origin, path: '/' }
      return await drained(await client.artifact(place, { offset: 0, signal }))
    }),
  )
  const seconds = (performance.now() - begun) / 1000
  for (const { bytes, error } of bodies) {
    expect(error).toBeUndefined()
    expect(bytes.equals(body)).toBe(true)
  }
  expect(traffic.received).toBe(2_400_000)
  // slower for any reason is not wrong; faster is: a burst of each connection comes on top
  expect(seconds).toBeGreaterThan(1.5)
})

test('a rate that is lifted frees what is held back within a second', {
  timeout: 30_000,
}, async () => {
  const body = randomBytes(2_000_000)
  await using server = await serving(body)
  let rate: number | undefined = 1024
  await using client = new TestClient({ traffic: new Traffic(() => rate) })
  const { signal } = new AbortController()
  const place = { origin: server.origin, path: '/' }
  const coming = drained(await client.artifact(place, { offset: 0, signal }))
  setTimeout(() => {
    rate = undefined
  }, 500)
  expect((await coming).bytes.equals(body)).toBe(true)
})
