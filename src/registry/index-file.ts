import { MirrorError } from '../error.ts'
import type { CrateName } from './crate-name.ts'
import { type IndexLine, IndexLineRefused, readIndexLine, startsObject } from './index-line.ts'
import { type IndexPath, nameOfPath } from './sparse-path.ts'
import type { Version } from './version.ts'

/** A version that the mirror wants, and the number of the line that names it. */
interface IndexEntry extends IndexLine {
  readonly line: number
}

/**
 * What can be read from an index file. Its bytes are relayed as they are, whatever is found here:
 * reading serves to know what is wanted, and to notice what is not an index file at all.
 */
export interface IndexFile {
  readonly entries: readonly IndexEntry[]
  /** Lines that are relayed and not wanted, told one by one up to a bound; the path is not said. */
  readonly warnings: readonly string[]
  /** Versions on two lines with different checksums: at most one of them is true. */
  readonly disputed: ReadonlySet<Version>
  /** Versions of lines that nobody can use, such as one with a blank checksum. */
  readonly unusable: ReadonlySet<Version>
}

/** The whole file is not taken, and its crate held: its bytes cannot be that crate's index file. */
export class IndexFileRefused extends MirrorError {
  constructor(path: IndexPath, fault: string, options: { readonly transient: boolean }) {
    super('incomplete', `index/${path}: ${fault}`, options)
  }
}

const MIB = 1024 * 1024
const FILE_BYTES_MAX = 64 * MIB
const LINE_BYTES_MAX = 4 * MIB
const LINES_MAX = 50_000
const WARNINGS_MAX = 20
const NEWLINE = 0x0a

/**
 * Reads an index file by its crate's path. A bad line is a warning and never stops its crate; a
 * bad file is refused. Where signed metadata names these very bytes (`signed`), they are refused
 * only when they are empty, another crate's, or over the limits: all else is what was published.
 */
export function readIndexFile(
  bytes: Uint8Array,
  path: IndexPath,
  options: { readonly signed?: boolean } = {},
): IndexFile {
  const reading = new Reading(path, options.signed ?? false)
  reading.open(bytes)
  for (let start = 0; start < bytes.length; ) {
    const newline = bytes.indexOf(NEWLINE, start)
    const end = newline < 0 ? bytes.length : newline
    reading.line(bytes.subarray(start, end))
    start = end + 1
  }
  return reading.close()
}

/** What a new file takes back of what the old one had published. */
export interface Rollback {
  /** The version is still named, but not with the checksum it had. */
  readonly changed: readonly Version[]
  readonly removed: readonly Version[]
}

/** A published (version, checksum) stays for ever; `yanked` may flip, versions may be added. */
export function rollbackOf(before: IndexFile, after: IndexFile): Rollback {
  const kept = new Set(after.entries.map(identity))
  const named = new Set([...after.entries.map(entry => entry.version), ...after.unusable])
  const lost = new Set(before.entries.filter(e => !kept.has(identity(e))).map(e => e.version))
  return {
    changed: [...lost].filter(version => named.has(version)),
    removed: [...lost].filter(version => !named.has(version)),
  }
}

/** Versions that both files name, and that were yanked between them, or are no longer. */
export interface Yanks {
  readonly yanked: readonly Version[]
  readonly unyanked: readonly Version[]
}

export function yanksOf(before: IndexFile, after: IndexFile): Yanks {
  const was = new Map(before.entries.map(entry => [identity(entry), entry.yanked]))
  const flipped = after.entries.filter(one => was.get(identity(one)) === !one.yanked)
  return {
    yanked: flipped.filter(({ yanked }) => yanked).map(({ version }) => version),
    unyanked: flipped.filter(({ yanked }) => !yanked).map(({ version }) => version),
  }
}

/** The spelling of the name counts: cargo skips a line that spells it differently. */
function identity({ crate, version, checksum }: IndexLine): string {
  return `${crate} ${version} ${checksum}`
}

/** One file being read: what its lines have yielded so far. */
class Reading {
  readonly #path: IndexPath
  readonly #lowerName: CrateName
  readonly #signed: boolean
  readonly #entries: IndexEntry[] = []
  readonly #identities = new Set<string>()
  readonly #firstOf = new Map<Version, IndexEntry>()
  readonly #disputed = new Set<Version>()
  readonly #unusable = new Set<Version>()
  readonly #warnings: string[] = []
  #warningsLeftOut = 0
  #newerSeen = false
  #line = 0

  constructor(path: IndexPath, signed: boolean) {
    this.#path = path
    this.#lowerName = nameOfPath(path)
    this.#signed = signed
  }

  /** A cut answer and a proxy's page are told apart before any line is read. */
  open(bytes: Uint8Array): void {
    if (bytes.length === 0) throw this.#refused('empty; a crate without versions has no file')
    if (bytes.length > FILE_BYTES_MAX) {
      throw this.#refused(`longer than ${FILE_BYTES_MAX / MIB} MiB`)
    }
    if (startsObject(bytes) && bytes[bytes.length - 1] !== NEWLINE) {
      this.#badForm('last line has no newline (the answer was cut)')
    }
  }

  line(line: Uint8Array): void {
    this.#line += 1
    if (this.#line > LINES_MAX) throw this.#refused(`more than ${LINES_MAX} lines`)
    if (line.length > LINE_BYTES_MAX) {
      throw this.#refused(`line ${this.#line} is longer than ${LINE_BYTES_MAX / MIB} MiB`)
    }
    try {
      this.#take({ ...readIndexLine(line, this.#lowerName), line: this.#line })
    } catch (error) {
      if (!(error instanceof IndexLineRefused)) throw error
      this.#leave(error)
    }
  }

  close(): IndexFile {
    if (this.#warningsLeftOut > 0) this.#warnings.push(`and ${this.#warningsLeftOut} more`)
    return {
      entries: this.#entries,
      warnings: this.#warnings,
      disputed: this.#disputed,
      unusable: this.#unusable,
    }
  }

  /** The same line twice is one entry; cargo resolves it fine. */
  #take(entry: IndexEntry): void {
    const same = identity(entry)
    if (this.#identities.has(same)) return
    this.#identities.add(same)
    this.#entries.push(entry)
    const first = this.#firstOf.getOrInsert(entry.version, entry)
    if (first !== entry) this.#compare(first, entry)
  }

  /** Two lines of one version that are not the same. */
  #compare({ version, checksum }: IndexEntry, other: IndexEntry): void {
    if (checksum === other.checksum) {
      this.#warn(`version ${version} twice with different spellings of the name`)
    } else if (!this.#disputed.has(version)) {
      this.#disputed.add(version)
      this.#warn(`version ${version} twice with different checksums`)
    }
  }

  #leave(refusal: IndexLineRefused): void {
    const fault = `line ${this.#line}: ${refusal.message}`
    if (refusal.version !== undefined) this.#unusable.add(refusal.version)
    switch (refusal.kind) {
      case 'foreign':
        throw this.#refused(fault)
      case 'form':
        this.#badForm(fault)
        break
      case 'odd':
        this.#warn(fault)
        break
      case 'newer':
        if (!this.#newerSeen) this.#warn(fault)
        this.#newerSeen = true
        break
      default:
        refusal.kind satisfies never
    }
  }

  /** What signed metadata vouches for is published whatever its form. */
  #badForm(fault: string): void {
    if (!this.#signed) throw this.#refused(fault)
    this.#warn(fault)
  }

  #warn(warning: string): void {
    if (this.#warnings.length < WARNINGS_MAX) this.#warnings.push(warning)
    else this.#warningsLeftOut += 1
  }

  /** Bytes that a signed hash names will be the same the next time. */
  #refused(fault: string): IndexFileRefused {
    return new IndexFileRefused(this.#path, fault, { transient: !this.#signed })
  }
}
