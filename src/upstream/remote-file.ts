import { DumpRefused } from './faults.ts'

/**
 * A large file that is read in pieces. Whoever makes one sees to it that all pieces are of the same
 * file, which may be replaced meanwhile; an answer of another length is refused here.
 */
export interface RemoteFile {
  /** For messages: a URL without secrets. */
  readonly name: string
  readonly size: number
  read(offset: number, length: number, signal: AbortSignal): Promise<Uint8Array>
}

const BLOCK_BYTES = 1_048_576
/** The end of the file, what is being used, what is asked for ahead. */
const BLOCKS_KEPT = 3

/** A remote file in blocks, a few of which are kept: small reads near each other ask once. */
export class RemoteBlocks implements Disposable {
  readonly #remote: RemoteFile
  readonly #signal: AbortSignal
  readonly #closed = new AbortController()
  readonly #kept = new Map<number, Promise<Uint8Array>>()

  constructor(remote: RemoteFile, signal: AbortSignal) {
    this.#remote = remote
    this.#signal = AbortSignal.any([signal, this.#closed.signal])
  }

  /** Exactly these bytes. */
  async read(position: number, length: number): Promise<Buffer> {
    const pieces: Uint8Array[] = []
    for await (const piece of this.range(position, position + length)) pieces.push(piece)
    return Buffer.concat(pieces)
  }

  /** From `start` up to `end`, always asking for one block ahead of what is used. */
  async *range(start: number, end: number): AsyncGenerator<Uint8Array> {
    if (end > this.#remote.size) {
      throw new DumpRefused(
        this.#remote.name,
        `is cut: ${end} bytes are spoken of, ${this.#remote.size} are there`,
      )
    }
    for (let at = start; at < end; ) {
      const block = Math.floor(at / BLOCK_BYTES)
      const first = block * BLOCK_BYTES
      const bytes = await this.#block(block)
      if (first + BLOCK_BYTES < end) this.#block(block + 1).catch(() => {}) // told when it is used
      const piece = bytes.subarray(at - first, Math.min(end - first, BLOCK_BYTES))
      yield piece
      at += piece.length
    }
  }

  /** What was asked for ahead is given up. */
  [Symbol.dispose](): void {
    this.#closed.abort()
    this.#kept.clear()
  }

  #block(block: number): Promise<Uint8Array> {
    const kept = this.#kept.get(block)
    if (kept !== undefined) return kept
    const oldest = this.#kept.keys().next()
    if (this.#kept.size >= BLOCKS_KEPT && !oldest.done) this.#kept.delete(oldest.value)
    const asked = this.#fetch(block)
    this.#kept.set(block, asked)
    return asked
  }

  async #fetch(block: number): Promise<Uint8Array> {
    this.#signal.throwIfAborted()
    const { name, size } = this.#remote
    const offset = block * BLOCK_BYTES
    const length = Math.min(BLOCK_BYTES, size - offset)
    const bytes = await this.#remote.read(offset, length, this.#signal)
    if (bytes.length === length) return bytes
    throw new DumpRefused(name, `expected ${length} bytes at ${offset}, found ${bytes.length}`)
  }
}
