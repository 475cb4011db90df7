import { randomBytes } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { TransferCut, WrongForm } from '../../src/upstream/faults.ts'
import { drained, TestClient } from './client.ts'
import { answer, chunk, ok, serveRaw } from './raw-server.ts'

/** Small things may travel as gzip: what comes out is bounded, and a cut is seen in the body itself. */
const TEXT = Buffer.from('{"name":"serde","vers":"1.0.0"}\n'.repeat(3_000))
const NOISE = randomBytes(1_000)
const GZIP = 'content-encoding: gzip'
const CHUNKED = 'transfer-encoding: chunked'

type Kind = 'metadata' | 'tile' | 'index file' | 'config' | 'feed'

interface Expected {
  readonly kind?: Kind
  readonly bytesMax?: number
  readonly length?: number
}

/** What becomes of an answer, and in how many tries. */
async function outcome(
  sent: Uint8Array,
  { kind = 'index file', bytesMax = 1_000_000, ...length }: Expected = {},
  end: 'open' | 'fin' | 'rst' = 'open',
): Promise<{ got: Uint8Array | Error; tries: number }> {
  await using server = await serveRaw(socket => {
    socket.write(sent, () => {
      if (end === 'fin') socket.end()
      if (end === 'rst') socket.resetAndDestroy()
    })
  })
  await using client = new TestClient()
  const signal = AbortSignal.timeout(10_000)
  const got = await client
    .get(server.at('/x'), { kind, bytesMax, ...length, signal })
    .catch((error: Error) => error)
  return { got, tries: server.requests.length }
}

function isText(got: Uint8Array | Error): void {
  if (got instanceof Error) throw got
  expect(Buffer.compare(got, TEXT)).toBe(0)
}

test.for<Kind>(['metadata', 'tile', 'index file', 'config', 'feed'])(
  'a %s may come as gzip',
  async kind => {
    const { got, tries } = await outcome(ok(gzipSync(TEXT), GZIP), { kind })
    isText(got)
    expect(tries).toBe(1)
  },
)

test('the signed length is that of what comes out, not of what travels', async () => {
  const packed = gzipSync(TEXT)
  const length = TEXT.length
  isText((await outcome(ok(packed, GZIP), { length })).got)
  const chunks = Buffer.concat([chunk(packed.subarray(0, 9)), chunk(packed.subarray(9)), chunk('')])
  isText((await outcome(answer('200 OK', [CHUNKED, GZIP], chunks), { length })).got)
  for (const wrong of [length - 1, length + 1]) {
    const { got, tries } = await outcome(ok(packed, GZIP), { length: wrong })
    expect(got).toBeInstanceOf(WrongForm)
    const found = wrong < length ? 'more' : length
    expect((got as Error).message).toContain(`expected ${wrong} bytes as signed, found ${found}`)
    expect(tries).toBe(3)
  }
})

test('what gzip makes longer is taken all the same', async () => {
  for (const level of [0, 9]) {
    const packed = gzipSync(NOISE, { level })
    expect(packed.length).toBeGreaterThan(NOISE.length)
    const { got } = await outcome(ok(packed, GZIP), { bytesMax: NOISE.length })
    expect(Buffer.compare(got as Uint8Array, NOISE)).toBe(0)
  }
})

test('a file of several members is one file', async () => {
  const members = [TEXT.subarray(0, 99), TEXT.subarray(99)].map(part => gzipSync(part))
  isText((await outcome(ok(Buffer.concat(members), GZIP))).got)
})

test.for<[string, (packed: Buffer) => Buffer, RegExp]>([
  [
    'cut in its middle',
    packed => packed.subarray(0, packed.length >> 1),
    /cut after \d+ bytes of gzip/,
  ],
  ['cut in its header', packed => packed.subarray(0, 5), /cut after 5 bytes of gzip/],
  ['empty', () => Buffer.alloc(0), /cut after 0 bytes of gzip/],
  ['without its trailer', packed => packed.subarray(0, -8), /cut after \d+ bytes of gzip/],
  ['without its last byte', packed => packed.subarray(0, -1), /cut after \d+ bytes of gzip/],
  ['followed by text', packed => Buffer.concat([packed, TEXT]), /damaged gzip/],
  ['followed by one byte', packed => Buffer.concat([packed, Buffer.from('x')]), /cut after/],
  [
    'followed by zeros',
    packed => Buffer.concat([packed, Buffer.alloc(7)]),
    /7 bytes after the end of its gzip/,
  ],
  [
    'followed by half a member',
    packed => Buffer.concat([packed, packed.subarray(0, 50)]),
    /cut after/,
  ],
  [
    'with a flipped bit',
    packed => packed.with(packed.length - 9, 0xff) as Buffer,
    /damaged gzip|cut after/,
  ],
  [
    'with a wrong checksum',
    packed => packed.with(packed.length - 6, (packed.at(-6) ?? 0) ^ 1) as Buffer,
    /damaged gzip/,
  ],
])(
  'a gzip body %s is damage that another try may mend, however right its frame',
  async ([, damage, says]) => {
    const { got, tries } = await outcome(ok(Buffer.from(damage(gzipSync(TEXT))), GZIP))
    expect(got).toBeInstanceOf(TransferCut)
    expect((got as Error).message).toMatch(says)
    expect(tries).toBe(3)
  },
)

test('a gzip body whose connection ends early is cut, and without any frame it ends itself', async () => {
  const packed = gzipSync(TEXT)
  const length = TEXT.length
  for (const end of ['fin', 'rst'] as const) {
    const { got } = await outcome(ok(packed, GZIP).subarray(0, -20), { length }, end)
    expect(got).toBeInstanceOf(TransferCut)
  }
  isText((await outcome(answer('200 OK', [GZIP], packed), { length }, 'fin')).got)
  const { got } = await outcome(answer('200 OK', [GZIP], packed.subarray(0, -9)), { length }, 'fin')
  expect(got).toBeInstanceOf(TransferCut)
})

test('a bomb is stopped at the bound, and not inflated on (P15)', async () => {
  const bomb = gzipSync(Buffer.alloc(200_000_000))
  expect(bomb.length).toBeLessThan(250_000)
  const before = process.memoryUsage().rss
  const begun = performance.now()
  const { got, tries } = await outcome(ok(bomb, GZIP), { kind: 'metadata', bytesMax: 1_000_000 })
  expect(got).toBeInstanceOf(WrongForm)
  expect(got).toMatchObject({ code: 'refused', transient: false })
  expect((got as Error).message).toContain('longer than 1000000 bytes, the most for this metadata')
  expect(tries).toBe(1)
  expect(performance.now() - begun).toBeLessThan(300)
  expect(process.memoryUsage().rss - before).toBeLessThan(100_000_000)
})

test('so is one that is long before it is inflated (P15)', async () => {
  const announced = await outcome(ok(Buffer.alloc(3_000), GZIP), { bytesMax: 1_000 })
  expect((announced.got as Error).message).toContain('longer than 1000 bytes')
  const members = Buffer.concat(Array<Buffer>(2_000_000 / 20).fill(gzipSync('')))
  const { got } = await outcome(answer('200 OK', [CHUNKED, GZIP], chunk(members)), {
    bytesMax: 1_000,
  })
  expect((got as Error).message).toContain('longer than 1000 bytes')
})

test('an artifact is never decoded: its bytes are what is hashed and continued', async () => {
  await using server = await serveRaw((socket, { range }) => {
    const head = [GZIP, 'content-length: 40', 'content-range: bytes 60-99/100']
    if (range === undefined) socket.write(ok(gzipSync(TEXT), GZIP))
    else socket.write(answer('206 Partial Content', head, Buffer.alloc(40)))
  })
  await using client = new TestClient()
  for (const offset of [0, 60]) {
    const signal = AbortSignal.timeout(10_000)
    const asked = client.artifact(server.at('/x.crate'), { offset, signal })
    await expect(asked.then(drained)).rejects.toThrow('encoded as "gzip", which was not asked for')
  }
  for (const { head } of server.requests) expect(head).toContain('accept-encoding: identity\r\n')
})
