import { MirrorError, quoted } from './error.ts'
import { redacted } from './registry/config-json.ts'
import { parseCratePattern } from './registry/crate-pattern.ts'
import { parseToml } from './toml.ts'

/** `crateferry.toml`, parsed. Keys are kebab-case in the file; docs/config.md is checked against this. */
export interface Config {
  readonly upstream: {
    /** Base URL of a signed upstream: what lies below a mirror's `public/`. Absent: filled otherwise. */
    readonly url: string | undefined
    /** Of an observed upstream: base URL of its sparse index. */
    readonly index: string | undefined
    /** Where its artifacts are: a `dl` with cargo's markers. */
    readonly artifacts: string | undefined
    /** Base URL of its feeds, `updates.xml` and `crates.xml`: without them every look is a sweep. */
    readonly feeds: string | undefined
    /** Its database dump (a zip), which lists the names of all crates. */
    readonly dump: string | undefined
    /** A file with names of crates, one a line, relative to the mirror: instead of the dump or beside it. */
    readonly namesFile: string | undefined
    /** RustSec's feed of advisories: what they call malware is withdrawn at once. */
    readonly advisories: string | undefined
    /** Which folder of it holds the chain that begins with our pinned root; `init` finds out. */
    readonly chain: 'tuf' | 'site'
    /** "tuf" verifies everything from the pinned root; "observed" believes what TLS brings. */
    readonly trust: 'tuf' | 'observed'
    /** Whether a lasting "not there" of this upstream is the truth: true only for who published it. */
    readonly origin: boolean
    /** How to reach you, sent in the User-Agent: a mail address or a URL. */
    readonly contact: string | undefined
    /** Hosts, beside the upstream's own, that a redirect may lead to; a port other than 443 with them. */
    readonly redirectHosts: readonly string[]
    /** URL of the proxy that everything is asked through; it may hold a user and a password. */
    readonly proxy: string | undefined
    /** What is asked without the proxy: hosts, `.suffix` for all below one, `*` for all. */
    readonly noProxy: readonly string[]
    /** A file with certificates, in PEM, of authorities to believe beside those of the system. */
    readonly caFile: string | undefined
  }
  readonly sync: {
    /** Connections to the upstream, 1 to 256. */
    readonly connections: number
    /** How often one answer is asked for in all, the first time included, 1 to 10. */
    readonly tries: number
    /** Seconds for connecting, 1 to 600. */
    readonly connectSeconds: number
    /** Seconds for one metadata file, tile or index file, 1 to 3,600. */
    readonly requestSeconds: number
    /** Hours from the beginning of one sweep of an observed index to the next, 1 to 8,760. */
    readonly sweepHours: number
    /** An artifact slower than this many bytes a second over 30 seconds is asked for again, 1 to 1 GiB. */
    readonly floorBytesPerSecond: number
    /** So many requests a second are begun at most for each host, 1 to 10,000; without it, no limit. */
    readonly requestsPerSecond: number | undefined
  }
  readonly select: {
    /** Crates or versions that are wanted, as globs: "serde", "tokio-*", "serde@1.*". None: all. */
    readonly allow: readonly string[]
    /** Those that are not wanted, whatever else names them. */
    readonly deny: readonly string[]
    /** `Cargo.lock` files, all that they pin is wanted; relative to the mirror's folder. */
    readonly lockFiles: readonly string[]
    /** Of each allowed crate only so many of its newest versions; 0: all. */
    readonly newest: number
    /** Beside what is chosen, what it can depend on, on any platform and with any features … */
    readonly withDependencies: boolean
    /** … and for its own tests and examples. */
    readonly devDependencies: boolean
    /** Whether the index lists only what is here: the site must sign it, for nobody else can. */
    readonly pruneIndex: boolean
  }
  readonly store: {
    /** Bytes of the disk that a sync leaves free; it stops with exit code 20 before. */
    readonly reserveBytes: number
    /** Days that a snapshot is kept after the next one took its place, 0 to 3,650; then `prune` forgets it. */
    readonly keepDays: number
  }
  readonly serve: {
    /** Address and port of `serve`. */
    readonly listen: string
    /** The URL clients use; it stands in config.json, which cargo needs absolute. */
    readonly url: string
  }
  readonly sign: {
    /** The site's own key for targets.json, `file:PATH` from the mirror's root or `env:NAME`. */
    readonly targets: string | undefined
    /** The same for snapshot.json … */
    readonly snapshot: string | undefined
    /** … and for timestamp.json. */
    readonly timestamp: string | undefined
  }
  readonly bundle: {
    /** What this site calls itself in receipts and want-lists: up to 16 of a-z, 0-9 and "-". */
    readonly site: string
    /** Bytes of a volume that `bundle export` writes, 1 MiB to 4,294,901,760. */
    readonly volumeSize: number
    /** Days that an exported state is kept, so that a later bundle can lead on from it, 0 to 3,650. */
    readonly keepBaseDays: number
    /** An import takes timestamp, snapshot and targets so many days past their end, 0 to 366 … */
    readonly staleDays: number
    /** … and a root so many. */
    readonly staleRootDays: number
    /** Folders in which bundles arrive, relative to the mirror: `bundle import --watch` looks at them. */
    readonly inbox: readonly string[]
    /** Mount points of media: looked at while something is mounted there. */
    readonly media: readonly string[]
    /** Where receipts and want-lists are put, relative to the mirror. */
    readonly outbox: string
  }
  readonly guard: {
    /** A sync that would remove more than this percentage of all crates … */
    readonly removalPercent: number
    /** … and more than this many crates stops with exit code 17. */
    readonly removalCrates: number
    /** So does one that would remove more than this many versions. */
    readonly removalVersions: number
    /** Days that a crate stays which an observed upstream no longer has. */
    readonly holdDays: number
  }
}

const DEFAULTS: Config = {
  upstream: {
    url: undefined,
    index: undefined,
    artifacts: undefined,
    feeds: undefined,
    dump: undefined,
    namesFile: undefined,
    advisories: undefined,
    chain: 'tuf',
    trust: 'tuf',
    origin: false,
    contact: undefined,
    redirectHosts: Object.freeze([]),
    proxy: undefined,
    noProxy: Object.freeze([]),
    caFile: undefined,
  },
  sync: {
    connections: 32,
    tries: 3,
    connectSeconds: 10,
    requestSeconds: 60,
    sweepHours: 24,
    floorBytesPerSecond: 1024,
    requestsPerSecond: undefined,
  },
  select: {
    allow: Object.freeze([]),
    deny: Object.freeze([]),
    lockFiles: Object.freeze([]),
    newest: 0,
    withDependencies: false,
    devDependencies: false,
    pruneIndex: false,
  },
  store: { reserveBytes: 1_073_741_824, keepDays: 7 },
  serve: { listen: '127.0.0.1:8377', url: 'http://127.0.0.1:8377' },
  sign: { targets: undefined, snapshot: undefined, timestamp: undefined },
  bundle: {
    site: 'mirror',
    volumeSize: 1_073_741_824,
    keepBaseDays: 180,
    staleDays: 45,
    staleRootDays: 0,
    inbox: Object.freeze([]),
    media: Object.freeze([]),
    outbox: 'state/outbox',
  },
  guard: { removalPercent: 1, removalCrates: 20, removalVersions: 1000, holdDays: 7 },
}

type Reader = (value: unknown, key: string) => unknown

const KEYS: Record<keyof Config, Record<string, Reader>> = {
  upstream: {
    url: httpUrl,
    index: bulkUrl(httpUrl),
    artifacts: bulkUrl(downloads),
    feeds: httpUrl,
    dump: httpUrl,
    namesFile: path,
    advisories: httpUrl,
    chain: oneOf('tuf', 'site'),
    trust: oneOf('tuf', 'observed'),
    origin: flag,
    contact: text,
    redirectHosts: listOf('a list of hosts', host),
    proxy: proxyUrl,
    noProxy: listOf('a list of hosts', bypass),
    caFile: path,
  },
  sync: {
    connections: integer(1, 256),
    tries: integer(1, 10),
    connectSeconds: integer(1, 600),
    requestSeconds: integer(1, 3600),
    sweepHours: integer(1, 8760),
    floorBytesPerSecond: integer(1, 2 ** 30),
    requestsPerSecond: integer(1, 10_000),
  },
  select: {
    allow: listOf('a list of crates', cratePattern),
    deny: listOf('a list of crates', cratePattern),
    lockFiles: listOf('a list of files', path),
    newest: integer(0, 1_000_000),
    withDependencies: flag,
    devDependencies: flag,
    pruneIndex: flag,
  },
  store: { reserveBytes: integer(0, 2 ** 50), keepDays: integer(0, 3650) },
  serve: { listen: address, url: httpUrl },
  sign: { targets: keyUri, snapshot: keyUri, timestamp: keyUri },
  bundle: {
    site: siteName,
    volumeSize: integer(2 ** 20, 4_294_901_760),
    keepBaseDays: integer(0, 3650),
    staleDays: integer(0, 366),
    staleRootDays: integer(0, 366),
    inbox: listOf('a list of folders', path),
    media: listOf('a list of folders', path),
    outbox: path,
  },
  guard: {
    removalPercent: integer(0, 100),
    removalCrates: integer(0, 10_000_000),
    removalVersions: integer(0, 100_000_000),
    holdDays: integer(0, 3650),
  },
}

const CONFIG_BYTES_MAX = 1_048_576

/** The configuration in a file's bytes; every fault is a usage error that names line or key. */
export function parseConfig(bytes: Uint8Array, file: string): Config {
  if (bytes.length > CONFIG_BYTES_MAX) {
    throw new MirrorError('usage', `${file} has ${bytes.length} bytes, at most 1 MiB is read`)
  }
  const table = parseToml(bytes, file)
  const config: Record<string, unknown> = {}
  for (const section of Object.keys(table)) known(section, Object.keys(KEYS), '', file)
  for (const [section, readers] of Object.entries(KEYS)) {
    config[section] = parseSection(section as keyof Config, table[section], readers, file)
  }
  return Object.freeze(config) as unknown as Config
}

function parseSection(
  section: keyof Config,
  value: unknown,
  readers: Record<string, Reader>,
  file: string,
): object {
  const parsed: Record<string, unknown> = { ...DEFAULTS[section] }
  if (value === undefined) return Object.freeze(parsed)
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new MirrorError('usage', `${file}: "${section}" is not a table`)
  }
  const names = new Map(Object.keys(readers).map(name => [kebab(name), name]))
  for (const [key, given] of Object.entries(value)) {
    known(key, [...names.keys()], `${section}.`, file)
    const name = names.get(key) ?? key
    try {
      parsed[name] = readers[name]?.(given, `${section}.${key}`)
    } catch (error) {
      throw new MirrorError('usage', `${file}: ${(error as Error).message}`)
    }
  }
  return Object.freeze(parsed)
}

function known(key: string, all: readonly string[], before: string, file: string): void {
  if (all.includes(key)) return
  // a key may be as long as the file
  const start = key.slice(0, 80)
  const near = all.toSorted((a, b) => distance(start, a) - distance(start, b))[0] ?? ''
  throw new MirrorError(
    'usage',
    `${file}: unknown key ${quoted(before + key)}; did you mean "${before}${near}"?`,
  )
}

/** `floorBytesPerSecond` → `floor-bytes-per-second`. */
function kebab(name: string): string {
  return name.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)
}

/** Levenshtein's. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const swap = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row.at(-1) ?? 0
}

function integer(min: number, max: number): Reader {
  return (value, key) => {
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) {
      return value
    }
    throw new Error(`${key} is ${shown(value)}, expected a whole number from ${min} to ${max}`)
  }
}

function oneOf(...words: readonly string[]): Reader {
  return (value, key) => {
    if (typeof value === 'string' && words.includes(value)) return value
    throw new Error(`${key} is ${shown(value)}, expected ${words.map(w => `"${w}"`).join(' or ')}`)
  }
}

function flag(value: unknown, key: string): boolean {
  if (typeof value === 'boolean') return value
  throw new Error(`${key} is ${shown(value)}, expected true or false`)
}

function text(value: unknown, key: string): string {
  // what goes into a header must not bring a line of its own
  if (typeof value === 'string' && /^[\x20-\x7e]{1,200}$/.test(value)) return value
  throw new Error(`${key} is ${shown(value)}, expected 1 to 200 printable ASCII characters`)
}

function listOf(what: string, one: Reader): Reader {
  return (value, key) => {
    if (Array.isArray(value)) return Object.freeze(value.map((it, i) => one(it, `${key}[${i}]`)))
    throw new Error(`${key} is ${shown(value)}, expected ${what}`)
  }
}

function cratePattern(value: unknown, key: string): string {
  if (typeof value === 'string' && parseCratePattern(value) !== undefined) return value
  throw new Error(
    `${key} is ${shown(value)}, expected a crate or CRATE@VERSION, in which * and ? stand for others`,
  )
}

/** As `URL.host` spells it, which is what a redirect is compared with. */
function host(value: unknown, key: string): string {
  const isPlain = typeof value === 'string' && /^[a-z0-9_.:[\]-]+$/i.test(value)
  const url = isPlain ? URL.parse(`https://${value}/`) : null
  if (url !== null) return url.host
  throw new Error(`${key} is ${shown(value)}, expected a host without scheme or path`)
}

/** As `URL.hostname` spells it, or `.` before it, or `*`. */
function bypass(value: unknown, key: string): string {
  if (value === '*') return value
  const [, dot = '', name] =
    typeof value === 'string'
      ? (/^(\.?)([a-z0-9_][a-z0-9_.-]*|\[[0-9a-f:]+\])$/i.exec(value) ?? [])
      : []
  const url = name === undefined ? null : URL.parse(`https://${name}/`)
  if (url !== null) return `${dot}${url.hostname}`
  throw new Error(`${key} is ${shown(value)}, expected a host without port, ".SUFFIX" or "*"`)
}

function siteName(value: unknown, key: string): string {
  if (typeof value === 'string' && /^[a-z0-9-]{1,16}$/.test(value)) return value
  throw new Error(`${key} is ${shown(value)}, expected 1 to 16 of a-z, 0-9 and "-"`)
}

function path(value: unknown, key: string): string {
  if (typeof value === 'string' && /^[^\0]{1,4096}$/.test(value)) return value
  throw new Error(`${key} is ${shown(value)}, expected the path of a file`)
}

/** It is not shown where it is wrong: a password may be anywhere in it, escaped or not. */
function proxyUrl(value: unknown, key: string): string {
  const url = typeof value === 'string' && !/[?#]/.test(value) ? URL.parse(value) : null
  if (url !== null && /^https?:$/.test(url.protocol) && url.pathname === '/' && isDecodable(url)) {
    return url.href
  }
  throw new Error(
    `${key} is not an http or https URL of a host, as "http://USER:PASSWORD@HOST:PORT" with user and password percent-encoded`,
  )
}

function isDecodable({ username, password }: URL): boolean {
  try {
    decodeURIComponent(username + password)
    return true
  } catch {
    return false
  }
}

function address(value: unknown, key: string): string {
  const port = /^(?:\[[0-9a-f:]+\]|[^:[\]/ ]+):([0-9]{1,5})$/i.exec(String(value))?.[1]
  if (typeof value === 'string' && port !== undefined && Number(port) <= 65_535) return value
  throw new Error(`${key} is ${shown(value)}, expected "ADDRESS:PORT"`)
}

function httpUrl(value: unknown, key: string): string {
  const url = typeof value === 'string' && !/[?#]/.test(value) ? URL.parse(value) : null
  const isPlain = url !== null && url.username === '' && url.password === ''
  if (isPlain && (url.protocol === 'https:' || url.protocol === 'http:')) {
    return url.href.replace(/\/+$/, '')
  }
  const given = shown(typeof value === 'string' ? redacted(value) : value)
  throw new Error(`${key} is ${given}, expected an http or https URL without user or query`)
}

/** A `dl` as config.json has it: cargo's markers stay as they are written. */
function downloads(value: unknown, key: string): string {
  httpUrl(typeof value === 'string' ? value.replaceAll(/\{[a-z0-9-]+\}/g, 'x') : value, key)
  return String(value)
}

/** The API of crates.io allows one request a second and is not for mirrors. */
function bulkUrl(read: (value: unknown, key: string) => string): Reader {
  return (value, key) => {
    const text = read(value, key)
    const host = URL.parse(text.replaceAll(/[{}]/g, ''))?.hostname
    if (host !== 'crates.io' && host !== 'www.crates.io') return text
    throw new Error(
      `${key} is on ${host}, the API host, which is not for bulk; crates.io's hosts for it are index.crates.io and static.crates.io`,
    )
  }
}

/** Where a key is to be had; reading it is for whoever signs. */
function keyUri(value: unknown, key: string): string {
  if (typeof value === 'string' && /^(?:file:[^\0]+|env:[A-Za-z_][A-Za-z0-9_]*)$/.test(value)) {
    return value
  }
  throw new Error(`${key} is ${shown(value)}, expected "file:PATH" or "env:NAME"`)
}

/** `--listen` means what `serve.listen` means. */
export function parseListen(value: string): { readonly host: string; readonly port: number } {
  let checked: string
  try {
    checked = address(value, '--listen')
  } catch (error) {
    throw new MirrorError('usage', (error as Error).message)
  }
  const colon = checked.lastIndexOf(':')
  return {
    host: checked.slice(0, colon).replace(/^\[|\]$/g, ''),
    port: Number(checked.slice(colon + 1)),
  }
}

function shown(value: unknown): string {
  if (typeof value === 'string') return quoted(value)
  if (Array.isArray(value)) return 'a list'
  if (value instanceof Date) return 'a date'
  return typeof value === 'object' ? 'a table' : String(value)
}
