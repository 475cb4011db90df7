import { readFile } from 'node:fs/promises'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Config, parseConfig, parseListen } from '../src/config.ts'
import { configurationText } from '../src/config-file.ts'

const FILE = 'crateferry.toml'
const DOCUMENT = await readFile('docs/config.md', 'utf8')

const parsed = (text: string): Config => parseConfig(Buffer.from(text), FILE)
const refusal = (text: string): unknown => {
  try {
    return parsed(text)
  } catch (error) {
    return (error as Error).message
  }
}

/** Every key of the type with its default, as the file spells the two. */
function keys(): Map<string, unknown> {
  const sections = Object.entries(parsed('')).map(([section, values]) =>
    Object.entries(values).map(([name, value]): [string, unknown] => [
      `${section}.${name.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)}`,
      value,
    ]),
  )
  return new Map(sections.flat())
}

interface Row {
  readonly key: string
  readonly default: string
  readonly values: string
}

function rows(): Row[] {
  return [...DOCUMENT.matchAll(/^\| `([a-z]+\.[a-z-]+)` \| (.+?) \| (.+?) \| .+ \|$/gm)].map(
    ([, key = '', byDefault = '', values = '']) => ({ key, default: byDefault, values }),
  )
}

/** A file with one key, whose value is given as TOML. */
function withKey(key: string, value: string): string {
  const [section, name] = key.split('.')
  return `[${section}]\n${name} = ${value}\n`
}

test('docs/config.md names every key with its default, and no other', () => {
  expect(rows().map(row => row.key)).toEqual([...keys().keys()])
  for (const row of rows()) {
    const value = keys().get(row.key)
    expect(row.default, row.key).toBe(value === undefined ? '—' : `\`${JSON.stringify(value)}\``)
  }
})

test('the ranges of docs/config.md are the ones that hold', () => {
  const ranges = rows().filter(row => typeof keys().get(row.key) === 'number')
  expect(ranges).toHaveLength([...keys().values()].filter(v => typeof v === 'number').length)
  for (const { key, values } of ranges) {
    const [min = Number.NaN, max = Number.NaN] = values.split(' to ').map(Number)
    for (const value of [min, max])
      expect(refusal(withKey(key, `${value}`)), key).toBeTypeOf('object')
    for (const value of [min - 1, max + 1]) {
      expect(refusal(withKey(key, `${value}`)), key).toBe(
        `${FILE}: ${key} is ${value}, expected a whole number from ${min} to ${max}`,
      )
    }
  }
})

test('the words of docs/config.md are the ones that are taken', () => {
  for (const { key, values } of rows()) {
    if (!/^(?:`"?[a-z]+"?`(?: or )?)+$/.test(values)) continue
    for (const [, word = ''] of values.matchAll(/`(.+?)`/g)) {
      expect(refusal(withKey(key, word)), `${key} = ${word}`).toBeTypeOf('object')
    }
  }
})

test.each([
  ['sync.schedule', ['0h', '1 h', '* * *', '61 * * * *', '0 0 30 2 *', '', '400d']],
  [
    'sync.windows',
    ['["mon-fri 20:00"]', '["25:00-26:00"]', '["noon"]', '"sat"', '["01:00-01:00"]'],
  ],
  ['sync.bandwidth', ['["2MB"]', '["mon 0KiB"]', '["someday 1MiB"]', '["mon-fri 08:00-18:00"]']],
  ['hooks.events', ['["everything"]']],
])('what is no time, rate or event is refused: %s', (key, values) => {
  for (const value of values) {
    const given = key === 'sync.schedule' ? JSON.stringify(value) : value
    expect(refusal(withKey(key, given)), given).toMatch(new RegExp(`${key}.* is .*, expected `))
  }
})

test('a key is named by a file or a variable, and by nothing else', () => {
  for (const uri of [
    '',
    'file:',
    'keys/a.key',
    'env:',
    'env:1A',
    'env:A B',
    'exec:',
    'exec: ',
    'seed:00',
  ]) {
    expect(refusal(withKey('sign.targets', JSON.stringify(uri))), uri).toBe(
      `${FILE}: sign.targets is "${uri}", expected "file:PATH", "env:NAME" or "exec:COMMAND"`,
    )
  }
  expect(parsed(withKey('sign.targets', '"file:/a b/c.key"')).sign.targets).toBe('file:/a b/c.key')
})

test('the example of docs/config.md is read as it says', () => {
  const example = /```toml\n([\s\S]+?)```/.exec(DOCUMENT)?.[1] ?? ''
  expect(parsed(example)).toEqual({
    upstream: {
      ...parsed('').upstream,
      url: 'https://mirror.example',
      chain: 'site',
      trust: 'tuf',
      origin: false,
      contact: 'crates@site.example',
      redirectHosts: ['cdn.example'],
      proxy: 'http://proxy.site.example:3128/',
      noProxy: ['.site.example'],
      caFile: 'site-ca.pem',
      tokenFile: 'token',
    },
    sync: {
      connections: 4,
      tries: 3,
      connectSeconds: 10,
      requestSeconds: 300,
      sweepHours: 24,
      floorBytesPerSecond: 128,
      requestsPerSecond: 20,
      schedule: '30 1 * * *',
      jitterSeconds: 300,
      windows: [
        { days: new Set([1, 2, 3, 4, 5]), from: 20 * 60, to: 6 * 60 },
        { days: new Set([6, 0]), from: 0, to: 24 * 60 },
      ],
      bandwidth: [
        {
          hours: { days: new Set([1, 2, 3, 4, 5]), from: 20 * 60, to: 22 * 60 },
          bytesPerSecond: 512 * 1024,
        },
        { hours: undefined, bytesPerSecond: 4 * 2 ** 20 },
      ],
      runBytes: undefined,
      monthBytes: 50_000_000_000,
    },
    select: {
      allow: ['serde', 'tokio-*', 'clap@4.*'],
      deny: ['tokio-uring'],
      lockFiles: ['site/Cargo.lock'],
      newest: 3,
      withDependencies: true,
      devDependencies: false,
      pruneIndex: false,
    },
    store: { ...parsed('').store, reserveBytes: 10 * 2 ** 30 },
    serve: {
      ...parsed('').serve,
      listen: '0.0.0.0:8377',
      url: 'http://crates.site.example:8377',
    },
    hooks: {
      ...parsed('').hooks,
      command: ['/usr/local/bin/page-someone'],
      events: ['stale', 'guard'],
    },
    sign: {
      targets: 'file:keys/targets.key',
      snapshot: 'file:keys/snapshot.key',
      timestamp: 'exec:/usr/local/bin/sign-with-card --slot 2',
      passphraseFile: '/run/credentials/crateferry/passphrase',
      targetsDays: 60,
      snapshotDays: 7,
      timestampHours: 72,
    },
    bundle: parsed('').bundle,
    guard: { removalPercent: 0, removalCrates: 5, removalVersions: 1000, holdDays: 7 },
  })
})

test('what a whole file says is what comes out, and the rest is the default', () => {
  const config = parsed('[sync]\nconnections = 4\n[upstream]\nurl = "https://a.example/m//"\n')
  expect(config.upstream.url).toBe('https://a.example/m')
  expect(config.sync).toEqual({ ...parsed('').sync, connections: 4 })
  expect(config.guard).toEqual(parsed('').guard)
})

test('a configuration cannot be changed once it is read', () => {
  for (const text of ['', '[sync]\ntries = 1\n[upstream]\nredirect-hosts = ["a.example"]\n']) {
    const config = parsed(text)
    expect(Object.isFrozen(config)).toBe(true)
    for (const section of Object.values(config)) expect(Object.isFrozen(section)).toBe(true)
    expect(() => (config.upstream.redirectHosts as string[]).push('evil.example')).toThrow(
      TypeError,
    )
  }
})

test('requests a second are 1 to 10,000, and none by default', () => {
  const key = 'sync.requests-per-second'
  expect(parsed('').sync.requestsPerSecond).toBeUndefined()
  expect(parsed(withKey(key, '1')).sync.requestsPerSecond).toBe(1)
  expect(parsed(withKey(key, '10_000')).sync.requestsPerSecond).toBe(10_000)
  for (const value of ['0', '10001', '1.5', '"1"']) {
    expect(refusal(withKey(key, value))).toContain('expected a whole number from 1 to 10000')
  }
})

test.for<[string, string]>([
  ['http://proxy.example', 'http://proxy.example/'],
  ['https://Proxy.Example:3128/', 'https://proxy.example:3128/'],
  ['http://user:s3cret@proxy.example:3128', 'http://user:s3cret@proxy.example:3128/'],
  ['http://us%20er:s3%2Fcret%3A@[::1]:3128', 'http://us%20er:s3%2Fcret%3A@[::1]:3128/'],
])('the proxy %s', ([text, proxy]) => {
  expect(parsed(withKey('upstream.proxy', JSON.stringify(text))).upstream.proxy).toBe(proxy)
})

test.for([
  '"socks5://user:s3cret@proxy.example"',
  '"http://user:s3cret@proxy.example/path"',
  '"http://user:s3cret@proxy.example/?s3cret"',
  '"http://user:s3cret@proxy.example#s3cret"',
  '"http://user:s3cret%zz@proxy.example"',
  '"http://user:s3cret/@proxy.example"',
  '"user:s3cret@proxy.example"',
  '"s3cret"',
  '["http://user:s3cret@proxy.example"]',
  '{ password = "s3cret" }',
  '"http://user:s3cret@proxy.example',
  '"http://user:s3cret\\@proxy.example"',
  'http://user:s3cret@proxy.example',
  '"http://user:s3cret@proxy.example" s3cret',
  '"http://u@p"\nproxy = "s3cret"',
])('the proxy %s is an error that does not show it', value => {
  const message = refusal(withKey('upstream.proxy', value))
  expect(message).toMatch(/^crateferry\.toml/)
  expect(message).not.toMatch(/s3cret/)
})

test('what is asked without the proxy is spelled as hosts are', () => {
  const key = 'upstream.no-proxy'
  const hosts = '["*", "Crates.Example", ".Example.ORG", "127.0.0.1", "[::1]", "localhost"]'
  expect(parsed(withKey(key, hosts)).upstream.noProxy).toEqual([
    '*',
    'crates.example',
    '.example.org',
    '127.0.0.1',
    '[::1]',
    'localhost',
  ])
  for (const value of ['a:80', '*.example', 'https://a', '10.0.0.0/8', '.', '', 'a b']) {
    expect(refusal(withKey(key, `["${value}"]`))).toContain(
      `${key}[0] is "${value}", expected a host without port, ".SUFFIX" or "*"`,
    )
  }
  expect(refusal(withKey(key, '"*"'))).toContain('expected a list of hosts')
})

test('hosts are compared as a redirect spells them', () => {
  const hosts =
    '["CDN.Example", "cdn.example:8443", "cdn.example:443", "127.0.0.1:1", "[::1]:8080"]'
  expect(parsed(withKey('upstream.redirect-hosts', hosts)).upstream.redirectHosts).toEqual([
    'cdn.example',
    'cdn.example:8443',
    'cdn.example',
    '127.0.0.1:1',
    '[::1]:8080',
  ])
})

test.for<[string, { host: string; port: number }]>([
  ['127.0.0.1:8377', { host: '127.0.0.1', port: 8377 }],
  ['[::1]:0', { host: '::1', port: 0 }],
  ['localhost:65535', { host: 'localhost', port: 65_535 }],
])('to listen on %s', ([text, place]) => {
  expect(parseListen(text)).toEqual(place)
  expect(parsed(withKey('serve.listen', JSON.stringify(text))).serve.listen).toBe(text)
})

test.for(['serde', 'Serde_*', '?', '*', 'tokio-*@0.?.*', 'openssl-src@110.0.0+1.1.0f'])(
  'what is wanted can be "%s"',
  pattern => {
    const config = parsed(withKey('select.allow', JSON.stringify([pattern])))
    expect(config.select.allow).toEqual([pattern])
  },
)

test.for(['', '@1', 'serde@', 'a b', 'ser/de', 'serde@^1', 'serde@1@2', 'é', 'a'.repeat(65)])(
  'what is not wanted cannot be "%s"',
  pattern => {
    expect(refusal(withKey('select.deny', JSON.stringify(['serde', pattern])))).toBe(
      `${FILE}: select.deny[1] is ${JSON.stringify(pattern)}, expected a crate or CRATE@VERSION, in which * and ? stand for others`,
    )
  },
)

test.for(['8377', ':8377', '127.0.0.1', '::1:80', 'a:65536', 'a:-1', 'a b:1', 'http://a:1', ''])(
  'nobody can listen on "%s"',
  text => {
    expect(() => parseListen(text)).toThrow(
      `--listen is ${JSON.stringify(text)}, expected "ADDRESS:PORT"`,
    )
  },
)

const SIGNED = {
  url: 'https://mirror.example',
  chain: 'tuf',
  trust: 'tuf',
  origin: false,
  contact: undefined,
} as const

test('the file that init writes reads back as what init was told', () => {
  expect(parsed(configurationText(SIGNED))).toEqual({
    ...parsed(''),
    upstream: { ...parsed('').upstream, ...SIGNED },
  })
  const observed = {
    url: undefined,
    index: 'http://127.0.0.1:4000/index',
    artifacts: 'http://127.0.0.1:4000/{crate}/{version}/{sha256-checksum}',
    feeds: 'http://127.0.0.1:4000/rss',
    dump: 'http://127.0.0.1:4000/dump.zip',
    namesFile: 'my "names".txt',
    advisories: 'http://127.0.0.1:4000/feed.xml',
    chain: 'site',
    trust: 'observed',
    origin: true,
    contact: 'me@example.org "\\ (day)',
    redirectHosts: ['cdn.example', 'cdn.example:8443'],
  } as const
  expect(parsed(configurationText(observed)).upstream).toMatchObject(observed)
})

test('the file that init writes shows every key, those without a value as comments', () => {
  const text = configurationText({ ...SIGNED, url: undefined })
  const section = (at: number): string => /.*\[([a-z]+)\]\n/s.exec(text.slice(0, at))?.[1] ?? ''
  const shown = [...text.matchAll(/^(?:# )?([a-z-]+) = .+$/gm)].map(
    match => `${section(match.index)}.${match[1]}`,
  )
  expect(shown).toEqual([...keys().keys()])
  expect(text).toContain('# url = "https://mirror.example"\n')
  expect(text).toContain('# contact = "you@example.org"\n')
})

/** What stands in for keys that have no default. */
const EXAMPLES = {
  index: 'https://index.crates.io',
  artifacts: 'https://static.crates.io/crates/{crate}/{crate}-{version}.crate',
  feeds: 'https://static.crates.io/rss',
  dump: 'https://static.crates.io/db-dump.zip',
  namesFile: 'names.txt',
  advisories: 'https://rustsec.org/feed.xml',
}

test('every comment of the file that init writes shows the default that holds', () => {
  const text = configurationText(SIGNED).replaceAll(/^# (?=[a-z-]+ = )/gm, '')
  expect(parsed(text)).toEqual({
    ...parsed(''),
    sync: {
      ...parsed('').sync,
      requestsPerSecond: 100,
      runBytes: 10_000_000_000,
      monthBytes: 100_000_000_000,
    },
    serve: {
      ...parsed('').serve,
      tlsCertificate: '/etc/crateferry/tls.crt',
      tlsKey: '/etc/crateferry/tls.key',
      control: '/run/crateferry/control.sock',
    },
    hooks: {
      ...parsed('').hooks,
      command: ['/usr/local/bin/tell', 'crates'],
      webhook: 'https://alerts.example/crateferry',
    },
    // keys have no default: what is shown is where they could lie
    sign: {
      ...parsed('').sign,
      targets: 'file:keys/targets.key',
      snapshot: 'file:keys/snapshot.key',
      timestamp: 'file:keys/timestamp.key',
      passphraseFile: '/run/credentials/crateferry/passphrase',
    },
    upstream: {
      ...parsed('').upstream,
      metadata: 'https://crates.example/metadata',
      targets: 'https://crates.example/targets',
      ...EXAMPLES,
      ...SIGNED,
      contact: 'you@example.org',
      proxy: 'http://proxy.example:3128/',
      caFile: 'site-ca.pem',
      tokenFile: 'token',
    },
  })
})

test('whatever text init was given is one value of the file, or an error that names its key', () => {
  const strings = fc.string({ unit: 'binary-ascii' })
  fc.assert(
    fc.property(strings, fc.array(strings, { maxLength: 2 }), (contact, redirectHosts) => {
      const text = configurationText({ ...SIGNED, contact, redirectHosts })
      const outcome = refusal(text)
      if (typeof outcome === 'string') expect(outcome).toMatch(/^crateferry\.toml: upstream\./)
      else
        expect((outcome as Config).upstream).toMatchObject({ contact, chain: 'tuf', origin: false })
    }),
    { examples: [['\u007f', ['\u007f']]] },
  )
})
