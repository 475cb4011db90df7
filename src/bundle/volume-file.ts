import { createHash, type Hash } from 'node:crypto'
import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { MirrorError } from '../error.ts'
import type { Checksum } from '../registry/checksum.ts'
import { discardVoid, flush, wrapped } from '../store/durable.ts'
import { BLOCK_BYTES, header, paddedSize } from './ustar.ts'
import { type IndexedMember, nextOffset, volumeIndexLine } from './volume-index.ts'
import type { PlannedMember } from './volume-plan.ts'

/** A member, and the file of the mirror in which its bytes lie. */
export interface SourcedMember extends PlannedMember {
  readonly source: string
}

/** A volume as it was written, and the text of its `.idx`. */
export interface WrittenVolume {
  readonly bytes: number
  readonly sha256: Checksum
  readonly index: Buffer
}

const PIECE_BYTES = 4 * 1024 * 1024

/**
 * Writes one volume under a new name, durable when it resolves. Each member is hashed while it is
 * copied: what is not what the index says ends the volume, and the part of it goes.
 * @throws {MirrorError} damaged where a member's bytes are wrong here; io, no-space
 */
export async function writeVolume(
  path: string,
  members: Iterable<SourcedMember>,
  { signal, copied }: { readonly signal: AbortSignal; readonly copied?: (bytes: number) => void },
): Promise<WrittenVolume> {
  const volume = new VolumeWriter(path)
  try {
    const lines: string[] = []
    let offset = 0
    for (const member of members) {
      await volume.add(member, signal)
      const entry: IndexedMember = { offset, ...member }
      lines.push(volumeIndexLine(entry))
      offset = nextOffset(entry)
      copied?.(offset)
    }
    volume.end()
    await flush(dirname(path), { files: [path], folders: [dirname(path)] })
    const { bytes, sha256 } = volume
    return { bytes, sha256, index: Buffer.from(lines.join('')) }
  } catch (error) {
    discardVoid([path])
    throw error
  } finally {
    volume.close()
  }
}

/** Writes in large pieces, and hashes what it writes. */
class VolumeWriter {
  readonly #path: string
  readonly #fd: number
  readonly #hash = createHash('sha256')
  readonly #piece = Buffer.allocUnsafeSlow(PIECE_BYTES)
  #filled = 0
  #bytes = 0

  constructor(path: string) {
    this.#path = path
    try {
      this.#fd = openSync(path, 'wx', 0o644)
    } catch (error) {
      throw wrapped(error, path)
    }
  }

  async add({ path, size, sha256, source }: SourcedMember, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    this.#put(header(path, size))
    const hash = createHash('sha256')
    const copied = await this.#copy(source, size, hash, signal)
    const found = hash.digest('hex')
    if (copied !== size || found !== sha256) {
      const what = `expected ${size} bytes with sha256 ${sha256}, found ${copied} with ${found}`
      throw new MirrorError('damaged', `${source}: ${what}; run verify --repair`)
    }
    this.#put(Buffer.alloc(paddedSize(size) - size))
  }

  /** The two blocks of the end; nothing is flushed to the disk yet. */
  end(): void {
    this.#put(Buffer.alloc(2 * BLOCK_BYTES))
    this.#write()
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Of all that is written. */
  get sha256(): Checksum {
    return this.#hash.copy().digest('hex') as Checksum
  }

  close(): void {
    closeSync(this.#fd)
  }

  /** Returns how many bytes came; one more than `most` is enough to know that it is another file. */
  async #copy(source: string, most: number, hash: Hash, signal: AbortSignal): Promise<number> {
    let fd: number
    try {
      fd = openSync(source, 'r')
    } catch (error) {
      throw wrapped(error, source)
    }
    try {
      for (let copied = 0; ; ) {
        if (this.#filled === PIECE_BYTES) {
          this.#write()
          await setImmediate()
          signal.throwIfAborted()
        }
        const room = Math.min(PIECE_BYTES - this.#filled, most + 1 - copied)
        const count = readSync(fd, this.#piece, this.#filled, room, copied)
        if (count === 0) return copied
        hash.update(this.#piece.subarray(this.#filled, this.#filled + count))
        this.#filled += count
        copied += count
        if (copied > most) return copied
      }
    } finally {
      closeSync(fd)
    }
  }

  #put(bytes: Uint8Array): void {
    for (let rest = bytes; rest.length > 0; ) {
      if (this.#filled === PIECE_BYTES) this.#write()
      const part = rest.subarray(0, PIECE_BYTES - this.#filled)
      this.#piece.set(part, this.#filled)
      this.#filled += part.length
      rest = rest.subarray(part.length)
    }
  }

  /** A full medium shows as a short count first, and as an error only then. */
  #write(): void {
    const bytes = this.#piece.subarray(0, this.#filled)
    this.#hash.update(bytes)
    try {
      for (let done = 0; done < bytes.length; ) {
        done += writeSync(this.#fd, bytes, done, bytes.length - done)
      }
    } catch (error) {
      throw wrapped(error, this.#path)
    }
    this.#bytes += bytes.length
    this.#filled = 0
  }
}
