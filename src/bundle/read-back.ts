import { createHash } from 'node:crypto'
import { closeSync, constants, openSync, readSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import type { Checksum } from '../registry/checksum.ts'
import { wrapped } from '../store/durable.ts'

/** What a file holds on its medium. */
export interface ReadBack {
  readonly sha256: Checksum
  readonly bytes: number
  /** Whether the page cache was passed by. Where it was not, the reading proves less. */
  readonly isDirect: boolean
}

const PIECE_BYTES = 4 * 1024 * 1024
/** What a block of a disk can be at most; a buffer must begin at a multiple of it. */
const ALIGNMENT = 4096
/** V8 aligns a buffer by this much, so one of these offsets fits. */
const STEP = 16

/**
 * Hashes what lies on the medium, past the page cache (O_DIRECT): a buffered read tells what was meant
 * to be written. Where the file system cannot do that the cache is read.
 */
export async function readBack(
  path: string,
  { signal, read }: { readonly signal: AbortSignal; readonly read: (bytes: number) => void },
): Promise<ReadBack> {
  const direct = openDirect(path)
  const { fd, buffer } = direct ?? openCached(path)
  try {
    const hash = createHash('sha256')
    for (let bytes = 0; ; await setImmediate()) {
      signal.throwIfAborted()
      const count = readSync(fd, buffer, 0, PIECE_BYTES, bytes)
      hash.update(buffer.subarray(0, count))
      bytes += count
      read(count)
      // direct reads are of whole blocks, so a short one is the last
      if (count < PIECE_BYTES) {
        const sha256 = hash.digest('hex') as Checksum
        return { sha256, bytes, isDirect: direct !== undefined }
      }
    }
  } catch (error) {
    throw wrapped(error, path)
  } finally {
    closeSync(fd)
  }
}

interface Opened {
  readonly fd: number
  readonly buffer: Buffer
}

function openCached(path: string): Opened {
  try {
    return { fd: openSync(path, 'r'), buffer: Buffer.allocUnsafeSlow(PIECE_BYTES) }
  } catch (error) {
    throw wrapped(error, path)
  }
}

/** Undefined where this file system has no such reads. */
function openDirect(path: string): Opened | undefined {
  let fd: number
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_DIRECT)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EINVAL') return undefined
    throw wrapped(error, path)
  }
  try {
    return { fd, buffer: alignedFor(fd) }
  } catch (error) {
    closeSync(fd)
    if ((error as NodeJS.ErrnoException).code === 'EINVAL') return undefined
    throw wrapped(error, path)
  }
}

/** A piece that begins where this file system wants it: found by trying, since nothing tells. */
function alignedFor(fd: number): Buffer {
  const room = Buffer.allocUnsafeSlow(PIECE_BYTES + ALIGNMENT)
  for (let offset = 0; ; offset += STEP) {
    const piece = room.subarray(offset, offset + PIECE_BYTES)
    try {
      readSync(fd, piece, 0, PIECE_BYTES, 0)
      return piece
    } catch (error) {
      const isUnaligned = (error as NodeJS.ErrnoException).code === 'EINVAL'
      if (!isUnaligned || offset + STEP >= ALIGNMENT) throw error
    }
  }
}
