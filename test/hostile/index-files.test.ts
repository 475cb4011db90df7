import { expect, test } from 'vitest'
import { parseConfigJson } from '../../src/registry/config-json.ts'
import { IndexFileRefused, readIndexFile } from '../../src/registry/index-file.ts'
import { type IndexPath, parseIndexPath } from '../../src/registry/sparse-path.ts'

/**
 * What a bad upstream, or a box in between, may send as the index file of `serde`. The messages are
 * golden: an operator meets them, and docs and scripts may quote them.
 */

const SERDE = 'se/rd/serde' as IndexPath
const MIB = 1024 * 1024
const A = 'a'.repeat(64)
const B = 'b'.repeat(64)

const FIELDS = { name: 'serde', vers: '1.0.0', deps: [], cksum: A, features: {}, yanked: false }
const line = (fields: object = {}): string => `${JSON.stringify({ ...FIELDS, ...fields })}\n`
/** A good line with more text before its last brace. */
const withText = (text: string): string => `${line().slice(0, -2)},${text}}\n`
/** A good line, and another one that holds these bytes inside a text. */
const withBytes = (...bytes: number[]): Buffer =>
  Buffer.concat([Buffer.from(`${line()}{"name":"`), Buffer.from(bytes), Buffer.from('"}\n')])
const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)

type Sent = string | Uint8Array

function refusal(sent: Sent, signed: boolean): string {
  try {
    readIndexFile(Buffer.from(sent), SERDE, { signed })
  } catch (error) {
    if (error instanceof IndexFileRefused) return error.message.replace('index/se/rd/serde: ', '')
    throw error
  }
  throw new Error('nothing was refused')
}

/** Every line but the ones that are told is to come out as an entry. */
function reading(sent: Sent, signed = false): { warnings: readonly string[]; wanted: string[] } {
  const { warnings, entries } = readIndexFile(Buffer.from(sent), SERDE, { signed })
  return { warnings, wanted: entries.map(entry => entry.version) }
}

const PROXY = 'a proxy may be in between'
const CUT = 'last line has no newline (the answer was cut)'

// not an index file at all: the crate is held, unless signed metadata names these very bytes
test.for<[string, Sent, string]>([
  ['a file cut inside a line', line() + line().slice(0, 50), CUT],
  ['a file cut inside its first line', line().slice(0, 1), CUT],
  ['a file cut before its last newline', (line() + line()).slice(0, -1), CUT],
  [
    'the page of a captive portal',
    '<html><body>Please log in',
    `line 1: not a JSON object (starts with "<html><body>Please log i"); ${PROXY}`,
  ],
  [
    'a page with a document type',
    '<!DOCTYPE html>\n<html>\n',
    `line 1: not a JSON object (starts with "<!DOCTYPE html>"); ${PROXY}`,
  ],
  [
    'a page after good lines',
    `${line()}<html>\n`,
    `line 2: not a JSON object (starts with "<html>"); ${PROXY}`,
  ],
  [
    'the error of an object store',
    '<?xml version="1.0"?>\n',
    `line 1: not a JSON object (starts with "<?xml version=\\"1.0\\"?>"); ${PROXY}`,
  ],
  [
    'a word for an error',
    'Not Found\n',
    `line 1: not a JSON object (starts with "Not Found"); ${PROXY}`,
  ],
  [
    'an array',
    `[${line().trim()}]\n`,
    `line 1: not a JSON object (starts with "[{\\"name\\":\\"serde\\",\\"vers\\":"); ${PROXY}`,
  ],
  ['a null', 'null\n', `line 1: not a JSON object (starts with "null"); ${PROXY}`],
  ['a text', '"serde"\n', `line 1: not a JSON object (starts with "\\"serde\\""); ${PROXY}`],
  [
    'one object over several lines',
    JSON.stringify(FIELDS, null, 2).concat('\n'),
    'line 1: not JSON (starts with "{")',
  ],
  [
    'two objects on one line',
    `${line().trim()}${line()}`,
    'line 1: not JSON (starts with "{\\"name\\":\\"serde\\",\\"vers\\":\\"")',
  ],
  [
    'a comma too many',
    `${line().slice(0, -2)},}\n`,
    'line 1: not JSON (starts with "{\\"name\\":\\"serde\\",\\"vers\\":\\"")',
  ],
  ['single quotes', "{'name':'serde'}\n", "line 1: not JSON (starts with \"{'name':'serde'}\")"],
  ['an empty line between', `${line()}\n${line()}`, 'line 2: empty'],
  ['an empty line at the end', `${line()}\n`, 'line 2: empty'],
  ['a newline and no more', '\n', 'line 1: empty'],
  ['white space', ' \t\n', `line 1: not a JSON object (starts with " \\t"); ${PROXY}`],
  ['a byte order mark', `\ufeff${line()}`, 'line 1: a byte order mark'],
  ['UTF-16', Buffer.from(`\ufeff${line()}`, 'utf16le'), 'line 1: a NUL at its byte 3'],
  [
    'NULs in place of the bytes, as after a power cut',
    Buffer.alloc(4096),
    'line 1: a NUL at its byte 0',
  ],
  ['a NUL inside a line', `${line()}{"name":"se\0de"}\n`, 'line 2: a NUL at its byte 11'],
  ['gzip', Buffer.from([0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00]), 'line 1: a NUL at its byte 3'],
  [
    'bare control codes',
    '\u001b[2J\u0007\n',
    `line 1: not a JSON object (starts with "\\u001b[2J\\u0007"); ${PROXY}`,
  ],
  ['a byte of no UTF-8', withBytes(0x61, 0xff), 'line 2: not UTF-8 at its byte 10'],
  ['Latin-1', withBytes(0x5a, 0xfc, 0x72), 'line 2: not UTF-8 at its byte 10'],
  ['an overlong slash', withBytes(0xc0, 0xaf), 'line 2: not UTF-8 at its byte 9'],
  [
    'half of a surrogate pair in UTF-8',
    withBytes(0xed, 0xa0, 0x80),
    'line 2: not UTF-8 at its byte 10',
  ],
])('%s holds the crate; signed, it is told and relayed', ([, sent, message]) => {
  expect(refusal(sent, false)).toBe(message)
  expect(reading(sent, true).warnings.join('\n')).toContain(message)
})

// refused whoever signs it
test.for<[string, Sent, string]>([
  ['an empty answer', '', 'empty; a crate without versions has no file'],
  ['the file of another crate', line({ name: 'tokio' }), 'line 1: name "tokio", expected "serde"'],
  [
    'one line of another crate',
    line().repeat(3) + line({ name: 'tokio' }),
    'line 4: name "tokio", expected "serde"',
  ],
  [
    'a name with the other dash',
    line({ name: 'ser-de' }),
    'line 1: name "ser-de", expected "serde"',
  ],
  [
    'a line of 4 MiB and a byte',
    `{"x":"${'y'.repeat(4 * MIB - 7)}"}\n`,
    'line 1 is longer than 4 MiB',
  ],
  ['4 MiB without a newline', ' '.repeat(4 * MIB + 1), 'line 1 is longer than 4 MiB'],
  ['50,001 lines', line().repeat(50_001), 'more than 50000 lines'],
  ['64 MiB and a byte', Buffer.alloc(64 * MIB + 1, 0x20), 'longer than 64 MiB'],
])('%s holds the crate, signed or not', ([, sent, message]) => {
  expect(refusal(sent, false)).toBe(message)
  expect(refusal(sent, true)).toBe(message)
})

const NO_CHECKSUM = 'is not 64 lower-case hex digits'
const TWICE = (at: number): string => `a key given twice at byte ${at}`

// an index file with a line that nobody can use: told, relayed, and its version not wanted
test.for<[string, string, string]>([
  ['no cksum', line({ cksum: undefined }), `cksum missing ${NO_CHECKSUM}`],
  ['a cksum of null', line({ cksum: null }), `cksum "null" ${NO_CHECKSUM}`],
  ['a blank cksum', line({ cksum: '' }), `cksum "" ${NO_CHECKSUM}`],
  ['a short cksum', line({ cksum: 'abc' }), `cksum "abc" ${NO_CHECKSUM}`],
  [
    'a cksum in upper case',
    line({ cksum: 'A'.repeat(64) }),
    `cksum "${'A'.repeat(64)}" ${NO_CHECKSUM}`,
  ],
  [
    'a cksum that is not hex',
    line({ cksum: 'g'.repeat(64) }),
    `cksum "${'g'.repeat(64)}" ${NO_CHECKSUM}`,
  ],
  [
    'a cksum of a megabyte',
    line({ cksum: 'a'.repeat(MIB) }),
    `cksum "${'a'.repeat(80)}…" ${NO_CHECKSUM}`,
  ],
  ['a cksum in a list', line({ cksum: [1] }), `cksum "[1]" ${NO_CHECKSUM}`],
  ['a key twice', withText(`"cksum":"${B}"`), TWICE(145)],
  ['a key twice, once escaped', withText(`"cks\\u0075m":"${B}"`), TWICE(145)],
  ['a key twice deep inside', withText('"x":[{"a":1,"a":1}]'), TWICE(157)],
  ['half of a surrogate pair', withText('"x":"\\ud800"'), 'half of a surrogate pair at byte 150'],
  ['33 levels', withText(`"x":${nested(32)}`), 'nested deeper than 32'],
  ['a million levels', withText(`"x":${nested(1_000_000)}`), 'nested deeper than 32'],
  ['a million levels never closed', `{"x":${'['.repeat(MIB)}\n`, 'nested deeper than 32'],
  ['an empty object', '{}\n', 'name missing is not a crate name'],
  ['a name above the folder', line({ name: '../x' }), 'name "../x" is not a crate name'],
  ['a name with a slash', line({ name: 'a/b' }), 'name "a/b" is not a crate name'],
  ['a device of Windows', line({ name: 'CON' }), 'name "CON" is not a crate name'],
  ['an option for a name', line({ name: '-x' }), 'name "-x" is not a crate name'],
  ['a full-width name', line({ name: 'ａ' }), 'name "ａ" is not a crate name'],
  [
    'a name of 65 characters',
    line({ name: 'a'.repeat(65) }),
    `name "${'a'.repeat(65)}" is not a crate name`,
  ],
  [
    'a name that clears the screen',
    line({ name: '\u001b[2J' }),
    'name "\\u001b[2J" is not a crate name',
  ],
  [
    'a name that turns the text round',
    line({ name: '\u202exe' }),
    'name "\\u202exe" is not a crate name',
  ],
  ['a name that is a number', line({ name: 7 }), 'name "7" is not a crate name'],
  [
    'a version above the folder',
    line({ vers: '1.0.0/../../x' }),
    'version "1.0.0/../../x" is not a version',
  ],
  ['a word for a version', line({ vers: 'latest' }), 'version "latest" is not a version'],
  ['a leading zero', line({ vers: '1.01.0' }), 'version "1.01.0" is not a version'],
  [
    'a version of 300 characters',
    line({ vers: `1.0.0-${'a'.repeat(294)}` }),
    `version "1.0.0-${'a'.repeat(74)}…" is not a version`,
  ],
  [
    'a version whose file no disk can hold',
    line({ vers: `1.0.0-${'a'.repeat(244)}` }),
    `the file name of version "1.0.0-${'a'.repeat(74)}…" is longer than 255 bytes`,
  ],
  ['no version', line({ vers: undefined }), 'version missing is not a version'],
  ['a yanked that is text', line({ yanked: 'true' }), 'yanked "true" is not a boolean'],
  ['a yanked that is a number', line({ yanked: 1 }), 'yanked "1" is not a boolean'],
  ['a format of the future', line({ v: 99 }), 'v 99 is newer than 2'],
  ['a format that is text', line({ v: '2' }), 'v "2" is not a format number'],
  ['a format below nothing', line({ v: -1 }), 'v "-1" is not a format number'],
  ['a format beyond all numbers', withText('"v":1e999'), 'v "null" is not a format number'],
])('a line with %s is told and not wanted, and stops nothing', ([, bad, message]) => {
  for (const signed of [false, true]) {
    const { warnings, wanted } = reading(bad + line({ vers: '9.0.0' }), signed)
    expect(warnings).toHaveLength(1)
    expect(warnings[0]).toMatch(/^line 1: /)
    expect(warnings[0]).toContain(message)
    expect(wanted).toEqual(['9.0.0'])
  }
})

test('one version with two checksums is told, whichever of the two is true', () => {
  expect(reading(line() + line({ cksum: B }))).toEqual({
    warnings: ['version 1.0.0 twice with different checksums'],
    wanted: ['1.0.0', '1.0.0'],
  })
})

test.for<[string, string]>([
  ['the same line twice', line() + line()],
  ['a name in another case', line({ name: 'Serde' })],
  ['a yanked of null', line({ yanked: null })],
  ['Windows line ends', line().replace('\n', '\r\n')],
  [
    'keys that every object inherits',
    withText('"__proto__":{"name":"tokio"},"constructor":{"x":1}'),
  ],
  ['a line of exactly 4 MiB', `${withText(`"x":"${'y'.repeat(4 * MIB - line().length - 6)}"`)}`],
  ['32 levels', withText(`"x":${nested(31)}`)],
])('%s is nothing to tell', ([, sent]) => {
  expect(reading(sent)).toEqual({ warnings: [], wanted: ['1.0.0'] })
  expect(Object.hasOwn(Object.prototype, 'name')).toBe(false)
})

test.for([
  '../x',
  'se/rd/../../x',
  '3/c/con',
  '/se/rd/serde',
  'se/rd/-x',
  `aa/aa/${'a'.repeat(65)}`,
])('a tree or a bundle cannot name a crate %s', path => {
  expect(parseIndexPath(path)).toBeUndefined()
})

const NOT_STRICT = 'config.json is not strict JSON:'

test.for<[string, Sent, string]>([
  ['no dl', '{}', 'config.json has no "dl"'],
  ['an empty body', '', `${NOT_STRICT} no JSON but an empty body at byte 0`],
  ['a page', '<html>', `${NOT_STRICT} not JSON: unexpected '<' at byte 0`],
  [
    'a cut body',
    '{"dl":"https://static.crates.io',
    `${NOT_STRICT} cut off: no more JSON at byte 31`,
  ],
  ['an array', '[]', 'config.json is not a JSON object'],
  ['a byte order mark', '\ufeff{}', `${NOT_STRICT} a byte order mark at byte 0`],
  ['bytes of no UTF-8', Buffer.from([0x7b, 0x22, 0xff]), `${NOT_STRICT} invalid UTF-8 at byte 2`],
  ['33 levels', nested(33), `${NOT_STRICT} nested deeper than 32 at byte 32`],
  [
    'two dl',
    '{"dl":"https://static.crates.io","dl":"https://evil.example"}',
    `${NOT_STRICT} a key given twice at byte 33`,
  ],
  [
    'a dl that only the prototype has',
    '{"__proto__":{"dl":"https://static.crates.io"}}',
    'config.json has no "dl"',
  ],
  ['a dl that is a number', '{"dl":1}', 'config.json has a "dl" that is not text'],
  [
    'a dl to another host',
    '{"dl":"https://evil.example/crates"}',
    'config.json sends downloads to "evil.example", expected static.crates.io or mirror.example:8443',
  ],
  [
    'a dl to another port',
    '{"dl":"https://static.crates.io:444"}',
    'config.json sends downloads to "static.crates.io:444", expected static.crates.io or mirror.example:8443',
  ],
  [
    'a dl to a host below',
    '{"dl":"https://static.crates.io.evil.example"}',
    'config.json sends downloads to "static.crates.io.evil.example", expected static.crates.io or mirror.example:8443',
  ],
  [
    'a dl whose host is a marker',
    '{"dl":"https://{crate}.example"}',
    'config.json sends downloads to "{crate}.example", expected static.crates.io or mirror.example:8443',
  ],
  [
    'a dl to link-local addresses',
    '{"dl":"http://169.254.169.254/latest"}',
    'config.json sends downloads to "169.254.169.254", expected static.crates.io or mirror.example:8443',
  ],
  [
    'a dl that is a path',
    '{"dl":"/crates"}',
    'config.json has a "dl" that is not a URL: "/crates"',
  ],
  [
    'a dl to a file',
    '{"dl":"file:///etc/passwd"}',
    'config.json has a "dl" that is neither http nor https: "file:///etc/passwd"',
  ],
  [
    'a dl that is a script',
    '{"dl":"javascript:alert(1)"}',
    'config.json has a "dl" that is neither http nor https: "javascript:alert(1)"',
  ],
  [
    'a dl with a password',
    '{"dl":"https://me:secret@static.crates.io"}',
    'config.json has a "dl" that holds a user name or password: "https://…@static.crates.io"',
  ],
  [
    'a dl with a user that looks like the host',
    '{"dl":"https://static.crates.io@evil.example"}',
    'config.json has a "dl" that holds a user name or password: "https://…@evil.example"',
  ],
])('a config.json with %s is refused', ([, sent, message]) => {
  const read = (): unknown =>
    parseConfigJson(Buffer.from(sent), { hosts: ['static.crates.io', 'mirror.example:8443'] })
  expect(read).toThrow(expect.objectContaining({ code: 'refused', message }))
})
