import { closeSync, constants, fstatSync, lstatSync, openSync, readSync, type Stats } from 'node:fs'
import { MirrorError } from '../error.ts'
import type { VolumeBytes } from './volume-reader.ts'

/** A folder of a medium: a real one, on the device given where one is. @throws {MirrorError} refused */
export function deviceOfFolder(path: string, device?: number): number | undefined {
  const found = statsOf(path)
  if (found === undefined) return undefined
  if (!found.isDirectory()) throw new MirrorError('refused', `${path} is not a folder`)
  if (device !== undefined && found.dev !== device) {
    throw new MirrorError('refused', `${path} is on another device than its bag`)
  }
  return found.dev
}

/**
 * Opens what must be a regular file on its bag's own device: a link could lead anywhere, a pipe or a
 * device need not ever end. Undefined where there is none.
 * @throws {MirrorError} refused
 */
function openRegular(path: string, device: number): number | undefined {
  const refuse = (what: string): MirrorError => new MirrorError('refused', `${path} ${what}`)
  const found = statsOf(path)
  if (found === undefined) return undefined
  if (!found.isFile()) throw refuse('is not a regular file')
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  const opened = fstatSync(fd)
  if (opened.isFile() && opened.dev === device) return fd
  closeSync(fd)
  throw refuse('is not a regular file on the device of its bag')
}

/** Whether a file is there that could be read. @throws {MirrorError} refused where it is anything but a file */
export function isRegularFile(path: string, device: number): boolean {
  const fd = openRegular(path, device)
  if (fd !== undefined) closeSync(fd)
  return fd !== undefined
}

/** All of a small file, read once; undefined where there is none. @throws {MirrorError} refused */
export function readCapped(path: string, bytesMax: number, device: number): Buffer | undefined {
  const fd = openRegular(path, device)
  if (fd === undefined) return undefined
  try {
    const { size } = fstatSync(fd)
    if (size > bytesMax) {
      throw new MirrorError('refused', `${path} has ${size} bytes, at most ${bytesMax} are read`)
    }
    const bytes = Buffer.alloc(size + 1)
    let length = 0
    while (length <= size) {
      const count = readSync(fd, bytes, length, bytes.length - length, length)
      if (count === 0) break
      length += count
    }
    return bytes.subarray(0, Math.min(length, size))
  } catch (error) {
    throw pulled(error, path)
  } finally {
    closeSync(fd)
  }
}

const AHEAD_BYTES = 4 * 1024 * 1024

/** A volume on its medium, read ahead; what cannot be read is as lost as what is not there. */
export class MediumFile implements VolumeBytes {
  readonly path: string
  readonly size: number
  readonly #fd: number
  readonly #device: number

  private constructor(path: string, fd: number, device: number) {
    this.path = path
    this.#fd = fd
    this.#device = device
    this.size = fstatSync(fd).size
  }

  static open(path: string, device: number): MediumFile | undefined {
    const fd = openRegular(path, device)
    return fd === undefined ? undefined : new MediumFile(path, fd, device)
  }

  read(into: Buffer, at: number): number {
    let done = 0
    while (done < into.length) {
      const part = this.view(at + done, into.length - done)
      if (part.length === 0) break
      part.copy(into, done)
      done += part.length
    }
    return done
  }

  /** Up to `length` bytes from `at`, not copied: good until anything else is read from a medium. */
  view(at: number, length: number): Buffer {
    const want = Math.min(length, AHEAD_BYTES)
    const isHere = ahead.owner === this && at >= ahead.at && at + want <= ahead.at + ahead.length
    if (!isHere) this.#fill(at)
    const from = at - ahead.at
    return ahead.bytes.subarray(from, Math.min(from + want, ahead.length))
  }

  close(): void {
    if (ahead.owner === this) ahead.owner = undefined
    closeSync(this.#fd)
  }

  #fill(at: number): void {
    if (ahead.bytes.length === 0) ahead.bytes = Buffer.allocUnsafeSlow(AHEAD_BYTES)
    ahead.owner = this
    ahead.at = at
    ahead.length = 0
    try {
      while (ahead.length < AHEAD_BYTES) {
        const room = AHEAD_BYTES - ahead.length
        const count = readSync(this.#fd, ahead.bytes, ahead.length, room, at + ahead.length)
        if (count === 0) return
        ahead.length += count
      }
    } catch (error) {
      const isLost = (error as NodeJS.ErrnoException).code === 'EIO'
      if (!isLost || !isStillThere(this.path, this.#device)) throw pulled(error, this.path)
    }
  }
}

/** Media are read one file at a time, so one buffer serves all volumes. */
const ahead: { bytes: Buffer; owner: MediumFile | undefined; at: number; length: number } = {
  bytes: Buffer.alloc(0),
  owner: undefined,
  at: 0,
  length: 0,
}

function isStillThere(path: string, device: number): boolean {
  try {
    return lstatSync(path).dev === device
  } catch {
    return false
  }
}

/** A medium that is pulled is a pause and no damage. */
function pulled(error: unknown, path: string): MirrorError {
  if (error instanceof MirrorError) return error
  return new MirrorError('incomplete', `cannot read ${path}: is the medium still there?`, {
    cause: error,
  })
}

function statsOf(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false })
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOTDIR') return undefined
    throw pulled(error, path)
  }
}
