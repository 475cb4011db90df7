import { createHash } from 'node:crypto'
import {
  closeSync,
  constants,
  type Dirent,
  fstatSync,
  lstatSync,
  openSync,
  readSync,
} from 'node:fs'
import { opendir } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { type Checksum, sha256 } from '../registry/checksum.ts'
import { isCrateFile } from '../registry/crate-file.ts'
import { LIMITS } from './limits.ts'

/**
 * The crates in a folder that another tool filled, whichever way it lays them out. Nothing in it is
 * followed or changed: links are left out, and so is what is no regular file. Who can write there
 * while it is read can still put a link in the place of a folder already looked at; then other
 * files are read, and believed as little.
 */
export async function* crateFiles(
  folder: string,
  { signal }: { readonly signal: AbortSignal },
): AsyncGenerator<Found> {
  yield* walk(folder, 0, signal)
}

/** What a walk comes upon: something that is named like a crate, or what it cannot or may not read. */
export type Found =
  | { readonly kind: 'crate'; readonly path: string }
  | { readonly kind: 'left-out'; readonly path: string; readonly why: LeftOut }

/** `isFailure` tells what should have been read from what is no crate by rule. */
export interface LeftOut {
  readonly isFailure: boolean
  readonly reason: string
}

/** The deepest layout in use is six folders below the one that an operator would name. */
const DEPTH_MAX = 12

async function* walk(folder: string, depth: number, signal: AbortSignal): AsyncGenerator<Found> {
  signal.throwIfAborted()
  if (depth > DEPTH_MAX) {
    const reason = `is more than ${DEPTH_MAX} folders deep`
    yield { kind: 'left-out', path: folder, why: { isFailure: true, reason } }
    return
  }
  try {
    // as a stream: some tools keep all the crates there are in one folder
    for await (const entry of await opendir(folder, { bufferSize: 256 })) {
      const path = join(folder, entry.name)
      if (entry.isDirectory()) yield* walk(path, depth + 1, signal)
      else if (entry.isSymbolicLink() || isCrateFile(path)) yield named(path, entry)
    }
  } catch (error) {
    if (signal.aborted) throw error
    yield { kind: 'left-out', path: folder, why: failure(error) }
  }
}

function named(path: string, entry: Dirent): Found {
  if (entry.isFile()) return { kind: 'crate', path }
  const reason = entry.isSymbolicLink() ? 'is a link and not followed' : 'is not a regular file'
  return { kind: 'left-out', path, why: { isFailure: false, reason } }
}

/** What a crate's file holds: the bytes too where they are few enough to have been read at once. */
export interface CrateBytes {
  readonly checksum: Checksum
  readonly length: number
  readonly bytes?: Uint8Array
}

/** Read once, from byte 0 to the size it had when it was opened. */
export async function readCrateFile(path: string): Promise<CrateBytes | LeftOut> {
  try {
    if (!lstatSync(path).isFile()) return { isFailure: true, reason: 'is no regular file any more' }
    // looked at before it is opened, since opening a device or a pipe does something already
    const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    try {
      const { size } = fstatSync(fd)
      if (size > 0 && size <= LIMITS.artifactBytes) return await contentsOf(fd, size)
      return { isFailure: false, reason: `has ${size} bytes and is no crate` }
    } finally {
      closeSync(fd)
    }
  } catch (error) {
    return failure(error)
  }
}

/** Up to here a file is read at once, and written from memory: two opens fewer than a copy. */
const WHOLE_BYTES = 256 * 1024
const PIECE_BYTES = 1024 * 1024

async function contentsOf(fd: number, size: number): Promise<CrateBytes> {
  if (size <= WHOLE_BYTES) {
    const buffer = Buffer.allocUnsafe(size)
    const bytes = buffer.subarray(0, readSync(fd, buffer, 0, size, 0))
    return { checksum: sha256(bytes), length: bytes.length, bytes }
  }
  const hash = createHash('sha256')
  const buffer = Buffer.allocUnsafeSlow(PIECE_BYTES)
  for (let length = 0; ; await setImmediate()) {
    const count = readSync(fd, buffer, 0, Math.min(PIECE_BYTES, size - length), length)
    hash.update(buffer.subarray(0, count))
    length += count
    if (count === 0 || length === size) return { checksum: hash.digest('hex') as Checksum, length }
  }
}

function failure(error: unknown): LeftOut {
  const { code, message } = error as NodeJS.ErrnoException
  return { isFailure: true, reason: `cannot be read (${code ?? message})` }
}
