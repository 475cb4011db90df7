import { expect, test } from 'vitest'
import type { Checksum } from '../../src/registry/checksum.ts'
import {
  configJson,
  downloadUrl,
  mirrorUrl,
  parseConfigJson,
  redacted,
} from '../../src/registry/config-json.ts'
import type { CrateName } from '../../src/registry/crate-name.ts'
import type { Version } from '../../src/registry/version.ts'

const CHECKSUM = '96e8'.repeat(16) as Checksum
const artifact = (
  crate: string,
  version = '1.1.0',
): { crate: CrateName; version: Version; checksum: Checksum } => ({
  crate: crate as CrateName,
  version: version as Version,
  checksum: CHECKSUM,
})
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString()

test("a mirror's own config.json names artifacts by their checksum", () => {
  expect(text(configJson({ url: 'https://mirror.example' }))).toBe(
    '{"dl":"https://mirror.example/crates/{lowerprefix}/{sha256-checksum}.crate"}\n',
  )
  expect(
    text(configJson({ url: 'http://127.0.0.1:8377/base/', api: 'https://api.example/' })),
  ).toBe(
    '{"dl":"http://127.0.0.1:8377/base/crates/{lowerprefix}/{sha256-checksum}.crate","api":"https://api.example"}\n',
  )
})

test.for([
  ['serde', 'se/rd'],
  ['MixedCase', 'mi/xe'],
  ['Foo', '3/f'],
  ['ab', '2'],
  ['a', '1'],
])(
  'where our own config.json sends cargo for %s is where its artifact lies',
  ([crate = '', prefix]) => {
    const config = configJson({ url: 'https://mirror.example' })
    const { dl } = parseConfigJson(config, { hosts: ['mirror.example'] })
    expect(downloadUrl(dl, artifact(crate, '1.0.0+x'))).toBe(
      `https://mirror.example/crates/${prefix}/${CHECKSUM}.crate`,
    )
  },
)

test.for([
  ['https://a.example', 'foo', '1.1.0', 'https://a.example/foo/1.1.0/download'],
  ['https://a.example/dl/', 'foo', '1.1.0', 'https://a.example/dl//foo/1.1.0/download'],
  [
    'https://a.example/{crate}-{version}.crate',
    'Foo',
    '1.0.0+b.2',
    'https://a.example/Foo-1.0.0+b.2.crate',
  ],
  ['https://a.example/{prefix}/{crate}', 'MixedCase', '1.1.0', 'https://a.example/Mi/xe/MixedCase'],
  ['https://a.example/{prefix}/{crate}', 'Foo', '1.1.0', 'https://a.example/3/F/Foo'],
  ['https://a.example/{prefix}/{crate}', 'Ab', '1.1.0', 'https://a.example/2/Ab'],
  ['https://a.example/{lowerprefix}/{crate}', 'Foo', '1.1.0', 'https://a.example/3/f/Foo'],
  ['https://a.example/{crate}/{crate}', 'foo', '1.1.0', 'https://a.example/foo/foo'],
  ['https://a.example/{other}', 'foo', '1.1.0', 'https://a.example/{other}/foo/1.1.0/download'],
  ['https://a.example/{crate}/{other}', 'foo', '1.1.0', 'https://a.example/foo/{other}'],
])('of %s cargo makes, for %s %s, %s', ([dl = '', crate = '', version = '', url]) => {
  expect(downloadUrl(dl, artifact(crate, version))).toBe(url)
  expect(downloadUrl(dl, artifact(crate, version)), 'asked a second time').toBe(url)
})

test.for([
  ['https://mirror.example', 'https://mirror.example'],
  ['https://mirror.example///', 'https://mirror.example'],
  ['HTTPS://Mirror.Example:443/a/', 'https://mirror.example/a'],
  ['http://[::1]:8377', 'http://[::1]:8377'],
])('the URL %s is written as %s', ([given = '', url]) => {
  expect(mirrorUrl(given)).toBe(url)
})

test.for([
  ['mirror.example', 'the mirror\'s URL "mirror.example" is not a URL'],
  ['', 'the mirror\'s URL "" is not a URL'],
  ['/crates', 'the mirror\'s URL "/crates" is not a URL'],
  ['file:///srv', 'the mirror\'s URL "file:///srv" is neither http nor https'],
  ['https://a.example/?', 'the mirror\'s URL "https://a.example/?" has a query or a fragment'],
  ['https://a.example/#a', 'the mirror\'s URL "https://a.example/#a" has a query or a fragment'],
  ['https://a.example/{crate}', 'the mirror\'s URL "https://a.example/{crate}" has braces'],
  [
    'https://me:secret@a.example',
    'the mirror\'s URL "https://…@a.example" holds a user name or password',
  ],
  [
    'https://:secret@a.example',
    'the mirror\'s URL "https://…@a.example" holds a user name or password',
  ],
])('a mirror cannot have the URL %s', ([given = '', message]) => {
  expect(() => mirrorUrl(given)).toThrow(expect.objectContaining({ code: 'usage', message }))
})

test.for([
  'https://me:secret@a.example/',
  'https://me:se@cret@a.example/',
  'https://:secret@a.example/',
  'https:me:secret@a.example',
  'https:\\\\me:secret@a.example',
  'http://me:se/cret@a.example/',
  'me:secret@a.example',
  'https://me:sec\nret@a.example/',
])('no password is left of %s', url => {
  expect(redacted(url)).not.toMatch(/se|me:/)
  expect(redacted(url)).toContain('…@a.example')
})

test('a URL without a password is shown whole', () => {
  expect(redacted('https://a.example/b?c')).toBe('https://a.example/b?c')
})

test('the config.json of crates.io is read, fields unknown to us included', () => {
  const bytes = Buffer.from(
    '{"dl":"https://static.crates.io/crates","api":"https://crates.io","auth-required":false,"new":{}}',
  )
  expect(parseConfigJson(bytes, { hosts: ['static.crates.io'] })).toEqual({
    dl: 'https://static.crates.io/crates',
    api: 'https://crates.io',
  })
})

test('the host of a download counts with its port', () => {
  const bytes = Buffer.from('{"dl":"http://127.0.0.1:4000/crates"}')
  expect(parseConfigJson(bytes, { hosts: ['127.0.0.1:4000'] }).api).toBeUndefined()
  expect(() => parseConfigJson(bytes, { hosts: ['127.0.0.1'] })).toThrow(
    'config.json sends downloads to "127.0.0.1:4000", expected 127.0.0.1',
  )
})

test('an api that is not text is as good as none', () => {
  const bytes = Buffer.from('{"dl":"https://static.crates.io/crates","api":{}}')
  expect(parseConfigJson(bytes, { hosts: ['static.crates.io'] }).api).toBeUndefined()
})
