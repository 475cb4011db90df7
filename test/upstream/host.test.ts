import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { HostGone, NotThere, TransferCut, Unavailable } from '../../src/upstream/faults.ts'
import type { HttpClient } from '../../src/upstream/http.ts'
import { backoff, HTTP_TIMES, retryAfter } from '../../src/upstream/retry.ts'
import { SHORT, TestClient } from './client.ts'
import { answer, ok, type RawServer, serveRaw } from './raw-server.ts'

/** Patience with a host: what it asks for, what all requests to it share, and when it is gone. */
const NOW = new Date('2026-11-26T12:00:00Z')

function fetched(client: HttpClient, server: RawServer, path: string): Promise<string> {
  const request = { kind: 'tile', bytesMax: 1_000, signal: AbortSignal.timeout(10_000) } as const
  return client.get(server.at(path), request).then(bytes => Buffer.from(bytes).toString())
}

function failed(client: HttpClient, server: RawServer, path: string): Promise<Error> {
  return fetched(client, server, path).then(
    text => expect.unreachable(`"${text}" came`),
    error => error,
  )
}

const patience = (status: number, seconds: string | undefined): Buffer =>
  answer(`${status} Later`, [
    'content-length: 0',
    ...(seconds === undefined ? [] : [`retry-after: ${seconds}`]),
  ])

test.for<[unknown, number | undefined]>([
  ['0', 0],
  ['7', 7_000],
  ['999999', 999_999_000],
  ['Thu, 26 Nov 2026 12:01:30 GMT', 90_000],
  ['Thu, 26 Nov 2026 12:00:00 GMT', 0],
  ['Thu, 26 Nov 2026 11:59:59 GMT', undefined],
  ['-5', undefined],
  ['1.5', undefined],
  ['abc', undefined],
  ['', undefined],
  ['1e3', undefined],
  ['2027', 2_027_000],
  ['2027-01-01', undefined],
  ['9'.repeat(13), undefined],
  [['1', '2'], undefined],
  [undefined, undefined],
])('Retry-After %j means %j ms', ([value, ms]) => {
  expect(retryAfter(value, NOW)).toBe(ms)
})

test('the wait between tries doubles up to a minute, with jitter below', () => {
  const waits = (random: number): number[] =>
    [1, 2, 3, 8, 50].map(attempt => backoff(attempt, HTTP_TIMES, () => random))
  expect(waits(1)).toEqual([500, 1_000, 2_000, 60_000, 60_000])
  expect(waits(0)).toEqual([250, 500, 1_000, 30_000, 30_000])
})

describe.concurrent('a host that asks for patience', () => {
  test.for(['-5', 'abc', 'Thu, 26 Nov 2020 12:00:00 GMT', undefined])(
    '503 with Retry-After %s counts against the one answer',
    async seconds => {
      await using server = await serveRaw(socket => socket.write(patience(503, seconds)))
      await using client = new TestClient()
      expect(await failed(client, server, '/a')).toBeInstanceOf(Unavailable)
      expect(server.requests).toHaveLength(3)
    },
  )

  test.for<[number, string]>([
    [503, '999999'],
    [429, '601'],
  ])(
    '%i with Retry-After %s is not waited for: the host is done for this run',
    async ([status, seconds]) => {
      await using server = await serveRaw(socket => socket.write(patience(status, seconds)))
      await using client = new TestClient()
      const error = await failed(client, server, '/a')
      expect(error).toBeInstanceOf(HostGone)
      expect(error).toMatchObject({ code: 'incomplete', transient: false })
      expect(error.message).toContain(`asks to wait ${seconds} s, at most 600 s are waited`)
      expect(await failed(client, server, '/b')).toBeInstanceOf(HostGone)
      expect(server.requests).toHaveLength(1)
    },
  )

  test('a brake of a second holds all requests to that host, and then they go', async () => {
    const at: number[] = []
    await using server = await serveRaw((socket, { n }) => {
      at.push(performance.now())
      socket.write(n === 1 ? patience(429, '1') : ok('fine'))
    })
    await using other = await serveRaw(socket => socket.write(ok('other')))
    await using client = new TestClient()
    const braked = fetched(client, server, '/a')
    await expect.poll(() => at.length).toBe(1)
    await sleep(100)
    const begun = performance.now()
    expect(await fetched(client, other, '/')).toBe('other')
    expect(performance.now() - begun).toBeLessThan(800)
    expect(await fetched(client, server, '/b')).toBe('fine')
    expect(await braked).toBe('fine')
    for (const later of at.slice(1)) expect(later - (at[0] ?? 0)).toBeGreaterThan(990)
    expect(at).toHaveLength(3)
  })

  test('429 three times in a row, with nothing served between, is a host that is done', async () => {
    await using server = await serveRaw(socket => socket.write(patience(429, undefined)))
    await using client = new TestClient()
    const errors = [await failed(client, server, '/a'), await failed(client, server, '/b')]
    expect(errors[1]).toBeInstanceOf(HostGone)
    expect(errors[1]?.message).toMatch(/status 429, 3 times in a row$/)
    expect(server.requests).toHaveLength(3)
  })

  test('patience for one path does not end a host that serves others', async () => {
    let refuse: (() => void) | undefined
    let others = 0
    await using server = await serveRaw((socket, { path }) => {
      if (path === '/busy') {
        others = 0
        refuse = (): boolean => socket.write(patience(503, '0'))
      } else {
        socket.write(ok('fine'))
        others += 1
        // a second request means that the first was answered
        if (others === 2) refuse?.()
      }
    })
    await using client = new TestClient()
    let isOver = false
    const meanwhile = (async (): Promise<void> => {
      while (!isOver) expect(await fetched(client, server, '/a')).toBe('fine')
    })()
    expect(await failed(client, server, '/busy')).toBeInstanceOf(Unavailable)
    isOver = true
    await meanwhile
    expect(await fetched(client, server, '/b')).toBe('fine')
  })
})

describe.concurrent('a host that is gone', () => {
  test('nobody listens: gone after three tries, and not asked again', async () => {
    const server = await serveRaw(() => {})
    await server.die()
    await using client = new TestClient()
    const error = await failed(client, server, '/a')
    expect(error).toBeInstanceOf(HostGone)
    expect(error.message).toContain(`cannot connect to ${server.origin}: ECONNREFUSED`)
    expect(error.message).toContain('nothing was answered in 3 tries')
    await server.listen()
    await using _ = server
    expect(await failed(client, server, '/b')).toBe(error)
    expect(server.requests).toHaveLength(0)
  })

  test('a name that does not resolve is a host that is gone', async () => {
    await using client = new TestClient()
    const place = { origin: 'http://crates.invalid', path: '/x' }
    const signal = AbortSignal.timeout(10_000)
    const asked = client.get(place, { kind: 'tile', bytesMax: 1_000, signal })
    await expect(asked).rejects.toThrow(/cannot connect to http:\/\/crates\.invalid: E[A-Z_]+/)
  })

  test('it dies mid-way: what was under way is cut, what follows ends soon', async () => {
    await using server = await serveRaw((socket, { n }) => {
      if (n <= 3) socket.write(ok('fine'))
      else socket.write(answer('200 OK', ['content-length: 10'], 'half'))
    })
    await using client = new TestClient()
    for (const path of ['/1', '/2', '/3']) expect(await fetched(client, server, path)).toBe('fine')
    const underWay = failed(client, server, '/4')
    await expect.poll(() => server.requests.length).toBe(4)
    await server.die()
    expect((await underWay).message).toContain('ECONNREFUSED')
    expect(await failed(client, server, '/5')).toBeInstanceOf(HostGone)
  })

  test('many requests that fail together are one silence, not many', async () => {
    await using server = await serveRaw((socket, { n }) => {
      if (n > 8) socket.write(ok('fine'))
    })
    await using client = new TestClient()
    const paths = ['/1', '/2', '/3', '/4', '/5', '/6', '/7', '/8']
    const texts = await Promise.all(paths.map(path => fetched(client, server, path)))
    expect(texts).toEqual(Array(8).fill('fine'))
    expect(server.requests).toHaveLength(16)
  })

  test('a path that is never answered does not end a host that serves others', async () => {
    await using server = await serveRaw((socket, { path }) => {
      if (path !== '/hangs') socket.write(ok('fine'))
    })
    await using client = new TestClient()
    let isOver = false
    const others = (async (): Promise<void> => {
      while (!isOver) {
        expect(await fetched(client, server, '/a')).toBe('fine')
        await sleep(10)
      }
    })()
    const error = await failed(client, server, '/hangs')
    isOver = true
    await others
    expect(error).toBeInstanceOf(TransferCut)
    expect(await fetched(client, server, '/b')).toBe('fine')
  })

  test('a host that begins answers and completes none is gone after a while', async () => {
    await using server = await serveRaw(socket => {
      socket.write(answer('200 OK', ['content-length: 10'], 'half'))
    })
    const times = { headersMs: 60, bodyMs: 60, requestMs: 60, floorWindowMs: 60 }
    await using client = new TestClient({ times })
    const errors: Error[] = []
    while (!(errors.at(-1) instanceof HostGone) && errors.length < 20) {
      errors.push(await failed(client, server, '/a'))
    }
    expect(errors[0]).toBeInstanceOf(TransferCut)
    expect(errors.at(-1)?.message).toMatch(/nothing was completed in \d+ s$/)
  })

  test('missing files are answers: they cost one request and never end a host', async () => {
    await using server = await serveRaw(socket => {
      socket.write(answer('404 Not Found', ['content-length: 0']))
    })
    await using client = new TestClient()
    for (let i = 0; i < 10; i += 1) {
      expect(await failed(client, server, `/${i}`)).toBeInstanceOf(NotThere)
    }
    expect(server.requests).toHaveLength(10)
  })
})

test('the defaults are those of the manual', () => {
  expect(HTTP_TIMES).toMatchObject({
    connectMs: 10_000,
    requestMs: 60_000,
    floorBytesPerSecond: 1_024,
    floorWindowMs: 30_000,
    retryAfterMsMax: 600_000,
  })
  expect(Object.keys(HTTP_TIMES)).toEqual(expect.arrayContaining(Object.keys(SHORT)))
})
