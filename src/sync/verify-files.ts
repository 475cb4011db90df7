import { createHash, hash } from 'node:crypto'
import {
  type BigIntStats,
  closeSync,
  constants,
  type Dirent,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readSync,
} from 'node:fs'
import { join } from 'node:path'
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'
import type { Checksum } from '../registry/checksum.ts'
import type { Prefix } from '../registry/sparse-path.ts'
import { breathe, wrapped } from '../store/durable.ts'
import { asPrefix } from '../store/file-names.ts'
import type { Traffic } from '../upstream/traffic.ts'
import type { Progress } from './run.ts'

/** What lies under a name. `odd` is what no writer of ours makes, or what the disk cannot read. */
export type Look =
  | { readonly kind: 'none' }
  | { readonly kind: 'odd'; readonly found: string }
  | { readonly kind: 'file'; readonly checksum: Checksum; readonly length: number }

const MIB = 1024 * 1024
const BREATHE_BYTES = 16 * MIB

/**
 * Reads a mirror to verify it. Synchronous calls into one buffer: of files this small the threads
 * of an asynchronous read cost more than the hash. The event loop gets a turn every 64 files, and
 * within a long one.
 */
export class Files {
  readonly root: string
  readonly #progress: Progress
  readonly #signal: AbortSignal
  readonly #pace: Traffic | undefined
  readonly #buffer = Buffer.allocUnsafeSlow(MIB)
  /** A second name of the file just hashed costs no second hash. */
  #last: { readonly inode: string; readonly look: Look } | undefined

  constructor(
    root: string,
    {
      progress,
      signal,
      pace,
    }: {
      readonly progress: Progress
      readonly signal: AbortSignal
      readonly pace?: Traffic | undefined
    },
  ) {
    this.root = root
    this.#progress = progress
    this.#signal = signal
    this.#pace = pace
  }

  async look(file: string): Promise<Look> {
    this.#signal.throwIfAborted()
    await breathe()
    await this.#held()
    const stats = this.#stats(file)
    if (stats === undefined) return { kind: 'none' }
    if (!stats.isFile()) return { kind: 'odd', found: oddity(stats) }
    const inode = `${stats.dev} ${stats.ino} ${stats.mtimeNs} ${stats.ctimeNs}`
    if (this.#last?.inode === inode) return this.#last.look
    const look = await this.#hashed(file)
    this.#last = { inode, look }
    return look
  }

  /** Whole bytes of a regular file of at most `bytesMax`; undefined: there is no such file. */
  read(file: string, bytesMax: number): Uint8Array | undefined {
    this.#signal.throwIfAborted()
    const bytes = readRegular(this.root, file, bytesMax)
    this.#took(bytes?.length ?? 0)
    return bytes
  }

  async #hashed(file: string): Promise<Look> {
    const path = join(this.root, file)
    try {
      const fd = openRegular(path)
      try {
        const first = readSync(fd, this.#buffer, 0, MIB, 0)
        if (first < MIB) return this.#file(hash('sha256', this.#filled(first), 'hex'), first)
        return await this.#hashedOn(fd)
      } finally {
        closeSync(fd)
      }
    } catch (error) {
      return unreadable(error, path)
    }
  }

  async #hashedOn(fd: number): Promise<Look> {
    const digest = createHash('sha256').update(this.#filled(MIB))
    for (let length = MIB; ; ) {
      const count = readSync(fd, this.#buffer, 0, MIB, length)
      digest.update(this.#filled(count))
      length += count
      if (count < MIB) return this.#file(digest.digest('hex'), length)
      if (length % BREATHE_BYTES === 0) await setImmediate()
      this.#signal.throwIfAborted()
    }
  }

  #file(checksum: string, length: number): Look {
    this.#took(length)
    return { kind: 'file', checksum: checksum as Checksum, length }
  }

  #took(bytes: number): void {
    this.#progress.bytes += bytes
    this.#pace?.took(bytes)
  }

  async #held(): Promise<void> {
    const signal = this.#signal
    for (let ms = 1; ms > 0; ) {
      ms = this.#pace?.heldMs(performance.now()) ?? 0
      if (ms > 0) await sleep(ms, undefined, { signal })
    }
  }

  #filled(count: number): Uint8Array {
    return this.#buffer.subarray(0, count)
  }

  #stats(file: string): BigIntStats | undefined {
    const path = join(this.root, file)
    try {
      return lstatSync(path, { bigint: true, throwIfNoEntry: false })
    } catch (error) {
      if (isNowhere(error)) return undefined
      throw wrapped(error, path)
    }
  }
}

/**
 * The entries of a folder in order of their names; none where it is not there. Read at once: a
 * folder has at most some thousands of them, and `opendir` costs many times as much.
 */
export function entriesIn(root: string, folder: string): Dirent[] {
  try {
    const entries = readdirSync(join(root, folder), { withFileTypes: true })
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1))
  } catch (error) {
    if (isNowhere(error)) return []
    throw wrapped(error, join(root, folder))
  }
}

/** The folders below `top` that prefixes make; others are none of the layout. */
export function prefixesIn(root: string, top: string): Prefix[] {
  const foldersIn = (folder: string): string[] =>
    entriesIn(root, folder).flatMap(entry => (entry.isDirectory() ? [entry.name] : []))
  const first = foldersIn(top)
  const second = first.flatMap(one => foldersIn(`${top}/${one}`).map(name => `${one}/${name}`))
  return [...first, ...second].flatMap(folder => asPrefix(folder) ?? [])
}

/** Undefined where there is no regular file of at most `bytesMax`, or the disk cannot read it. */
export function readRegular(root: string, file: string, bytesMax: number): Uint8Array | undefined {
  const path = join(root, file)
  try {
    if (!lstatSync(path).isFile()) return undefined
    const fd = openRegular(path)
    try {
      const { size } = fstatSync(fd)
      return size > bytesMax ? undefined : wholeOf(fd, size)
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    if (isNowhere(error)) return undefined
    if (unreadable(error, path).kind === 'odd') return undefined
    throw error
  }
}

function wholeOf(fd: number, size: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(size)
  let length = 0
  for (let count = -1; count !== 0 && length < size; length += count) {
    count = readSync(fd, bytes, length, size - length, length)
  }
  return bytes.subarray(0, length)
}

/** Looked at before, and not followed: opening a pipe or a device does something already. */
function openRegular(path: string): number {
  return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
}

export function oddity(of: Pick<Dirent, 'isDirectory' | 'isSymbolicLink' | 'isFile'>): string {
  if (of.isFile()) return 'a file'
  if (of.isDirectory()) return 'a folder'
  return of.isSymbolicLink() ? 'a symbolic link' : 'a special file'
}

/** What the disk lost is damage of this one file; what we may not read is no verdict on it. */
function unreadable(error: unknown, path: string): Look {
  const { code } = error as NodeJS.ErrnoException
  if (isNowhere(error)) return { kind: 'none' }
  if (code === 'EIO' || code === 'ELOOP') return { kind: 'odd', found: `unreadable (${code})` }
  throw wrapped(error, path)
}

function isNowhere(error: unknown): boolean {
  return ['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')
}
