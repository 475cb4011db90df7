import { createHash } from 'node:crypto'
import { type BigIntStats, constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import type { Checksum } from '../registry/checksum.ts'

/** A file of the mirror is not what its name says, or cannot be read: for the log, never for a client. */
export class FileDamaged extends Error {
  constructor(file: string, fault: string, cause?: unknown) {
    super(`${file} ${fault}; run verify --repair`, { cause })
    this.name = new.target.name
  }
}

/** An open regular file with the checksum of its bytes. */
export interface OpenFile extends AsyncDisposable {
  readonly path: string
  readonly checksum: Checksum
  readonly size: number
  /** Fills the buffer from `at` on. @throws {FileDamaged} where the file has become shorter. */
  read(buffer: Buffer, at: number): Promise<void>
}

interface Known {
  readonly look: string
  readonly checksum: Promise<Checksum>
}

const KNOWN_MAX = 100_000

/**
 * Opens files and says what their bytes hash to, so that nothing leaves here on the word of a name.
 * Each file is hashed the first time it is asked for in this process, through the very handle that
 * is served: one more read of it, once, in pieces of fixed size; a gigabyte on a slow disk may
 * delay its first client by a minute, and whoever asks meanwhile waits for the same hashing. After
 * that it is known by inode, size and time of change. Bits that rot later without touching these
 * are found by the next start, or by `verify`.
 */
export class HashedFiles {
  /** The oldest are forgotten first; a hash that failed is forgotten at once. */
  readonly #known = new Map<string, Known>()

  /** Undefined where there is none. @throws {FileDamaged} */
  async open(path: string): Promise<OpenFile | undefined> {
    const handle = await openUnlinked(path)
    if (handle === undefined) return undefined
    try {
      const stats = await handle.stat({ bigint: true })
      if (!stats.isFile()) throw new FileDamaged(path, 'is no regular file')
      const checksum = await this.#checksumOf(path, handle, stats)
      return openFile(path, handle, { checksum, size: Number(stats.size) })
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  #checksumOf(path: string, handle: FileHandle, stats: BigIntStats): Promise<Checksum> {
    const look = `${stats.dev} ${stats.ino} ${stats.size} ${stats.mtimeNs}`
    const known = this.#known.get(path)
    if (known?.look === look) return known.checksum
    const checksum = hashOf(path, handle)
    checksum.catch(() => this.#forget(path, look))
    this.#known.set(path, { look, checksum })
    if (this.#known.size > KNOWN_MAX) this.#known.delete(this.#known.keys().next().value ?? path)
    return checksum
  }

  #forget(path: string, look: string): void {
    if (this.#known.get(path)?.look === look) this.#known.delete(path)
  }
}

const PIECE_BYTES = 65_536

async function hashOf(path: string, handle: FileHandle): Promise<Checksum> {
  const hash = createHash('sha256')
  const piece = Buffer.allocUnsafeSlow(PIECE_BYTES)
  for (let at = 0; ; ) {
    const count = await readAt(path, handle, piece, at)
    if (count === 0) return hash.digest('hex') as Checksum
    hash.update(piece.subarray(0, count))
    at += count
  }
}

function openFile(
  path: string,
  handle: FileHandle,
  { checksum, size }: { readonly checksum: Checksum; readonly size: number },
): OpenFile {
  return {
    path,
    checksum,
    size,
    read: async (buffer, at) => {
      for (let done = 0; done < buffer.length; ) {
        const count = await readAt(path, handle, buffer.subarray(done), at + done)
        if (count === 0) throw new FileDamaged(path, 'was cut while it was served')
        done += count
      }
    },
    [Symbol.asyncDispose]: () => handle.close(),
  }
}

async function readAt(
  path: string,
  handle: FileHandle,
  buffer: Buffer,
  at: number,
): Promise<number> {
  try {
    return (await handle.read(buffer, 0, buffer.length, at)).bytesRead
  } catch (error) {
    throw new FileDamaged(path, `cannot be read (${(error as Error).message})`, error)
  }
}

/** A link could lead to anything that we may read, so none is followed; a pipe must not hold us up. */
async function openUnlinked(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    switch ((error as NodeJS.ErrnoException).code) {
      case 'ENOENT':
      case 'ENOTDIR':
        return undefined
      case 'ELOOP':
        throw new FileDamaged(path, 'is a symbolic link', error)
      default:
        throw error
    }
  }
}
