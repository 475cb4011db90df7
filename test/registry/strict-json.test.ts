import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  type JsonLimits,
  JsonRefused,
  type JsonShape,
  scanJson,
} from '../../src/registry/strict-json.ts'

const LIMITS: JsonLimits = { depthMax: 32, integersOnly: false }

const bytesOf = (text: string): Buffer => Buffer.from(text)
const scan = (text: string, limits: Partial<JsonLimits> = {}): JsonShape =>
  scanJson(bytesOf(text), { ...LIMITS, ...limits })

/** The message of a refusal; anything but our own error is a failed test. */
function refusal(bytes: Uint8Array, limits: Partial<JsonLimits> = {}): string | undefined {
  try {
    scanJson(bytes, { ...LIMITS, ...limits })
    return undefined
  } catch (error) {
    if (!(error instanceof JsonRefused)) throw error
    expect(error.message).toMatch(new RegExp(` at byte ${error.offset}$`))
    expect(error.offset).toBeLessThanOrEqual(bytes.length)
    return error.message
  }
}

function parses(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

test('the kind of a document is told', () => {
  expect(scan(' {"a":1}\n').kind).toBe('object')
  expect(scan('\t[{}]\r\n').kind).toBe('array')
  for (const scalar of ['"{"', '-1.5e+3', '0', 'true', 'null']) {
    expect(scan(scalar).kind).toBe('scalar')
  }
})

test('the members of the outermost object are found where their bytes stand', () => {
  const text = '{ "a" : 1 , "\\u0062":{"x":["}",2]},"":"\\"", "é":null}'
  const { members } = scan(text)
  const values = [...members].map(([key, { start, end }]) => [
    key,
    bytesOf(text).toString('utf8', start, end),
  ])
  expect(values).toEqual([
    ['a', '1'],
    ['b', '{"x":["}",2]}'],
    ['', '"\\""'],
    ['é', 'null'],
  ])
  expect(scan('[{"a":1}]').members.size).toBe(0)
})

test.for([
  ['{"a":1,"a":2}', 'a key given twice at byte 7'],
  ['{"a":1,"\\u0061":2}', 'a key given twice at byte 7'],
  ['{"\\/":1,"/":2}', 'a key given twice at byte 8'],
  ['{"é":1,"\\u00e9":2}', 'a key given twice at byte 8'],
  ['{"😀":1,"\\ud83d\\uDE00":2}', 'a key given twice at byte 10'],
  ['{"":1,"":2}', 'a key given twice at byte 6'],
  ['[{"b":{"a":1,"c":2,"a":3}}]', 'a key given twice at byte 19'],
  ['{"__proto__":1,"__proto__":2}', 'a key given twice at byte 15'],
])('%s holds a key twice', ([text = '', message]) => {
  expect(refusal(bytesOf(text))).toBe(message)
})

test.for([
  '{"a":{"a":{"a":1}}}',
  '[{"a":1},{"a":1}]',
  '{"a":1,"A":2}',
  '{"é":1,"e\\u0301":2}',
  '{"__proto__":{},"constructor":1}',
])('%s holds no key twice', text => {
  expect(scan(text).kind).toMatch(/object|array/)
})

test.for([
  ['"\\ud800"', 'half of a surrogate pair at byte 1'],
  ['"\\udc00"', 'half of a surrogate pair at byte 1'],
  ['"\\udc00\\udc00"', 'half of a surrogate pair at byte 1'],
  ['"x\\ud800\\u0041"', 'half of a surrogate pair at byte 2'],
  ['"\\ud800\\ud800"', 'half of a surrogate pair at byte 1'],
  ['"\\ud800x"', 'half of a surrogate pair at byte 1'],
  ['{"\\uDFFF":1}', 'half of a surrogate pair at byte 2'],
  ['"\\ud800\\u"', 'a broken escape at byte 7'],
  ['"\\u12g4"', 'a broken escape at byte 1'],
  ['"\\u123', 'a broken escape at byte 1'],
  ['"\\x41"', "not JSON: unexpected 'x' at byte 2"],
  ['"\\', 'cut off: no more JSON at byte 2'],
  ['"a', 'cut off: no more JSON at byte 2'],
  ['"a\tb"', 'not JSON: unexpected byte 0x09 at byte 2'],
  ['"a\0b"', 'not JSON: unexpected byte 0x00 at byte 2'],
  ['"a\nb"', 'not JSON: unexpected byte 0x0a at byte 2'],
])('the text %j is refused', ([text = '', message]) => {
  expect(refusal(bytesOf(text))).toBe(message)
})

test.for<[string, number[]]>([
  ['an overlong slash in 2 bytes', [0xc0, 0xaf]],
  ['an overlong NUL', [0xc0, 0x80]],
  ['an overlong letter', [0xc1, 0xa1]],
  ['an overlong slash in 3 bytes', [0xe0, 0x80, 0xaf]],
  ['an overlong character just below the bound', [0xe0, 0x9f, 0xbf]],
  ['an overlong character in 4 bytes', [0xf0, 0x8f, 0xbf, 0xbf]],
  ['a surrogate', [0xed, 0xa0, 0x80]],
  ['a pair of surrogates', [0xed, 0xa0, 0xbd, 0xed, 0xb8, 0x80]],
  ['more than U+10FFFF', [0xf4, 0x90, 0x80, 0x80]],
  ['a lead byte of old', [0xf8, 0x88, 0x80, 0x80, 0x80]],
  ['a continuation alone', [0x80]],
  ['a byte of no UTF-8', [0xff]],
  ['2 bytes cut', [0xc3]],
  ['3 bytes cut', [0xe2, 0x82]],
  ['4 bytes cut', [0xf0, 0x9f, 0x98]],
])('%s is not UTF-8', ([, bytes]) => {
  const quote = [0x22]
  expect(refusal(Buffer.from([...quote, ...bytes, ...quote]))).toBe('invalid UTF-8 at byte 1')
  expect(refusal(Buffer.from([...quote, ...bytes]))).toBe('invalid UTF-8 at byte 1')
})

test('every character of Unicode that is one is taken, every other is not', () => {
  for (const edge of [0x80, 0x7ff, 0x800, 0xfff, 0xd7ff, 0xe000, 0xffff, 0x10000, 0x10ffff]) {
    expect(refusal(bytesOf(`"${String.fromCodePoint(edge)}"`)), edge.toString(16)).toBeUndefined()
  }
  const decoder = new TextDecoder('utf-8', { fatal: true })
  const isUtf8 = (bytes: Uint8Array): boolean => {
    try {
      return decoder.decode(bytes) !== ''
    } catch {
      return false
    }
  }
  const high = fc.integer({ min: 0x80, max: 0xff })
  fc.assert(
    fc.property(fc.array(high, { minLength: 1, maxLength: 4 }), bytes => {
      const text = Buffer.from([0x22, ...bytes, 0x22])
      expect(refusal(text) === undefined).toBe(isUtf8(Buffer.from(bytes)))
    }),
    { numRuns: 5000 },
  )
})

test('a byte order mark and an empty body are named', () => {
  expect(refusal(bytesOf('\ufeff{}'))).toBe('a byte order mark at byte 0')
  expect(refusal(bytesOf(''))).toBe('no JSON but an empty body at byte 0')
  expect(refusal(bytesOf(' \n'))).toBe('no JSON but an empty body at byte 2')
})

test.for([
  ['{"a":1}x', 'bytes after the document at byte 7'],
  ['1 2', 'bytes after the document at byte 2'],
  ['{}{}', 'bytes after the document at byte 2'],
  ['{"a":1,}', "not JSON: unexpected '}' at byte 7"],
  ['[1,]', "not JSON: unexpected ']' at byte 3"],
  ['[,1]', "not JSON: unexpected ',' at byte 1"],
  ['[1}', "not JSON: unexpected '}' at byte 2"],
  ['{"a"}', "not JSON: unexpected '}' at byte 4"],
  ['{a:1}', "not JSON: unexpected 'a' at byte 1"],
  ["{'a':1}", "not JSON: unexpected ''' at byte 1"],
  ['{"a":1', 'cut off: no more JSON at byte 6'],
  ['[', 'cut off: no more JSON at byte 1'],
  ['tru', "not JSON: unexpected 't' at byte 0"],
  ['True', "not JSON: unexpected 'T' at byte 0"],
  ['NaN', "not JSON: unexpected 'N' at byte 0"],
  ['// x\n1', "not JSON: unexpected '/' at byte 0"],
  ['\u00a01', 'not JSON: unexpected byte 0xc2 at byte 0'],
  ['<html>', "not JSON: unexpected '<' at byte 0"],
])('%j is not JSON', ([text = '', message]) => {
  expect(refusal(bytesOf(text))).toBe(message)
  expect(parses(text)).toBe(false)
})

test('what may be nested is counted from the outermost', () => {
  const nested = (depth: number): string => `${'['.repeat(depth)}${']'.repeat(depth)}`
  expect(scan(nested(32)).kind).toBe('array')
  expect(refusal(bytesOf(nested(33)))).toBe('nested deeper than 32 at byte 32')
  expect(refusal(bytesOf('{"a":{"b":{}}}'), { depthMax: 2 })).toBe(
    'nested deeper than 2 at byte 10',
  )
  expect(scan('[[],[],[]]', { depthMax: 2 }).kind).toBe('array')
})

test('a million brackets cost neither stack nor time', () => {
  expect(refusal(bytesOf('['.repeat(1_000_000)))).toBe('nested deeper than 32 at byte 32')
  const start = performance.now()
  const deep = { depthMax: Number.POSITIVE_INFINITY }
  expect(refusal(bytesOf('['.repeat(1_000_000)), deep)).toMatch(/^cut off/)
  expect(performance.now() - start).toBeLessThan(1000)
})

test.for(['0', '-1', '42', '9007199254740991', '-9007199254740991'])(
  'the integer %s is one that canonical JSON can hold',
  text => {
    expect(refusal(bytesOf(text), { integersOnly: true })).toBeUndefined()
  },
)

const NO_INTEGER = 'a number that is no integer within ±(2^53−1) at byte 0'
test.for([
  '-0',
  '1.0',
  '1e3',
  '1E3',
  '0.5',
  '1e999',
  '9007199254740992',
  '9007199254740993',
  '-9007199254740992',
  '100000000000000000000',
  '9'.repeat(40),
])('the number %s is refused where only integers are due', text => {
  expect(refusal(bytesOf(text), { integersOnly: true })).toBe(NO_INTEGER)
  expect(refusal(bytesOf(text))).toBeUndefined()
})

test.for([
  '01',
  '-',
  '+1',
  '.5',
  '1.',
  '1.e3',
  '1e',
  '1e+',
  '0x10',
  '-01',
  '1_000',
  'Infinity',
  '１',
])('%s is no number, whatever is due', text => {
  expect(refusal(bytesOf(text))).toBeTypeOf('string')
  expect(refusal(bytesOf(text), { integersOnly: true })).toBeTypeOf('string')
  expect(parses(text)).toBe(false)
})

test('what JSON.stringify writes is strict JSON', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), fc.constantFrom(0, 1, '\t'), (value, space) => {
      const text = JSON.stringify(value, null, space)
      expect(refusal(bytesOf(text)), text).toBeUndefined()
    }),
    { numRuns: 1000 },
  )
})

test('each member is the bytes that JSON.parse reads as its value', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string({ unit: 'grapheme' }), fc.jsonValue()), value => {
      const bytes = bytesOf(JSON.stringify(value, null, 1))
      const { members } = scanJson(bytes, LIMITS)
      expect([...members.keys()]).toEqual(Object.keys(value))
      for (const [key, { start, end }] of members) {
        const member = JSON.parse(bytes.toString('utf8', start, end)) as unknown
        expect(JSON.stringify(member)).toBe(JSON.stringify(value[key]))
      }
    }),
  )
})

const PIECES = [...'{}[]:,"\\ \n0123e.-+ab', '"a"', '"b"', 'true', 'null', '\\u0041', '"a":', '1,']
const soup = fc.array(fc.constantFrom(...PIECES), { maxLength: 8 }).map(pieces => pieces.join(''))
/** A document with one character changed, left out or put in. */
const damaged = fc
  .tuple(fc.json({ maxDepth: 3 }), fc.nat(), fc.nat({ max: 1 }), fc.constantFrom('', ...PIECES))
  .map(([text, at, cut, piece]) => {
    const place = at % (text.length + 1)
    return text.slice(0, place) + piece + text.slice(place + cut)
  })

test('strict JSON is JSON, and what is refused without one of the known reasons is none', () => {
  let strict = 0
  fc.assert(
    fc.property(fc.oneof(soup, damaged), text => {
      const message = refusal(bytesOf(text))
      if (message === undefined) strict += 1
      // such a reason may come before the place where the text stops being JSON at all
      else if (/twice|surrogate|deeper/.test(message)) return
      expect(parses(text), `${JSON.stringify(text)}: ${message}`).toBe(message === undefined)
    }),
    { numRuns: 5000 },
  )
  expect(strict).toBeGreaterThan(100)
})
