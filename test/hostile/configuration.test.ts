import { expect, test } from 'vitest'
import { type Config, parseConfig } from '../../src/config.ts'
import { MirrorError } from '../../src/error.ts'

/** Every fault of a `crateferry.toml` is exit code 64 and one line that names where (P17). */

const FILE = 'crateferry.toml'
const MIB = 1024 * 1024

function refusal(text: string | Uint8Array): string {
  let config: Config
  try {
    config = parseConfig(Buffer.from(text), FILE)
  } catch (error) {
    if (!(error instanceof MirrorError)) throw error
    expect(error.code).toBe('usage')
    expect(error.message.length).toBeLessThan(300)
    expect(error.message).not.toMatch(/[\p{Cc}\p{Cf}]/u)
    return error.message
  }
  throw new Error(`read as ${JSON.stringify(config)}`)
}

test.for([
  ['[sync]\nconections = 8', 'unknown key "sync.conections"; did you mean "sync.connections"?'],
  [
    '[sync]\nconnectSeconds = 8',
    'unknown key "sync.connectSeconds"; did you mean "sync.connect-seconds"?',
  ],
  ['[sync]\nTries = 2', 'unknown key "sync.Tries"; did you mean "sync.tries"?'],
  ['[sink]\ntries = 2', 'unknown key "sink"; did you mean "sync"?'],
  ['[Guard]', 'unknown key "Guard"; did you mean "guard"?'],
  ['connections = 8', 'unknown key "connections"; did you mean "select"?'],
  ['[sync.retry]\ntries = 2', 'unknown key "sync.retry"; did you mean "sync.tries"?'],
  ['[__proto__]\ntries = 2', 'unknown key "__proto__"; did you mean "store"?'],
  ['[sync]\nconstructor = 2', 'unknown key "sync.constructor"; did you mean "sync.connections"?'],
  ['[sync]\n"\\u001b[2J" = 2', 'unknown key "sync.\\u001b[2J"; did you mean "sync.tries"?'],
  [
    `[sync]\n${'k'.repeat(200)} = 2`,
    `unknown key "sync.${'k'.repeat(75)}…"; did you mean "sync.connections"?`,
  ],
])('the unknown key in %j is named, with the nearest one', ([text = '', message]) => {
  expect(refusal(text)).toBe(`${FILE}: ${message}`)
})

test.for([
  ['0', '0'],
  ['-1', '-1'],
  ['257', '257'],
  ['1e9', '1000000000'],
  ['1.5', '1.5'],
  ['"8"', '"8"'],
  ['inf', 'Infinity'],
  ['-inf', '-Infinity'],
  ['nan', 'NaN'],
  ['true', 'true'],
  ['[8]', 'a list'],
  ['["\\u001b[2J"]', 'a list'],
  ['{ a = 8 }', 'a table'],
  ['2026-01-01', 'a date'],
  ['"\\u001b[2J"', '"\\u001b[2J"'],
])('%s connections are refused with the range', ([value, shown]) => {
  expect(refusal(`[sync]\nconnections = ${value}\n`)).toBe(
    `${FILE}: sync.connections is ${shown}, expected a whole number from 1 to 256`,
  )
})

const URL_EXPECTED = 'expected an http or https URL without user or query'
const HOST_EXPECTED = 'expected a host without scheme or path'
const TEXT_EXPECTED = 'expected 1 to 200 printable ASCII characters'

test.for([
  ['upstream', 'url', '"mirror.example"', `"mirror.example", ${URL_EXPECTED}`],
  ['upstream', 'url', '""', `"", ${URL_EXPECTED}`],
  ['upstream', 'url', '"file:///srv"', `"file:///srv", ${URL_EXPECTED}`],
  ['upstream', 'url', '"https://a.example/?x"', `"https://a.example/?x", ${URL_EXPECTED}`],
  ['upstream', 'url', '"https://a.example/?"', `"https://a.example/?", ${URL_EXPECTED}`],
  ['upstream', 'url', '"https://a.example/#"', `"https://a.example/#", ${URL_EXPECTED}`],
  ['upstream', 'url', '"https://me:secret@a.example"', `"https://…@a.example", ${URL_EXPECTED}`],
  ['upstream', 'url', '"https://:secret@a.example"', `"https://…@a.example", ${URL_EXPECTED}`],
  ['serve', 'url', '"https://me:se@cret@a.example"', `"https://…@a.example", ${URL_EXPECTED}`],
  ['serve', 'url', '["https://me:secret@a.example"]', `a list, ${URL_EXPECTED}`],
  ['serve', 'listen', '8377', '8377, expected "ADDRESS:PORT"'],
  ['serve', 'listen', '"0.0.0.0"', '"0.0.0.0", expected "ADDRESS:PORT"'],
  ['serve', 'listen', '"0.0.0.0:65536"', '"0.0.0.0:65536", expected "ADDRESS:PORT"'],
  ['upstream', 'trust', '"none"', '"none", expected "tuf" or "observed"'],
  ['upstream', 'trust', 'false', 'false, expected "tuf" or "observed"'],
  ['upstream', 'chain', '"TUF"', '"TUF", expected "tuf" or "site"'],
  ['upstream', 'origin', '"yes"', '"yes", expected true or false'],
  ['upstream', 'origin', '1', '1, expected true or false'],
  ['upstream', 'contact', '""', `"", ${TEXT_EXPECTED}`],
  ['upstream', 'contact', '"a\\r\\nCookie: b"', `"a\\r\\nCookie: b", ${TEXT_EXPECTED}`],
  ['upstream', 'contact', '"Zoë"', `"Zoë", ${TEXT_EXPECTED}`],
  ['upstream', 'contact', `"${'a'.repeat(201)}"`, `"${'a'.repeat(80)}…", ${TEXT_EXPECTED}`],
  ['upstream', 'redirect-hosts', '"cdn.example"', '"cdn.example", expected a list of hosts'],
  ['store', 'reserve-bytes', '-1', '-1, expected a whole number from 0 to 1125899906842624'],
  ['guard', 'removal-percent', '101', '101, expected a whole number from 0 to 100'],
])('%s.%s = %s is refused with what was expected', ([section, key, value, message]) => {
  expect(refusal(`[${section}]\n${key} = ${value}\n`)).toBe(
    `${FILE}: ${section}.${key} is ${message}`,
  )
})

test.for([
  'https://cdn.example',
  'cdn.example/x',
  'me@cdn.example',
  '*.example',
  '',
  'a b',
  'a:b:c',
])('a redirect to "%s" cannot be allowed, for no redirect is spelled so', host => {
  const text = `[upstream]\nredirect-hosts = ["cdn.example", ${JSON.stringify(host)}]\n`
  expect(refusal(text)).toBe(
    `${FILE}: upstream.redirect-hosts[1] is ${JSON.stringify(host)}, ${HOST_EXPECTED}`,
  )
})

test.for<[string, string | Uint8Array, string]>([
  ['a NUL', '[sync]\n\0 = 2\n', ':2:1: not TOML: '],
  ['a key given twice', '[sync]\ntries = 2\ntries = 3\n', ':3:1: not TOML: '],
  ['a section given twice', '[sync]\ntries = 2\n[sync]\n', ':3:2: not TOML: '],
  ['1,100 levels', `x = ${'['.repeat(1100)}${']'.repeat(1100)}`, ':1:1005: not TOML: '],
  ['an integer beyond 2^53', '[sync]\ntries = 9007199254740993\n', ':2:9: not TOML: '],
  ['an integer of 1,000 digits', `[sync]\ntries = ${'9'.repeat(1000)}\n`, ':2:9: not TOML: '],
  ['a text that never ends', '[upstream]\nurl = "https://', ':2:7: not TOML: '],
  ['a line that is no key', '[sync]\ntries\n', ':2:'],
  ['another format', '{"sync":{"tries":2}}', ':1:1: not TOML: '],
  ['bytes of no UTF-8', Buffer.from([0x5b, 0xff, 0x5d]), ' is not UTF-8'],
  ['UTF-16', Buffer.from('\ufeff[sync]', 'utf16le'), ' is not UTF-8'],
  ['a list of sections', '[[sync]]\ntries = 2\n', ': "sync" is not a table'],
  ['a value for a section', 'sync = 2\n', ': "sync" is not a table'],
  ['a MiB and a byte', `#${' '.repeat(MIB)}`, ' has 1048577 bytes, at most 1 MiB is read'],
])('%s is refused, and where it stands is said', ([, text, start]) => {
  expect(refusal(text).startsWith(`${FILE}${start}`), refusal(text)).toBe(true)
})

test('a key as long as the file may be is refused without long thought', () => {
  const start = process.threadCpuUsage()
  expect(refusal(`[sync]\n${'k'.repeat(MIB - 20)} = 1\n`)).toContain('unknown key "sync.kkkk')
  const { user, system } = process.threadCpuUsage(start)
  expect((user + system) / 1000).toBeLessThan(400)
})

test.for([
  ['Windows line ends', '[sync]\r\ntries = 2\r\n'],
  ['a byte order mark', '\ufeff[sync]\ntries = 2\n'],
  ['no newline at the end', '[sync]\ntries = 2'],
  ['a MiB of comment', `[sync]\ntries = 2\n${'#'.repeat(MIB - 17)}`],
  ['a dotted key', 'sync.tries = 2\n'],
  ['a table in one line', 'sync = { tries = 2 }\n'],
])('%s is accepted', ([, text = '']) => {
  expect(parseConfig(Buffer.from(text), FILE).sync.tries).toBe(2)
})
