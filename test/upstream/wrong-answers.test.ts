import { randomBytes } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import {
  Garbled,
  HostGone,
  NotThere,
  TransferCut,
  Unavailable,
  WrongForm,
} from '../../src/upstream/faults.ts'
import { TestClient } from './client.ts'
import { endlessly, say } from './hostile-answers.ts'
import { answer, chunk, ok, type Script, serveRaw } from './raw-server.ts'

/**
 * What a hostile or a broken server does, and what we make of it: under which of our own names it
 * fails, with which code, and how often it was asked for. The client is the real one, its library
 * included, since libraries change their minds about such answers.
 */
const BODY = randomBytes(100)
const CUT = BODY.subarray(0, 60)
const LENGTH = 'content-length: 100'
const CHUNKED = 'transfer-encoding: chunked'
const KIB_OF_HEADERS = Array.from({ length: 20 }, (_, i) => `x-${i}: ${'y'.repeat(1_000)}`)
const MANY_HEADERS = Array.from({ length: 5_000 }, (_, i) => `x-${i}: y`)
const ZEROS = gzipSync(Buffer.alloc(50_000_000))

type Kind = 'metadata' | 'tile' | 'index file'

interface Outcome {
  readonly error: new (...args: never[]) => Error
  /** `incomplete` unless told. */
  readonly code?: 'refused'
  readonly tries: 1 | 2 | 3
  readonly says?: RegExp
}

/** Passing: asked for again to the last try. */
const cut: Outcome = { error: TransferCut, tries: 3 }
const garbled: Outcome = { error: Garbled, code: 'refused', tries: 2 }
const refused: Outcome = { error: WrongForm, code: 'refused', tries: 1 }
const odd: Outcome = { error: WrongForm, tries: 1 }
const gone: Outcome = { error: HostGone, tries: 3 }

/** Of an index file 100 bytes are signed; of the others nobody knows the length. */
async function outcome(kind: Kind, script: Script): Promise<{ error: unknown; tries: number }> {
  await using server = await serveRaw(script)
  await using client = new TestClient()
  const length = kind === 'index file' ? { length: 100 } : {}
  const signal = AbortSignal.timeout(10_000)
  const asked = client.get(server.at('/x'), { kind, bytesMax: 1_000, ...length, signal })
  const error = await asked.then(
    bytes => bytes,
    error => error,
  )
  return { error, tries: server.requests.length }
}

test.concurrent.for<[string, Kind, Script, Outcome]>([
  ['FIN at 60 %', 'metadata', say(answer('200 OK', [LENGTH], CUT), 'fin'), cut],
  ['RST at 60 %', 'metadata', say(answer('200 OK', [LENGTH], CUT), 'rst'), cut],
  ['without a length, RST', 'metadata', say(answer('200 OK', [], CUT), 'rst'), cut],
  [
    'without a length, FIN',
    'metadata',
    say(answer('200 OK', [], CUT), 'fin'),
    { ...cut, says: /came without a length, so a cut could not be seen/ },
  ],
  [
    'without a length, shorter than signed',
    'index file',
    say(answer('200 OK', [], CUT), 'fin'),
    { ...cut, says: /cut after 60 of 100 bytes/ },
  ],
  [
    'without a length, longer than signed',
    'index file',
    say(answer('200 OK', [], Buffer.alloc(101)), 'fin'),
    { error: WrongForm, tries: 3, says: /expected 100 bytes as signed, found more/ },
  ],
  [
    'without a length, reset, shorter than signed',
    'index file',
    say(answer('200 OK', [], CUT), 'rst'),
    cut,
  ],
  ['chunked, cut', 'metadata', say(answer('200 OK', [CHUNKED], chunk(CUT)), 'fin'), cut],
  ['a bad chunk size', 'metadata', say(answer('200 OK', [CHUNKED], 'zz\r\n')), cut],
  ['a stall after the head', 'metadata', say(answer('200 OK', [LENGTH])), cut],
  ['a stall at 60 %', 'metadata', say(answer('200 OK', [LENGTH], CUT)), cut],
  [
    'one byte every 20 ms',
    'metadata',
    endlessly(answer('200 OK', [LENGTH]), Buffer.from('x'), 20),
    { ...cut, says: /took longer than 0\.5 s/ },
  ],
  [
    'interim answers for ever',
    'metadata',
    endlessly(Buffer.alloc(0), answer('103 Early Hints', []), 20),
    { error: HostGone, tries: 3, says: /took longer than/ },
  ],
  ['no answer at all', 'metadata', () => {}, gone],
  ['a close without an answer', 'metadata', socket => socket.end(), gone],
  ['a reset without an answer', 'metadata', socket => socket.resetAndDestroy(), gone],
  [
    'a length shorter than signed',
    'index file',
    say(answer('200 OK', ['content-length: 60'], BODY)),
    { error: WrongForm, tries: 3, says: /expected 100 bytes as signed, found 60/ },
  ],
  [
    'a length longer than signed',
    'index file',
    say(ok(Buffer.alloc(101))),
    { error: WrongForm, tries: 3, says: /expected 100 bytes as signed, found 101/ },
  ],
  [
    'chunks shorter than signed',
    'index file',
    say(answer('200 OK', [CHUNKED], Buffer.concat([chunk(CUT), chunk('')]))),
    { error: WrongForm, tries: 3, says: /expected 100 bytes as signed, found 60/ },
  ],
  [
    'chunks longer than signed',
    'index file',
    say(answer('200 OK', [CHUNKED], Buffer.concat([chunk(Buffer.alloc(101)), chunk('')]))),
    { error: WrongForm, tries: 3, says: /as signed, found more/ },
  ],
  ['two equal lengths', 'metadata', say(answer('200 OK', [LENGTH, LENGTH], BODY)), garbled],
  ['two lengths', 'metadata', say(answer('200 OK', [LENGTH, 'content-length: 60'], BODY)), garbled],
  [
    'a length and chunks',
    'metadata',
    say(answer('200 OK', [LENGTH, CHUNKED], chunk(BODY))),
    garbled,
  ],
  [
    'chunks and a length',
    'metadata',
    say(answer('200 OK', [CHUNKED, LENGTH], chunk(BODY))),
    garbled,
  ],
  ['a negative length', 'metadata', say(answer('200 OK', ['content-length: -1'], BODY)), garbled],
  [
    'a length of 10^22',
    'metadata',
    say(answer('200 OK', [`content-length: 1${'0'.repeat(22)}`])),
    garbled,
  ],
  [
    'two lengths',
    'tile',
    say(answer('200 OK', [LENGTH, LENGTH], BODY)),
    { error: Garbled, tries: 2 },
  ],
  [
    '20 KiB of headers',
    'metadata',
    say(answer('200 OK', [LENGTH, ...KIB_OF_HEADERS], BODY)),
    { ...odd, says: /more than 16384 bytes of headers/ },
  ],
  ['5,000 headers', 'metadata', say(answer('200 OK', [LENGTH, ...MANY_HEADERS], BODY)), odd],
  [
    'bare LF in the head',
    'metadata',
    say(Buffer.from(`HTTP/1.1 200 OK\n${LENGTH}\n\n${'x'.repeat(100)}`)),
    garbled,
  ],
  [
    '1,000 times 100 Continue',
    'metadata',
    say(Buffer.from('HTTP/1.1 100 Continue\r\n\r\n'.repeat(1_000))),
    garbled,
  ],
  [
    'an upgrade that nobody asked for',
    'metadata',
    say(answer('101 Switching Protocols', ['upgrade: x', 'connection: upgrade'])),
    garbled,
  ],
  ['what is not HTTP', 'metadata', say(Buffer.from('220 mail.example ESMTP\r\n')), garbled],
  ['status 000', 'metadata', say(answer('000 Nothing', [LENGTH], BODY)), garbled],
  ['status 999', 'metadata', say(answer('999 Odd', [LENGTH], BODY)), odd],
  ['status 201', 'metadata', say(answer('201 Created', [LENGTH], BODY)), odd],
  ['status 204 with a body', 'metadata', say(answer('204 No Content', [LENGTH], BODY)), odd],
  ['status 304 that nobody asked for', 'metadata', say(answer('304 Not Modified', [])), odd],
  ['status 416 that nobody asked for', 'metadata', say(answer('416 Range', [LENGTH], BODY)), odd],
  ['status 401', 'metadata', say(answer('401 Unauthorized', [LENGTH], BODY)), odd],
  [
    'status 206 that nobody asked for',
    'metadata',
    say(answer('206 Partial Content', [LENGTH, 'content-range: bytes 0-99/100'], BODY)),
    { error: WrongForm, tries: 3, says: /expected status 200, found 206/ },
  ],
  ['a gzip bomb', 'metadata', say(ok(ZEROS, 'content-encoding: gzip')), refused],
  ['gzip twice', 'metadata', say(ok(BODY, 'content-encoding: gzip, gzip')), refused],
  ['deflate', 'metadata', say(ok(BODY, 'content-encoding: deflate')), refused],
  [
    'gzip in two headers',
    'metadata',
    say(ok(BODY, 'content-encoding: identity', 'content-encoding: gzip')),
    refused,
  ],
  [
    'gzip claimed of plain bytes',
    'metadata',
    say(ok(BODY, 'content-encoding: GZIP')),
    { ...refused, says: /says that it is gzip, and is not/ },
  ],
  [
    'a gzip body cut, lengths consistent',
    'metadata',
    say(ok(gzipSync(BODY).subarray(0, 60), 'content-encoding: gzip')),
    { ...cut, says: /cut after 60 bytes of gzip/ },
  ],
  [
    'gzip as a transfer coding',
    'metadata',
    say(answer('200 OK', ['transfer-encoding: gzip, chunked'], chunk(BODY))),
    refused,
  ],
  ['brotli', 'tile', say(ok(BODY, 'content-encoding: br')), odd],
  ['zstd', 'index file', say(ok(BODY, 'content-encoding: zstd')), odd],
  [
    'a length over the limit',
    'metadata',
    say(ok(Buffer.alloc(1_001))),
    { ...refused, says: /longer than 1000 bytes, the most for this metadata/ },
  ],
  [
    'an endless body',
    'metadata',
    endlessly(answer('200 OK', [CHUNKED]), chunk(Buffer.alloc(10_000))),
    refused,
  ],
  [
    'an endless body',
    'tile',
    endlessly(answer('200 OK', [CHUNKED]), chunk(Buffer.alloc(10_000))),
    odd,
  ],
  ...[500, 502, 503, 504, 408, 425].map((status): [string, Kind, Script, Outcome] => [
    `status ${status}`,
    'metadata',
    say(answer(`${status} Sorry`, [LENGTH], BODY)),
    { error: Unavailable, tries: 3, says: RegExp(`status ${status}$`) },
  ]),
  ...[403, 404, 410, 451].map((status): [string, Kind, Script, Outcome] => [
    `status ${status}`,
    'metadata',
    say(answer(`${status} Missing`, [LENGTH], BODY)),
    { error: NotThere, tries: 1, says: RegExp(`not there \\(status ${status}\\)`) },
  ]),
])('%s (%s)', async ([, kind, script, expected]) => {
  const { error, tries } = await outcome(kind, script)
  expect(error).toBeInstanceOf(expected.error)
  expect(error).toMatchObject({ code: expected.code ?? 'incomplete' })
  expect((error as Error).message).toMatch(expected.says ?? /^http:\/\/127\.0\.0\.1:\d+/)
  expect(tries).toBe(expected.tries)
})

test.for<[string, Kind, Script]>([
  ['a length', 'metadata', say(ok(BODY))],
  [
    'chunks',
    'metadata',
    say(
      answer('200 OK', [CHUNKED], Buffer.concat([chunk(CUT), chunk(BODY.subarray(60)), chunk('')])),
    ),
  ],
  ['Content-Encoding: identity', 'metadata', say(ok(BODY, 'content-encoding: identity'))],
  ['nothing, and the signed length came', 'index file', say(answer('200 OK', [], BODY), 'fin')],
  ['nothing, reset after the signed length', 'index file', say(answer('200 OK', [], BODY), 'rst')],
  [
    'a few interim answers first',
    'metadata',
    say(Buffer.concat([answer('103 Early Hints', []), ok(BODY)])),
  ],
])('a body framed by %s comes whole (%s)', async ([, kind, script]) => {
  const { error: bytes, tries } = await outcome(kind, script)
  expect(Buffer.from(bytes as Uint8Array).equals(BODY)).toBe(true)
  expect(tries).toBe(1)
})

test('a length that is too small gives a short body, which only its hash can refuse', async () => {
  const { error: bytes } = await outcome(
    'metadata',
    say(answer('200 OK', ['content-length: 60'], BODY)),
  )
  expect(Buffer.from(bytes as Uint8Array).equals(CUT)).toBe(true)
})

test('what is wrong once is asked for again, and right then', async () => {
  for (const once of [
    say(answer('200 OK', [LENGTH], CUT), 'rst'),
    say(Buffer.from('HTTP/9 what?\r\n\r\n')),
    say(answer('500 Sorry', [LENGTH], BODY)),
    say(ok(CUT)),
    say(answer('200 OK', [LENGTH], CUT)),
  ]) {
    const { error: bytes, tries } = await outcome('index file', (socket, request) =>
      (request.n === 1 ? once : say(ok(BODY)))(socket, request),
    )
    expect(Buffer.from(bytes as Uint8Array).equals(BODY)).toBe(true)
    expect(tries).toBe(2)
  }
})

test('of an endless body little more than the limit is taken from the wire (P15)', async () => {
  let sent = 0
  const { error } = await outcome('metadata', (socket, request) => {
    socket.on('close', () => {
      sent = socket.bytesWritten
    })
    endlessly(answer('200 OK', [CHUNKED]), chunk(Buffer.alloc(10_000)))(socket, request)
  })
  expect(error).toBeInstanceOf(WrongForm)
  await expect.poll(() => sent).toBeGreaterThan(1_000)
  // What the two socket buffers of this machine hold was on its way already.
  expect(sent).toBeLessThan(16_000_000)
})

test('a second answer that nobody asked for is not taken for the next one where a length is signed', async () => {
  const poison = Buffer.alloc(40, 'x')
  await using server = await serveRaw((socket, { n }) => {
    socket.write(n === 1 ? Buffer.concat([ok(BODY), ok(poison)]) : ok(BODY))
  })
  await using client = new TestClient({ connections: 1 })
  const request = { kind: 'index file', bytesMax: 1_000, length: 100 } as const
  const signal = AbortSignal.timeout(10_000)
  const [first, second] = await Promise.all([
    client.get(server.at('/1'), { ...request, signal }),
    client.get(server.at('/2'), { ...request, signal }),
  ])
  expect(Buffer.from(first).equals(BODY)).toBe(true)
  expect(Buffer.from(second).equals(BODY)).toBe(true)
})
