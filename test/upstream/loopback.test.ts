import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { get, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test as base, expect } from 'vitest'
import { type LoopbackUpstream, serveFolder } from '../upstream.ts'
import type { Fault } from '../upstream-faults.ts'

/**
 * The kit itself: a fault that does not happen would make every test that leans on it pass. Asked
 * through node:http, so that the client under test cannot hide what the kit really sends.
 */
const BODY = randomBytes(100_000)

const test = base
  .extend('folder', async ({}, { onCleanup }) => {
    const folder = await mkdtempDisposable(join(tmpdir(), 'loopback-'))
    onCleanup(() => folder.remove())
    mkdirSync(join(folder.path, 'tuf'))
    writeFileSync(join(folder.path, 'a.crate'), BODY)
    writeFileSync(join(folder.path, 'tuf/1.root.json'), '{}')
    return folder.path
  })
  .extend('upstream', async ({ folder }, { onCleanup }) => {
    const upstream = await serveFolder(folder)
    onCleanup(() => upstream[Symbol.asyncDispose]())
    return upstream
  })

interface Seen {
  readonly status: number | undefined
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
  /** How it ended: 'whole', or the error's code. */
  readonly end: string | undefined
}

/** What really comes, and after `patienceMs` of silence that nothing more does. */
function ask(
  upstream: LoopbackUpstream,
  path: string,
  { range, patienceMs = 2_000 }: { range?: string; patienceMs?: number } = {},
): Promise<Seen> {
  return new Promise(resolve => {
    let head: Pick<IncomingMessage, 'statusCode' | 'headers'> | undefined
    const pieces: Buffer[] = []
    const end = (end: string | undefined): void => {
      const { statusCode: status, headers = {} } = head ?? {}
      resolve({ status, headers, body: Buffer.concat(pieces), end })
    }
    const failed = (error: NodeJS.ErrnoException): void => end(error.code)
    const headers = range === undefined ? {} : { range }
    const request = get(new URL(path, upstream.url), { headers }, answer => {
      head = answer
      answer.on('data', piece => pieces.push(piece))
      answer.on('end', () => end('whole')).on('error', failed)
    })
    request.on('error', failed)
    request.setTimeout(patienceMs, () => {
      end('silent')
      request.destroy()
    })
  })
}

test('files come whole, with their length, over one connection', async ({ upstream }) => {
  const crate = await ask(upstream, 'a.crate')
  expect(crate).toMatchObject({ status: 200, end: 'whole' })
  expect(crate.headers['content-length']).toBe('100000')
  expect(crate.body.equals(BODY)).toBe(true)
  expect((await ask(upstream, 'tuf/1.root.json?x')).body.toString()).toBe('{}')
  for (const missing of ['b.crate', 'tuf', 'a.crate/x', '%2e%2e%2fetc/passwd']) {
    expect(await ask(upstream, missing)).toMatchObject({ status: 404, end: 'whole' })
  }
  expect(upstream.connections).toBe(1)
  expect(upstream.requests.count(/\.crate$/)).toBe(2)
  expect(upstream.requests[1]?.path).toBe('/tuf/1.root.json?x')
  expect(upstream.bytesSent).toBeGreaterThan(100_002)
  expect(upstream.bytesSent).toBeLessThan(103_000)
  upstream.requests.clear()
  expect(upstream.requests).toHaveLength(0)
})

test.for<[string, number, string | undefined, number, number]>([
  ['bytes=60000-', 206, 'bytes 60000-99999/100000', 60_000, 100_000],
  ['bytes=5-9', 206, 'bytes 5-9/100000', 5, 10],
  ['bytes=-10', 206, 'bytes 99990-99999/100000', 99_990, 100_000],
  ['bytes=99999-200000', 206, 'bytes 99999-99999/100000', 99_999, 100_000],
  ['lines=1-', 200, undefined, 0, 100_000],
])(
  'the range %s is answered by %i',
  async ([range, status, contentRange, from, to], { upstream }) => {
    const seen = await ask(upstream, 'a.crate', { range })
    expect(seen).toMatchObject({ status, end: 'whole' })
    expect(seen.headers['content-range']).toBe(contentRange)
    expect(seen.body.equals(BODY.subarray(from, to))).toBe(true)
    expect(upstream.requests[0]?.range).toBe(range)
  },
)

test('a range beyond the end is answered by 416 and the size', async ({ upstream }) => {
  const seen = await ask(upstream, 'a.crate', { range: 'bytes=100000-' })
  expect(seen).toMatchObject({ status: 416, headers: { 'content-range': 'bytes */100000' } })
})

test.for<[string, Fault, Partial<Omit<Seen, 'body'>> & { came: number }]>([
  ['cut by FIN', { kind: 'cut', at: 0.6 }, { status: 200, came: 60_000, end: 'ECONNRESET' }],
  ['cut before it begins', { kind: 'cut', at: 0 }, { status: 200, came: 0, end: 'ECONNRESET' }],
  ['stalled', { kind: 'stall' }, { status: 200, came: 0, end: 'silent' }],
  ['stalled half-way', { kind: 'stall', at: 0.5 }, { status: 200, came: 50_000, end: 'silent' }],
  ['not answered', { kind: 'hang' }, { status: undefined, came: 0, end: 'silent' }],
  ['closed', { kind: 'close' }, { status: undefined, came: 0, end: 'ECONNRESET' }],
  ['promised longer', { kind: 'length', by: 7 }, { came: 100_000, end: 'ECONNRESET' }],
  ['promised shorter', { kind: 'length', by: -7 }, { came: 99_993 }],
  ['a shifted range', { kind: 'shifted', by: 3 }, { status: 206, came: 49_997, end: 'whole' }],
  ['a range ignored', { kind: 'no-ranges' }, { status: 200, came: 100_000, end: 'whole' }],
  ['another file', { kind: 'other-file', path: '/tuf/1.root.json' }, { came: 2, end: 'whole' }],
])('%s is what really comes', async ([, fault, { came, ...expected }], { upstream }) => {
  upstream.misbehave(/\.crate$/, fault)
  const isRange = fault.kind === 'shifted' || fault.kind === 'no-ranges'
  const options = isRange ? { range: 'bytes=50000-' } : {}
  const seen = await ask(upstream, 'a.crate', { patienceMs: 150, ...options })
  expect(seen).toMatchObject(expected)
  expect(seen.body).toHaveLength(came)
  expect(await ask(upstream, 'tuf/1.root.json')).toMatchObject({ status: 200, end: 'whole' })
})

test('a reset ends what a FIN would have ended', async ({ upstream }) => {
  upstream.misbehave(/./, { kind: 'cut', at: 0.6, by: 'rst' })
  const seen = await ask(upstream, 'a.crate')
  expect(seen).toMatchObject({ status: 200, end: 'ECONNRESET' })
  expect(seen.body.length).toBeLessThanOrEqual(60_000)
})

test('one flipped bit is all that differs', async ({ upstream }) => {
  upstream.misbehave(/./, { kind: 'flip' })
  const { body, end } = await ask(upstream, 'a.crate')
  expect(end).toBe('whole')
  const odd = [...body.keys()].filter(at => body[at] !== BODY[at])
  expect(odd).toEqual([50_000])
})

test('a status has its headers, a portal page is HTML with 200', async ({ upstream }) => {
  const headers = { 'retry-after': '7' }
  upstream.misbehave(/\.crate$/, { kind: 'status', status: 503, headers }, { times: 1 })
  upstream.misbehave(/\.crate$/, { kind: 'page' })
  expect(await ask(upstream, 'a.crate')).toMatchObject({ status: 503, headers })
  const page = await ask(upstream, 'a.crate')
  expect(page).toMatchObject({ status: 200, headers: { 'content-type': 'text/html' } })
  expect(page.body.toString()).toMatch(/^<html>/)
})

test('a fault acts on the requests it was told to, and can be taken back', async ({ upstream }) => {
  upstream.misbehave(/crate/g, { kind: 'status', status: 500 }, { skip: 1, times: 2 })
  const statuses = async (n: number): Promise<(number | undefined)[]> => {
    const seen: (number | undefined)[] = []
    for (let i = 0; i < n; i += 1) seen.push((await ask(upstream, 'a.crate')).status)
    return seen
  }
  expect(await statuses(4)).toEqual([200, 500, 500, 200])
  upstream.misbehave(/crate/, { kind: 'status', status: 404 })
  expect(await statuses(1)).toEqual([404])
  upstream.behave()
  expect(await statuses(1)).toEqual([200])
})

test('a thin line is shared by all answers', async ({ upstream }) => {
  upstream.throttle(1_000_000)
  const begun = performance.now()
  await Promise.all([ask(upstream, 'a.crate'), ask(upstream, 'a.crate'), ask(upstream, 'a.crate')])
  expect(performance.now() - begun).toBeGreaterThan(280)
  upstream.throttle(undefined)
  upstream.misbehave(/crate/, { kind: 'slow', bytesPerSecond: 500_000 })
  const slow = performance.now()
  expect(await ask(upstream, 'a.crate')).toMatchObject({ end: 'whole' })
  expect(performance.now() - slow).toBeGreaterThan(180)
})

test('another folder is served from the next request on', async ({ upstream, folder }) => {
  mkdirSync(join(folder, 'older'))
  writeFileSync(join(folder, 'older/a.crate'), 'older')
  upstream.folder = join(folder, 'older')
  expect((await ask(upstream, 'a.crate')).body.toString()).toBe('older')
})

test('an upstream that goes away cuts what is under way and comes back under its URL', async ({
  upstream,
}) => {
  const { url } = upstream
  upstream.misbehave(/./, { kind: 'stall', at: 0.5 }, { times: 1 })
  const cut = ask(upstream, 'a.crate')
  await expect.poll(() => upstream.bytesSent).toBeGreaterThan(50_000)
  await upstream.goAway()
  expect(await cut).toMatchObject({ end: 'ECONNRESET' })
  expect(await ask(upstream, 'a.crate')).toMatchObject({ end: 'ECONNREFUSED' })
  await upstream.comeBack()
  expect(upstream.url).toBe(url)
  expect(await ask(upstream, 'a.crate')).toMatchObject({ status: 200, end: 'whole' })
})
