import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { CrateName } from '../../src/registry/crate-name.ts'
import { type IndexLine, IndexLineRefused, readIndexLine } from '../../src/registry/index-line.ts'

const SERDE = 'serde' as CrateName
const CHECKSUM = '96e8'.repeat(16)
const FIELDS = {
  name: 'serde',
  vers: '1.0.0',
  deps: [],
  cksum: CHECKSUM,
  features: {},
  yanked: false,
}

const read = (text: string): IndexLine => readIndexLine(Buffer.from(text), SERDE)
const line = (fields: object = {}): string => JSON.stringify({ ...FIELDS, ...fields })
/** The line with more text before its last brace. */
const withText = (text: string): string => `${line().slice(0, -1)},${text}}`

function refusal(
  text: string | Uint8Array,
): Pick<IndexLineRefused, 'kind' | 'message' | 'version'> {
  try {
    const entry = readIndexLine(Buffer.from(text), SERDE)
    throw new Error(`read as ${JSON.stringify(entry)}`)
  } catch (error) {
    if (!(error instanceof IndexLineRefused)) throw error
    return { kind: error.kind, message: error.message, version: error.version }
  }
}

test('a line of crates.io is read as it states', () => {
  expect(read(line())).toEqual({
    crate: 'serde',
    version: '1.0.0',
    checksum: CHECKSUM,
    yanked: false,
  })
  expect(read(line({ yanked: true })).yanked).toBe(true)
})

test.for<[string, object]>([
  ['a yanked of null, which the schema allows', { yanked: null }],
  ['no yanked', { yanked: undefined }],
  ['the second format, with features2', { features2: { a: ['dep:b'] }, v: 2 }],
  ['the first format, spelled out', { v: 1 }],
  ['a v of null', { v: null }],
  ['a field of the future', { pubtime: '2026-01-01T00:00:00Z', later: [{ a: 1 }] }],
  ['oddities of old', { deps: [{ name: 'x', features: [''] }], features: { b: [], a: [] } }],
  ['keys that a plain object inherits', { constructor: 1, toString: 2, hasOwnProperty: 3 }],
  ['numbers as keys', { features: { 10: [], 2: [], a: [] } }],
  ['letters beyond ASCII', { links: 'Zürich 東京 😀' }],
  ['an escape', { links: 'a\nb' }],
])('%s changes nothing of what is read', ([, fields]) => {
  expect(read(line(fields))).toEqual(read(line()))
})

test.for([
  ['a carriage return at the end', `${line()}\r`],
  ['white space before and after', ` \r\t${line()} \t`],
  ['white space inside', JSON.stringify(FIELDS, null, 1).replaceAll('\n', ' ')],
  ['a __proto__ of its own', withText('"__proto__":{"name":"tokio","cksum":"x"}')],
  ['escaped letters in a key', line().replace('"name"', '"n\\u0061me"')],
  ['brackets in a text that holds a quote', withText(`"x":"\\"${'['.repeat(40)}"`)],
  ['a number with a fraction', withText('"x":1.50')],
  ['a number too large for any', withText('"x":1e999')],
])('%s is tolerated', ([, text = '']) => {
  expect(read(text)).toEqual(read(line()))
})

test('the name keeps its own case, and the version its build metadata', () => {
  expect(read(line({ name: 'Serde' })).crate).toBe('Serde')
  expect(read(line({ vers: '110.0.0+1.1.0f' })).version).toBe('110.0.0+1.1.0f')
})

test('a line tells which version it meant where that much can be read', () => {
  expect(refusal(line({ cksum: '' }))).toEqual({
    kind: 'odd',
    message: 'cksum "" is not 64 lower-case hex digits',
    version: '1.0.0',
  })
  expect(refusal(line({ name: '../x' })).version).toBe('1.0.0')
  expect(refusal(line({ v: 3 }))).toMatchObject({ kind: 'newer', version: '1.0.0' })
  expect(refusal(withText('"cksum":"x"')).version).toBe('1.0.0')
  expect(refusal(line({ vers: 'latest' })).version).toBeUndefined()
})

test('of a newer format nothing but the name is judged', () => {
  expect(refusal(line({ v: 3, cksum: undefined })).kind).toBe('newer')
  expect(refusal(line({ v: 3, name: 'tokio' })).kind).toBe('foreign')
  expect(refusal(line({ v: 4_294_967_296 })).message).toBe('v 4294967296 is newer than 2')
})

test('a version whose file no disk could hold is told apart from no version', () => {
  const longest = `1.0.0-${'a'.repeat(255 - 'serde-1.0.0-.crate'.length)}`
  expect(read(line({ vers: longest })).version).toBe(longest)
  expect(refusal(line({ vers: `${longest}a` })).message).toMatch(
    /^the file name of version "1\.0\.0-a+…" is longer than 255 bytes$/,
  )
})

test('what is shown of a line is short and moves no cursor', () => {
  const messages = [
    refusal(line({ name: '\u001b[2J\u202e' })),
    refusal(line({ vers: '\u009b31m' })),
    refusal(line({ cksum: 'f'.repeat(1_000_000) })),
    refusal(line({ cksum: { a: '\u001b' } })),
    refusal('\u001b[2J\u0007'),
  ].map(({ message }) => message)
  for (const message of messages) {
    expect(message).not.toMatch(/[\p{Cc}\p{Cf}]/u)
    expect(message.length).toBeLessThan(200)
  }
})

/** Lines of every kind: good ones, and good ones with something changed, left out or put in. */
const values = fc.oneof(
  fc.jsonValue({ maxDepth: 3 }),
  fc.constantFrom('serde', 'Serde', 'tokio', '../x', '1.0.0', '01.0.0', CHECKSUM, true, null, 3),
)
const keys = fc.oneof(
  fc.constantFrom('name', 'vers', 'cksum', 'yanked', 'v', 'deps', '__proto__', 'constructor'),
  fc.string(),
)
const telling = fc.constantFrom<[string, unknown]>(['v', 3], ['v', 2], ['name', 'tokio'])
const objects = fc
  .array(fc.oneof(fc.tuple(keys, values), telling), { maxLength: 4 })
  .map(pairs => line(Object.fromEntries(pairs)))
const noise = fc.constantFrom(...'{}[]",:\\0e- \r\n\0', '\\ud800', '\ufeff', '"cksum":1,', '[[[[')
const damaged = fc
  .tuple(objects, fc.nat(), fc.nat({ max: 3 }), noise)
  .map(([text, at, cut, put]) => {
    const place = at % (text.length + 1)
    return text.slice(0, place) + put + text.slice(place + cut)
  })
const lines = fc.oneof(
  objects.map(text => Buffer.from(text)),
  damaged.map(text => Buffer.from(text)),
  fc.uint8Array({ maxLength: 40 }).map(bytes => Buffer.from(bytes)),
  fc.tuple(damaged, fc.nat(), fc.nat({ max: 255 })).map(([text, at, byte]) => {
    const bytes = Buffer.from(text)
    bytes[at % bytes.length] = byte
    return bytes
  }),
)

test('ten thousand lines of any kind give an entry or our own refusal, each at once (P17)', () => {
  const outcomes = new Map<string, number>()
  let slowest = 0
  fc.assert(
    fc.property(lines, bytes => {
      const start = process.threadCpuUsage()
      let outcome = 'read'
      try {
        const entry = readIndexLine(bytes, SERDE)
        expect(entry.crate.toLowerCase()).toBe('serde')
        expect(entry.checksum).toMatch(/^[0-9a-f]{64}$/)
      } catch (error) {
        if (!(error instanceof IndexLineRefused)) throw error
        outcome = error.kind
      }
      const { user, system } = process.threadCpuUsage(start)
      slowest = Math.max(slowest, (user + system) / 1000)
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
    }),
    { numRuns: 10_000 },
  )
  expect(slowest, 'milliseconds for the slowest line').toBeLessThan(100)
  // the lines are worth something only if they come to every end
  for (const outcome of ['read', 'odd', 'form', 'foreign', 'newer']) {
    expect(outcomes.get(outcome), outcome).toBeGreaterThan(20)
  }
})
