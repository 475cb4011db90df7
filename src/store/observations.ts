import { appendFileSync, closeSync, openSync, readSync, statSync } from 'node:fs'
import { type Checksum, isChecksum } from '../registry/checksum.ts'
import { type IndexPath, parseIndexPath } from '../registry/sparse-path.ts'
import { wrapped } from './durable.ts'
import { OBSERVED } from './layout.ts'
import type { Writer } from './writer.ts'

/** One crate's index file as it was last seen. `sha256` undefined: it was not there. */
export interface Observed {
  /** Seconds since 1970 of the last look; 0: never, only its name is known. */
  readonly at: number
  readonly length: number
  readonly sha256: Checksum | undefined
  readonly etag?: string | undefined
  readonly lastModified?: string | undefined
}

const LINES_HELD = 1000
const NEWLINE = 0x0a
const QUOTE = 0x22
const BRACKET = 0x5d
/** The longest path, a name of 64 characters below its prefix, and its quote. */
const PATH_BYTES_MAX = 80
const SPARE_BYTES = 1_048_576

/**
 * What was seen of an index that has no tree: a cache that saves requests and may be deleted at any
 * time; nothing is believed because it stands here. One JSON line a look, appended; the last line
 * of a path counts, of an odd one only the name, of a torn one nothing. A kill loses at most the
 * looks since the last thousand, which are asked for again.
 *
 * A registry has hundreds of thousands of crates: what is held in memory are the bytes of the file,
 * and of each path where its last line begins.
 */
export class Observations {
  readonly #writer: Writer
  readonly #file: string
  /** The file, and room for a line more of each path: what is not filled takes no memory. */
  #bytes: Buffer
  #filled = 0
  #lines = 0
  readonly #lineOf = new Map<IndexPath, number>()
  /** What is not in the file yet, as lines and by path. */
  #held: string[] = []
  readonly #heldOf = new Map<IndexPath, Observed>()

  constructor(writer: Writer) {
    this.#writer = writer
    this.#file = writer.at(OBSERVED)
    const size = statSync(this.#file, { throwIfNoEntry: false })?.size ?? 0
    this.#bytes = Buffer.allocUnsafeSlow(2 * size + SPARE_BYTES)
    if (size > 0) this.#readInto(size)
  }

  get size(): number {
    return this.#lineOf.size
  }

  has(path: IndexPath): boolean {
    return this.#lineOf.has(path)
  }

  get(path: IndexPath): Observed | undefined {
    const at = this.#lineOf.get(path)
    if (at === undefined) return undefined
    return this.#heldOf.get(path) ?? observedIn(this.#lineAt(at))
  }

  paths(): IterableIterator<IndexPath> {
    return this.#lineOf.keys()
  }

  set(path: IndexPath, observed: Observed): void {
    this.#heldOf.set(path, observed)
    if (!this.has(path)) this.#lineOf.set(path, NOWHERE)
    this.#held.push(lineOf(path, observed))
    if (this.#held.length >= LINES_HELD) this.flush()
  }

  /** A name that turned out to have no crate. */
  forget(path: IndexPath): void {
    this.#heldOf.delete(path)
    if (!this.#lineOf.delete(path)) return
    this.#held.push(`[${JSON.stringify(path)}]\n`)
  }

  /** Appends what is held in memory; a cache is not worth a flush of the disk. */
  flush(): void {
    if (this.#held.length === 0) return
    const lines = Buffer.from(this.#held.join(''), 'latin1')
    this.#held = []
    try {
      appendFileSync(this.#file, lines, { mode: 0o644 })
    } catch (error) {
      throw wrapped(error, this.#file)
    }
    this.#heldOf.clear()
    this.#grow(lines.length)
    lines.copy(this.#bytes, this.#filled)
    this.#take(lines.length)
  }

  /** Flushes, and writes the file anew where most of its lines are old. */
  async close(): Promise<void> {
    this.flush()
    if (this.#lines < 2 * this.size + LINES_HELD) return
    const last = Buffer.allocUnsafeSlow(this.#filled)
    let length = 0
    for (const at of this.#lineOf.values()) length += this.#lineAt(at).copy(last, length)
    await this.#writer.replace(OBSERVED, last.subarray(0, length))
    this.#lines = this.size
  }

  #readInto(size: number): void {
    const fd = openSync(this.#file, 'r')
    try {
      this.#take(readSync(fd, this.#bytes, 0, size, 0))
    } catch (error) {
      throw wrapped(error, this.#file)
    } finally {
      closeSync(fd)
    }
    // a torn last line must not swallow the first one of this run
    if (this.#bytes[this.#filled - 1] !== NEWLINE) this.#held.push('\n')
  }

  #grow(by: number): void {
    if (this.#filled + by <= this.#bytes.length) return
    const larger = Buffer.allocUnsafeSlow(2 * this.#bytes.length + by)
    this.#bytes.copy(larger, 0, 0, this.#filled)
    this.#bytes = larger
  }

  /** So many bytes more are filled. */
  #take(count: number): void {
    const filled = this.#filled + count
    const bytes = this.#bytes.subarray(0, filled)
    let start = this.#filled
    for (let end = bytes.indexOf(NEWLINE, start); end !== -1; end = bytes.indexOf(NEWLINE, start)) {
      this.#takeLine(start)
      start = end + 1
    }
    this.#filled = filled
  }

  /** `["se/rd/serde",…]`; `["se/rd/serde"]` alone: forgotten. */
  #takeLine(at: number): void {
    this.#lines += 1
    const begins = at + 2
    const quote = this.#bytes.subarray(begins, begins + PATH_BYTES_MAX).indexOf(QUOTE)
    if (this.#bytes[at + 1] !== QUOTE || quote === -1) return
    const path = parseIndexPath(this.#bytes.toString('latin1', begins, begins + quote))
    if (path === undefined) return
    if (this.#bytes[begins + quote + 1] === BRACKET) this.#lineOf.delete(path)
    else this.#lineOf.set(path, at)
  }

  /** With its newline. */
  #lineAt(at: number): Buffer {
    return this.#bytes.subarray(at, this.#bytes.indexOf(NEWLINE, at) + 1)
  }
}

/** Of a path that is held in memory and in no line yet. */
const NOWHERE = -1
const NEVER: Observed = { at: 0, length: 0, sha256: undefined }

function lineOf(path: IndexPath, seen: Observed): string {
  const { at, length, sha256 = null, etag = null, lastModified = null } = seen
  return `${JSON.stringify([path, at, length, sha256, etag, lastModified])}\n`
}

function observedIn(line: Buffer): Observed {
  const [, at, length, sha256, etag, lastModified] = parsed(line)
  if (!isCount(at) || !isCount(length) || (sha256 !== null && !isChecksum(sha256))) return NEVER
  return {
    at,
    length,
    sha256: sha256 ?? undefined,
    ...(typeof etag === 'string' && { etag }),
    ...(typeof lastModified === 'string' && { lastModified }),
  }
}

function parsed(line: Buffer): readonly unknown[] {
  try {
    const value: unknown = JSON.parse(line.toString('latin1'))
    return Array.isArray(value) ? value : []
  } catch {
    return []
  }
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}
