import { createHash, type Hash } from 'node:crypto'
import { closeSync, existsSync, opendirSync, openSync, readSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { MirrorError } from '../error.ts'
import { type Checksum, sha256 } from '../registry/checksum.ts'
import { discardFile, discardVoid, moveFile, wrapped, writeFileAt } from './durable.ts'
import { PARTIALS, partialFile } from './layout.ts'

/**
 * The longest artifact we take: far above the 10 MiB that crates.io allows unasked.
 * @public
 */
export const ARTIFACT_BYTES_MAX: number = 1024 * 1024 * 1024

const HELD_BYTES_MIN = 64 * 1024
const HELD_BYTES_MAX = 1024 * 1024

/** Bytes came whole and are not the ones asked for. Asking again may help. */
export class ChecksumMismatch extends MirrorError {
  readonly expected: Checksum
  readonly found: Checksum

  constructor(expected: Checksum, found: Checksum, length: number) {
    super('incomplete', `expected sha256 ${expected}, found ${found} (${length} bytes)`, {
      transient: true,
    })
    this.expected = expected
    this.found = found
  }
}

/**
 * One transfer under way: bytes only, believed by nobody until `finish` has compared the hash of
 * all of them. The first MiB stays in memory, so a small body is hashed once and written once; a
 * longer one goes to the file MiB by MiB and is hashed on the way. What an earlier process left is
 * hashed again from byte 0 (P7). No file stays open between calls, so one may be dropped at any
 * time; what it still held in memory is then asked for again. Nothing here is flushed: landing does.
 */
export class Partial {
  readonly path: string
  #onDisk = 0
  /** Of the bytes on the disk; undefined while there are none. */
  #hash: Hash | undefined
  /** Of the bytes in memory: a buffer that grows, filled up to `heldLength`, or a body as it came. */
  #held: Uint8Array = Buffer.alloc(0)
  #pieces: readonly Uint8Array[] | undefined
  #heldLength = 0

  private constructor(path: string) {
    this.path = path
  }

  /** With what an earlier transfer left under `path`, or empty. */
  static async open(path: string): Promise<Partial> {
    const partial = new Partial(path)
    if ((sizeOf(path) ?? 0) > ARTIFACT_BYTES_MAX) await discardFile(path)
    const found = await hashFile(path)
    if (found === undefined || found.length === 0) return partial
    partial.#onDisk = found.length
    partial.#hash = found.hash
    return partial
  }

  /** Where nothing lies yet: who knows that need not look. */
  static empty(path: string): Partial {
    return new Partial(path)
  }

  /** Where the transfer goes on. */
  get length(): number {
    return this.#onDisk + this.#heldLength
  }

  isWhole(checksum: Checksum): boolean {
    return this.length > 0 && this.#checksum() === checksum
  }

  /** A body that came whole, of at most a MiB; the pieces are not copied, and nobody's but the partial's. */
  adopt(pieces: readonly Uint8Array[]): void {
    if (this.length === 0) {
      this.#pieces = pieces
      this.#heldLength = pieces.reduce((sum, { length }) => sum + length, 0)
    } else {
      for (const piece of pieces) this.write(piece)
    }
  }

  /** A body beyond the limit is no artifact: nothing stays (P15). */
  write(chunk: Uint8Array): void {
    if (this.length + chunk.length > ARTIFACT_BYTES_MAX) {
      this.#forget({ onDisk: 0 })
      discardVoid([this.path])
      throw new MirrorError('incomplete', `an artifact is longer than ${ARTIFACT_BYTES_MAX} bytes`)
    }
    for (let rest = chunk; rest.length > 0; rest = rest.subarray(this.#hold(rest))) {
      if (this.#heldLength === HELD_BYTES_MAX) this.keep()
    }
  }

  /** From 0 again: of what came nothing stays. */
  async restart(): Promise<void> {
    this.#forget({ onDisk: 0 })
    await discardFile(this.path)
  }

  /** The transfer broke: what is in memory goes to the file, where the next try continues. */
  keep(): void {
    if (this.#heldLength === 0) return
    const held = this.#inMemory()
    writeFileAt(this.path, held, this.#onDisk)
    this.#hash = this.#hashed()
    this.#onDisk += this.#heldLength
    this.#heldLength = 0
    this.#pieces = undefined
  }

  /**
   * All has come: it lies whole in the file now, or was wrong and is gone; what is wrong can be
   * moved to `evidence`, if it is anything at all. Nothing can be written after it.
   */
  async finish(checksum: Checksum, { evidence }: { evidence?: string } = {}): Promise<void> {
    if (this.#onDisk > 0) this.keep()
    const { length } = this
    const found = this.#checksum()
    if (found === checksum) {
      if (this.#onDisk === 0) writeFileAt(this.path, this.#inMemory(), 0)
      this.#forget({ onDisk: length })
      return
    }
    if (evidence !== undefined && length > 0) {
      this.keep()
      moveFile(this.path, evidence)
    }
    await this.restart()
    throw new ChecksumMismatch(checksum, found, length)
  }

  /** Of all bytes so far. */
  #checksum(): Checksum {
    const [first, second] = this.#inMemory()
    if (this.#hash === undefined && first !== undefined && second === undefined)
      return sha256(first)
    return this.#hashed().digest('hex') as Checksum
  }

  #hashed(): Hash {
    const hash = this.#hash?.copy() ?? createHash('sha256')
    for (const piece of this.#inMemory()) hash.update(piece)
    return hash
  }

  #inMemory(): readonly Uint8Array[] {
    return this.#pieces ?? [this.#held.subarray(0, this.#heldLength)]
  }

  /**
   * Copies what fits, and returns how much that was. A buffer that grows, not a list of chunks: a
   * server that sends single bytes must not make us keep a million objects (P15).
   */
  #hold(bytes: Uint8Array): number {
    if (this.#pieces !== undefined) this.keep()
    const needed = this.#heldLength + bytes.length
    if (needed > this.#held.length && this.#held.length < HELD_BYTES_MAX) {
      const grown = Math.max(HELD_BYTES_MIN, this.#held.length * 2, needed)
      const held = Buffer.allocUnsafeSlow(Math.min(grown, HELD_BYTES_MAX))
      held.set(this.#held.subarray(0, this.#heldLength))
      this.#held = held
    }
    const count = Math.min(bytes.length, this.#held.length - this.#heldLength)
    this.#held.set(bytes.subarray(0, count), this.#heldLength)
    this.#heldLength += count
    return count
  }

  #forget({ onDisk }: { readonly onDisk: number }): void {
    this.#onDisk = onDisk
    this.#hash = undefined
    this.#pieces = undefined
    this.#held = Buffer.alloc(0)
    this.#heldLength = 0
  }
}

/** Some thousands of transfers can be under way, a whole registry can have been adopted. */
const LEFT_MAX = 100_000

/**
 * The artifacts of which an earlier run left something: listed, so that nobody looks for the others
 * one by one, or looked for where the list would be long (P15).
 */
export function partialsLeft(root: string): Pick<ReadonlySet<Checksum>, 'has'> {
  const left = new Set<Checksum>()
  for (const name of namesIn(join(root, PARTIALS))) {
    left.add(name.slice(0, 64) as Checksum)
    if (left.size > LEFT_MAX) return { has: one => existsSync(join(root, partialFile(one))) }
  }
  return left
}

/** Removes what earlier transfers left, but for the artifacts that are still wanted. */
export async function discardPartials(
  root: string,
  { but }: { readonly but: ReadonlySet<Checksum> },
): Promise<void> {
  for (const name of namesIn(join(root, PARTIALS))) {
    if (!but.has(name.slice(0, 64) as Checksum)) await discardFile(join(root, PARTIALS, name))
  }
}

/** One after the other: all at once they were a gigabyte of names. */
function* namesIn(folder: string): Generator<string> {
  const entries = opendirSync(folder, { bufferSize: 256 })
  try {
    for (let entry = entries.readSync(); entry !== null; entry = entries.readSync()) {
      yield entry.name
    }
  } finally {
    entries.closeSync()
  }
}

/** The same for bytes that came whole: one hash, one write. */
export function wholePartial(path: string, bytes: Uint8Array, checksum: Checksum): void {
  const found = sha256(bytes)
  if (found !== checksum) throw new ChecksumMismatch(checksum, found, bytes.length)
  writeFileAt(path, [bytes], 0)
}

/** The hash of all that a file holds, still open for more; undefined where there is no file. */
export async function hashFile(path: string): Promise<{ hash: Hash; length: number } | undefined> {
  const size = sizeOf(path)
  if (size === undefined) return undefined
  const hash = createHash('sha256')
  const buffer = Buffer.allocUnsafeSlow(Math.min(size + 1, HELD_BYTES_MAX))
  try {
    const fd = openSync(path, 'r')
    try {
      for (let length = 0; ; await setImmediate()) {
        const count = readSync(fd, buffer, 0, buffer.length, length)
        hash.update(buffer.subarray(0, count))
        length += count
        if (count < buffer.length) return { hash, length }
      }
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    throw wrapped(error, path)
  }
}

function sizeOf(path: string): number | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false })?.size
  } catch (error) {
    throw wrapped(error, path)
  }
}
