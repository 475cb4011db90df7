import { constants } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { type Checksum, sha256 } from '../registry/checksum.ts'
import { hashFile } from '../store/partial.ts'

/** The file under a name is not the one that its hash says. */
export class FileDamaged extends Error {
  constructor(file: string, checksum: Checksum) {
    super(`${file} does not match sha256 ${checksum}; run verify --repair`)
    this.name = new.target.name
  }
}

/** An open regular file whose bytes were found right. */
export interface OpenFile extends AsyncDisposable {
  readonly handle: FileHandle
  readonly size: number
}

const REMEMBERED_MAX = 100_000

/**
 * Files named by hash, each hashed the first time this process serves it: that costs one more read
 * of the file, once, and no damaged byte leaves. Known again by inode, size and time of change.
 */
export class VerifiedFiles {
  /** File → what it looked like when it was found right; the oldest are forgotten first. */
  readonly #known = new Map<string, string>()

  /** Undefined where there is none. @throws {FileDamaged} */
  async open(file: string, checksum: Checksum): Promise<OpenFile | undefined> {
    const handle = await openRegular(file)
    if (handle === undefined) return undefined
    try {
      const stats = await handle.stat({ bigint: true })
      if (!stats.isFile()) throw new FileDamaged(file, checksum)
      const look = `${stats.ino} ${stats.size} ${stats.ctimeNs}`
      if (this.#known.get(file) !== look) {
        if ((await hashOf(file)) !== checksum) throw new FileDamaged(file, checksum)
        this.#remember(file, look)
      }
      return { handle, size: Number(stats.size), [Symbol.asyncDispose]: () => handle.close() }
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  #remember(file: string, look: string): void {
    this.#known.set(file, look)
    if (this.#known.size <= REMEMBERED_MAX) return
    for (const oldest of this.#known.keys()) {
      this.#known.delete(oldest)
      return
    }
  }
}

/** Metadata has no hash in its name: it is verified by whoever follows it. */
export async function readWhole(
  file: string,
): Promise<{ readonly bytes: Uint8Array; readonly checksum: Checksum } | undefined> {
  const handle = await openRegular(file)
  if (handle === undefined) return undefined
  try {
    const bytes = await handle.readFile()
    return { bytes, checksum: sha256(bytes) }
  } finally {
    await handle.close()
  }
}

async function hashOf(file: string): Promise<string | undefined> {
  return (await hashFile(file))?.hash.digest('hex')
}

/** A link could lead to anything that we may read, so none is followed. */
async function openRegular(file: string): Promise<FileHandle | undefined> {
  try {
    return await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw error
  }
}
