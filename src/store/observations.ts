import { appendFileSync, closeSync, existsSync, openSync, readSync } from 'node:fs'
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

const LINES_HELD = 100
const NEWLINE = 0x0a
const QUOTE = 0x22
const BRACKET = 0x5d
/** The longest path, a name of 64 characters below its prefix, and its quote. */
const PATH_BYTES_MAX = 80
/** A line with the longest validators that are kept; a longer one is odd. */
const LINE_BYTES_MAX = 4096
const PIECE_BYTES = 1_048_576

/**
 * What was seen of an index that has no tree: a cache that saves requests and may be deleted at any
 * time; nothing is believed because it stands here. One JSON line a look, appended; the last line
 * of a path counts, of an odd one only the name, of a torn one nothing. A kill loses at most the
 * looks since the last hundred, which are asked for again.
 *
 * A registry has hundreds of thousands of crates: in memory is only where in the file the last line
 * of each begins.
 */
export class Observations {
  readonly #writer: Writer
  readonly #file: string
  readonly #lineOf = new Map<IndexPath, number>()
  /** What is not in the file yet, as lines and by path. */
  #held: string[] = []
  readonly #heldOf = new Map<IndexPath, Observed>()
  /** Undefined: not open, because there is no file yet or because `close` was called. */
  #fd: number | undefined
  /** How far the file is known, and its lines until there. */
  #length = 0
  #lines = 0
  readonly #buffer = Buffer.allocUnsafeSlow(LINE_BYTES_MAX)

  constructor(writer: Writer) {
    this.#writer = writer
    this.#file = writer.at(OBSERVED)
    if (existsSync(this.#file)) this.#readAll()
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
    this.#fd ??= openSync(this.#file, 'r')
    this.#take(lines, this.#length)
    this.#length += lines.length
  }

  /**
   * Flushes, and writes the file anew where most of its lines are old. What was seen can still be
   * asked for, a little slower.
   */
  async close(): Promise<void> {
    this.flush()
    if (this.#lines >= 2 * this.size + LINES_HELD) await this.#rewrite()
    this.#close()
  }

  async #rewrite(): Promise<void> {
    try {
      await this.#writer.replace(OBSERVED, this.#lastLines())
    } catch (error) {
      // the lines are not where they are said to be
      this.#lineOf.clear()
      throw error
    } finally {
      this.#close()
    }
    this.#lines = this.size
  }

  /** The last line of each path, and where it will be. */
  *#lastLines(): Generator<Buffer> {
    let length = 0
    let filled = 0
    let piece = Buffer.allocUnsafeSlow(PIECE_BYTES)
    for (const [path, at] of this.#lineOf) {
      const line = this.#lineAt(at)
      if (filled + line.length > PIECE_BYTES) {
        yield piece.subarray(0, filled)
        piece = Buffer.allocUnsafeSlow(PIECE_BYTES)
        filled = 0
      }
      this.#lineOf.set(path, length)
      filled += line.copy(piece, filled)
      length += line.length
    }
    this.#length = length
    yield piece.subarray(0, filled)
  }

  #close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd)
    this.#fd = undefined
  }

  #readAll(): void {
    this.#fd = openSync(this.#file, 'r')
    let rest = Buffer.alloc(0)
    for (const piece of this.#pieces(this.#fd)) {
      const bytes = Buffer.concat([rest, piece])
      const taken = this.#take(bytes, this.#length - rest.length)
      rest = Buffer.from(bytes.subarray(taken))
      this.#length += piece.length
    }
    // a torn last line must not swallow the first one of this run
    if (rest.length > 0) this.#held.push('\n')
  }

  *#pieces(fd: number): Generator<Buffer> {
    const piece = Buffer.allocUnsafeSlow(PIECE_BYTES)
    for (let at = 0; ; ) {
      const count = this.#readAt(fd, piece, at)
      if (count === 0) return
      yield piece.subarray(0, count)
      at += count
    }
  }

  /** Whole lines, which begin at `begins` in the file. Returns how many bytes they are. */
  #take(bytes: Buffer, begins: number): number {
    let start = 0
    for (let end = bytes.indexOf(NEWLINE); end !== -1; end = bytes.indexOf(NEWLINE, start)) {
      this.#takeLine(bytes.subarray(start, end), begins + start)
      start = end + 1
    }
    return start
  }

  /** `["se/rd/serde",…]`; `["se/rd/serde"]` alone: forgotten. */
  #takeLine(line: Buffer, at: number): void {
    this.#lines += 1
    const quote = line.subarray(2, PATH_BYTES_MAX).indexOf(QUOTE)
    if (line[1] !== QUOTE || quote === -1) return
    const path = parseIndexPath(line.toString('latin1', 2, 2 + quote))
    if (path === undefined) return
    if (line[2 + quote + 1] === BRACKET) this.#lineOf.delete(path)
    else this.#lineOf.set(path, at)
  }

  /** With its newline; nothing where the file is gone, or not what it was. */
  #lineAt(at: number): Buffer {
    if (this.#fd === undefined && !existsSync(this.#file)) return Buffer.alloc(0)
    const fd = this.#fd ?? openSync(this.#file, 'r')
    try {
      const bytes = this.#buffer.subarray(0, this.#readAt(fd, this.#buffer, at))
      return bytes.subarray(0, bytes.indexOf(NEWLINE) + 1)
    } finally {
      if (fd !== this.#fd) closeSync(fd)
    }
  }

  #readAt(fd: number, into: Buffer, at: number): number {
    try {
      return readSync(fd, into, 0, into.length, at)
    } catch (error) {
      throw wrapped(error, this.#file)
    }
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
