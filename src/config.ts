import {
  address,
  bandwidth,
  bulkUrl,
  bypass,
  cratePattern,
  downloads,
  flag,
  host,
  httpUrl,
  integer,
  keyUri,
  listOf,
  oneOf,
  path,
  proxyUrl,
  type Reader,
  schedule,
  siteName,
  text,
  weekHours,
} from './config-values.ts'
import type { Bandwidth } from './daemon/bandwidth.ts'
import { HOOK_EVENTS, type HookEvent } from './daemon/events.ts'
import type { WeekHours } from './daemon/week.ts'
import { MirrorError, quoted } from './error.ts'
import { parseToml } from './toml.ts'

/** `crateferry.toml`, parsed. Keys are kebab-case in the file; docs/config.md is checked against this. */
export interface Config {
  readonly upstream: {
    /** Base URL of a signed upstream: what lies below a mirror's `public/`. Absent: filled otherwise. */
    readonly url: string | undefined
    /** Of a TUF repository laid out in another way, instead of `url`: base URL of its metadata … */
    readonly metadata: string | undefined
    /** … and of its targets: tiles, or index files under their own paths. */
    readonly targets: string | undefined
    /** Of an observed upstream: base URL of its sparse index. */
    readonly index: string | undefined
    /** Where artifacts are, of one that is observed or has `metadata`: a `dl` with cargo's markers. */
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
    /** A file with the token that the upstream's own hosts are told in `Authorization`, as it is. */
    readonly tokenFile: string | undefined
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
    /** When the daemon syncs: an interval, "45m", "4h", "1d", or cron's five fields in local time. */
    readonly schedule: string
    /** Up to so many seconds later, drawn anew each time, so that mirrors do not come all at once. */
    readonly jitterSeconds: number
    /** Hours, local time, in which the daemon may sync; what is under way at their end is stopped. None: always. */
    readonly windows: readonly WeekHours[]
    /** How fast bodies may come: the first line whose hours it is counts. None: as fast as they come. */
    readonly bandwidth: readonly Bandwidth[]
    /** Bytes of artifacts after which a run stops; the next one goes on. */
    readonly runBytes: number | undefined
    /** Bytes that may come in a calendar month; then the daemon waits for the next one. */
    readonly monthBytes: number | undefined
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
    /** The daemon reads everything back once in so many days, 0 to 3,650; 0: never … */
    readonly scrubDays: number
    /** … at no more than this rate, 1 to 1 GiB. */
    readonly scrubBytesPerSecond: number
  }
  readonly serve: {
    /** Address and port of `serve`. */
    readonly listen: string
    /** The URL clients use; it stands in config.json, which cargo needs absolute. */
    readonly url: string
    /** The server's certificate with its chain, in PEM, relative to the mirror: with it TLS is spoken … */
    readonly tlsCertificate: string | undefined
    /** … and its private key. */
    readonly tlsKey: string | undefined
    /** The daemon's control socket; without it `state/control.sock`. */
    readonly control: string | undefined
    /** What is published counts as fresh so many hours after it was last compared with its source. */
    readonly freshHours: number
  }
  readonly hooks: {
    /** A program and its arguments, told of events: JSON on its standard input. */
    readonly command: readonly string[]
    /** A URL that the same JSON is posted to. */
    readonly webhook: string | undefined
    /** Of which events; none: of all. */
    readonly events: readonly HookEvent[]
    /** Metadata that ends within so many days is told, 1 to 366. */
    readonly expiryDays: number
  }
  readonly sign: {
    /** Who signs targets.json: `file:PATH` from the mirror's root, `env:NAME` or `exec:COMMAND`. */
    readonly targets: string | undefined
    /** The same for snapshot.json … */
    readonly snapshot: string | undefined
    /** … and for timestamp.json. */
    readonly timestamp: string | undefined
    /** The file with the passphrase of those that are sealed. */
    readonly passphraseFile: string | undefined
    /** How long each signature is good for: 2 to 366 days, … */
    readonly targetsDays: number
    readonly snapshotDays: number
    /** … 2 to 8,784 hours. */
    readonly timestampHours: number
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
    metadata: undefined,
    targets: undefined,
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
    tokenFile: undefined,
  },
  sync: {
    connections: 32,
    tries: 3,
    connectSeconds: 10,
    requestSeconds: 60,
    sweepHours: 24,
    floorBytesPerSecond: 1024,
    requestsPerSecond: undefined,
    schedule: '1h',
    jitterSeconds: 300,
    windows: Object.freeze([]),
    bandwidth: Object.freeze([]),
    runBytes: undefined,
    monthBytes: undefined,
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
  store: {
    reserveBytes: 1_073_741_824,
    keepDays: 7,
    scrubDays: 30,
    scrubBytesPerSecond: 20_000_000,
  },
  serve: {
    listen: '127.0.0.1:8377',
    url: 'http://127.0.0.1:8377',
    tlsCertificate: undefined,
    tlsKey: undefined,
    control: undefined,
    freshHours: 48,
  },
  hooks: {
    command: Object.freeze([]),
    webhook: undefined,
    events: Object.freeze([]),
    expiryDays: 14,
  },
  sign: {
    targets: undefined,
    snapshot: undefined,
    timestamp: undefined,
    passphraseFile: undefined,
    targetsDays: 60,
    snapshotDays: 7,
    timestampHours: 48,
  },
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

const KEYS: Record<keyof Config, Record<string, Reader>> = {
  upstream: {
    url: httpUrl,
    metadata: httpUrl,
    targets: httpUrl,
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
    tokenFile: path,
  },
  sync: {
    connections: integer(1, 256),
    tries: integer(1, 10),
    connectSeconds: integer(1, 600),
    requestSeconds: integer(1, 3600),
    sweepHours: integer(1, 8760),
    floorBytesPerSecond: integer(1, 2 ** 30),
    requestsPerSecond: integer(1, 10_000),
    schedule,
    jitterSeconds: integer(0, 86_400),
    windows: listOf('a list of hours', weekHours),
    bandwidth: listOf('a list of rates', bandwidth),
    runBytes: integer(1, 2 ** 50),
    monthBytes: integer(1, 2 ** 50),
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
  store: {
    reserveBytes: integer(0, 2 ** 50),
    keepDays: integer(0, 3650),
    scrubDays: integer(0, 3650),
    scrubBytesPerSecond: integer(1, 2 ** 30),
  },
  serve: {
    listen: address,
    url: httpUrl,
    tlsCertificate: path,
    tlsKey: path,
    control: path,
    freshHours: integer(1, 87_600),
  },
  hooks: {
    command: listOf('a program and its arguments', text),
    webhook: httpUrl,
    events: listOf('a list of events', oneOf(...HOOK_EVENTS)),
    expiryDays: integer(1, 366),
  },
  sign: {
    targets: keyUri,
    snapshot: keyUri,
    timestamp: keyUri,
    passphraseFile: path,
    targetsDays: integer(2, 366),
    snapshotDays: integer(2, 366),
    timestampHours: integer(2, 8784),
  },
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
