import { expect, test } from 'vitest'
import { NotThere, TransferCut, Unavailable, WrongForm } from '../../src/upstream/faults.ts'
import type { Revalidation } from '../../src/upstream/http.ts'
import { conditionFor, isEtag } from '../../src/upstream/validators.ts'
import { TestClient } from './client.ts'
import { answer, ok, type RawServer, type Script, serveRaw } from './raw-server.ts'

/** Asking whether a small thing is still what it was: what is sent, and when "yes" is believed. */
const DATE = 'Thu, 26 Nov 2026 12:00:00 GMT'
const NOT_MODIFIED = answer('304 Not Modified', [])

function asked(validators: Pick<Revalidation, 'etag' | 'lastModified'>): Revalidation {
  const signal = AbortSignal.timeout(10_000)
  return { kind: 'index file', bytesMax: 1_000, ...validators, signal }
}

const conditions = (server: RawServer): (string | undefined)[] =>
  server.requests.map(({ head }) => /^if-.*(?=\r$)/im.exec(head)?.[0])

const say =
  (bytes: Uint8Array): Script =>
  socket => {
    socket.write(bytes)
  }

test('what comes anew brings what it says of itself, and an ETag goes back byte for byte', async () => {
  const tags = ['"abc"', 'W/"weak"', '""', '"!#[]~"']
  for (const etag of tags) {
    await using server = await serveRaw((socket, { head }) => {
      const isKnown = head.includes(`if-none-match: ${etag}\r\n`)
      socket.write(isKnown ? NOT_MODIFIED : ok('fine', `etag: ${etag}`, `last-modified: ${DATE}`))
    })
    await using client = new TestClient({ connections: 1 })
    const first = await client.revalidate(server.at('/a'), asked({}))
    if (first.isUnchanged) expect.unreachable('unchanged, unasked')
    const { bytes, lastModified } = first
    expect(Buffer.from(bytes).toString()).toBe('fine')
    expect(first).toMatchObject({ isUnchanged: false, etag, lastModified: DATE })
    const again = { etag: first.etag, lastModified }
    expect(await client.revalidate(server.at('/a'), asked(again))).toEqual({ isUnchanged: true })
    // the finer of the two conditions is sent, and it alone
    expect(conditions(server)).toEqual([undefined, `if-none-match: ${etag}`])
    expect(server.sockets).toHaveLength(1)
  }
})

test('without an ETag the date is asked by', async () => {
  await using server = await serveRaw(say(NOT_MODIFIED))
  await using client = new TestClient()
  const unchanged = await client.revalidate(server.at('/a'), asked({ lastModified: DATE }))
  expect(unchanged).toEqual({ isUnchanged: true })
  expect(conditions(server)).toEqual([`if-modified-since: ${DATE}`])
})

test.for<[string, Pick<Revalidation, 'etag' | 'lastModified'>]>([
  ['nothing is known', {}],
  ['the ETag known is none', { etag: 'abc' }],
  ['the date known is none', { lastModified: 'yesterday' }],
])('"not modified" is a wrong answer where %s', async ([, known]) => {
  await using server = await serveRaw(say(NOT_MODIFIED))
  await using client = new TestClient()
  const error = await client.revalidate(server.at('/a'), asked(known)).catch(error => error)
  expect(error).toBeInstanceOf(WrongForm)
  expect(error).toMatchObject({ code: 'incomplete', transient: false })
  expect(error.message).toContain('expected status 200, found 304')
  expect(conditions(server)).toEqual([undefined])
})

test('a condition goes with its redirect', async () => {
  const moved = answer('302 Moved', ['content-length: 0', 'location: /b'])
  await using server = await serveRaw((socket, { path }) => {
    socket.write(path === '/a' ? moved : NOT_MODIFIED)
  })
  await using client = new TestClient()
  const unchanged = await client.revalidate(server.at('/a'), asked({ etag: '"a"' }))
  expect(unchanged).toEqual({ isUnchanged: true })
  expect(conditions(server)).toEqual(['if-none-match: "a"', 'if-none-match: "a"'])
})

test.for<[string, string]>([
  ['unquoted', 'abc'],
  ['longer than 256 characters', `"${'a'.repeat(255)}"`],
  ['with a space', '"a b"'],
  ['with a quote in it', '"a"b"'],
  ['with a letter that is not ASCII', '"\u00e9"'],
  ['of another case', 'w/"a"'],
])('an ETag %s is not remembered', async ([, etag]) => {
  await using server = await serveRaw(say(ok('fine', `etag: ${etag}`, 'last-modified: soon')))
  await using client = new TestClient()
  const seen = await client.revalidate(server.at('/a'), asked({}))
  expect(seen).toMatchObject({ isUnchanged: false, etag: undefined, lastModified: undefined })
})

test('two ETags are none, and no ETag brings a header line of its own', async () => {
  await using server = await serveRaw(say(ok('fine', 'etag: "a"', 'etag: "b"')))
  await using client = new TestClient()
  const seen = await client.revalidate(server.at('/a'), asked({ etag: '"a"\r\nx-evil: 1' }))
  expect(seen).toMatchObject({ etag: undefined })
  expect(server.requests[0]?.head).not.toMatch(/evil|if-none-match/)
  expect(isEtag(`"${'a'.repeat(254)}"`)).toBe(true)
  expect(conditionFor({ etag: '"a"\n', lastModified: `${DATE}\r\n` })).toBeUndefined()
})

test('"not modified" may name a length; nothing is waited for', async () => {
  await using server = await serveRaw(
    say(answer('304 Not Modified', ['content-length: 100', 'etag: "a"'])),
  )
  await using client = new TestClient()
  for (const path of ['/a', '/b']) {
    const begun = performance.now()
    const seen = await client.revalidate(server.at(path), asked({ etag: '"a"' }))
    expect(seen).toEqual({ isUnchanged: true })
    expect(performance.now() - begun).toBeLessThan(250)
  }
})

test.for<[string, Uint8Array, new (...args: never[]) => Error, number]>([
  ['a passing failure', answer('500 Sorry', ['content-length: 0']), Unavailable, 3],
  ['a body without a length', answer('200 OK', []), TransferCut, 3],
  ['a file that is gone', answer('404 Not Found', ['content-length: 0']), NotThere, 1],
  ['a body that is too long', ok(Buffer.alloc(1_001)), WrongForm, 1],
])('%s is tried as often as without a condition', async ([, bytes, kind, tries]) => {
  await using server = await serveRaw(socket => socket.write(bytes))
  await using client = new TestClient()
  const error = await client
    .revalidate(server.at('/a'), asked({ etag: '"a"' }))
    .catch(error => error)
  expect(error).toBeInstanceOf(kind)
  expect(server.requests).toHaveLength(tries)
  expect(new Set(conditions(server))).toEqual(new Set(['if-none-match: "a"']))
})
