import { appendFileSync, existsSync, readFileSync } from 'node:fs'
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

/**
 * What was seen of an index that has no tree: a cache that saves requests and may be deleted at any
 * time; nothing is believed because it stands here. One JSON line a look, appended; the last line
 * of a path counts, a torn or odd one is skipped. A kill loses at most the looks since the last
 * thousand, which are asked for again.
 */
export class Observations {
  readonly #writer: Writer
  readonly #file: string
  readonly #seen = new Map<IndexPath, Observed>()
  #lines: number
  #held: string[] = []

  constructor(writer: Writer) {
    this.#writer = writer
    this.#file = writer.at(OBSERVED)
    this.#lines = this.#read()
  }

  get size(): number {
    return this.#seen.size
  }

  get(path: IndexPath): Observed | undefined {
    return this.#seen.get(path)
  }

  paths(): IterableIterator<IndexPath> {
    return this.#seen.keys()
  }

  set(path: IndexPath, observed: Observed): void {
    this.#seen.set(path, observed)
    this.#held.push(lineOf(path, observed))
    if (this.#held.length >= LINES_HELD) this.flush()
  }

  /** A name that turned out to have no crate. */
  forget(path: IndexPath): void {
    if (!this.#seen.delete(path)) return
    this.#held.push(`[${JSON.stringify(path)}]\n`)
  }

  /** Appends what is held in memory; a cache is not worth a flush of the disk. */
  flush(): void {
    if (this.#held.length === 0) return
    const text = this.#held.join('')
    this.#lines += this.#held.length
    this.#held = []
    try {
      appendFileSync(this.#file, text, { mode: 0o644 })
    } catch (error) {
      throw wrapped(error, this.#file)
    }
  }

  /** Flushes, and writes the file anew where most of its lines are old. */
  async close(): Promise<void> {
    this.flush()
    if (this.#lines < 2 * this.#seen.size + LINES_HELD) return
    const lines = Array.from(this.#seen, ([path, observed]) => lineOf(path, observed))
    await this.#writer.replace(OBSERVED, Buffer.from(lines.join('')))
    this.#lines = lines.length
  }

  #read(): number {
    if (!existsSync(this.#file)) return 0
    const bytes = readFileSync(this.#file)
    let count = 0
    for (let start = 0; start < bytes.length; ) {
      const newline = bytes.indexOf(0x0a, start)
      const end = newline < 0 ? bytes.length : newline
      this.#take(bytes.toString('latin1', start, end))
      count += 1
      start = end + 1
    }
    // a torn last line must not swallow the first one of this run
    if (bytes.length > 0 && bytes.at(-1) !== 0x0a) this.#held.push('\n')
    return count
  }

  #take(line: string): void {
    const values = parsed(line)
    const [path, at, length, sha256, etag, lastModified] = values
    if (typeof path !== 'string' || parseIndexPath(path) === undefined) return
    if (values.length === 1) {
      this.#seen.delete(path as IndexPath)
      return
    }
    if (!isCount(at) || !isCount(length) || (sha256 !== null && !isChecksum(sha256))) return
    this.#seen.set(path as IndexPath, {
      at,
      length,
      sha256: sha256 ?? undefined,
      ...(typeof etag === 'string' && { etag }),
      ...(typeof lastModified === 'string' && { lastModified }),
    })
  }
}

function lineOf(path: IndexPath, seen: Observed): string {
  const { at, length, sha256 = null, etag = null, lastModified = null } = seen
  return `${JSON.stringify([path, at, length, sha256, etag, lastModified])}\n`
}

function parsed(line: string): readonly unknown[] {
  try {
    const value: unknown = JSON.parse(line)
    return Array.isArray(value) ? value : []
  } catch {
    return []
  }
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}
