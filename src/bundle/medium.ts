import { existsSync, readFileSync, type Stats, statfsSync, statSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import { MirrorError } from '../error.ts'
import { wrapped } from '../store/durable.ts'

const FAT = 0x4d44

/** The folder that bags are written to: a stick, a disc's image, a folder that a link empties. */
export class Medium {
  readonly folder: string
  readonly #device: number
  readonly #inode: number

  /** @throws {MirrorError} usage where it is no folder, or lies in the mirror */
  constructor(folder: string, { mirror }: { readonly mirror: string }) {
    this.folder = resolve(folder)
    const found = statsOf(this.folder)
    if (found?.isDirectory() !== true) {
      throw new MirrorError('usage', `${this.folder} is not a folder; make it, or mount the medium`)
    }
    if (!relative(resolve(mirror), this.folder).startsWith('..')) {
      throw new MirrorError(
        'usage',
        `${this.folder} lies in the mirror ${mirror}; use another place`,
      )
    }
    this.#device = found.dev
    this.#inode = found.ino
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.folder)
    return bavail * bsize
  }

  get clusterBytes(): number {
    return statfsSync(this.folder).bsize
  }

  /** @throws {MirrorError} no-space; how many inodes there are a file system need not tell */
  requireRoom(needed: { readonly bytes: number; readonly files: number }): void {
    const { files, ffree, type } = statfsSync(this.folder)
    if (this.freeBytes < needed.bytes) {
      const free = `${this.freeBytes} bytes are free`
      throw new MirrorError(
        'no-space',
        `${this.folder}: ${free}, the bag needs ${needed.bytes}; use a larger medium, or --medium-size with several`,
      )
    }
    if (files > 0 && type !== FAT && ffree < needed.files) {
      throw new MirrorError(
        'no-space',
        `${this.folder}: ${ffree} inodes left, ${needed.files} needed`,
      )
    }
  }

  /**
   * A medium that is pulled out leaves an empty folder that takes writes in silence: looked at before
   * each file, and whether the bag there is still the one we began.
   * @throws {MirrorError} io
   */
  assertStillHere(bag: string, bundle: Uint8Array): void {
    const found = statsOf(this.folder)
    const gone = (what: string): MirrorError =>
      new MirrorError(
        'io',
        `${this.folder}: ${what}; insert the medium again and run the same command`,
      )
    if (found === undefined) throw gone('the folder is gone')
    if (found.dev !== this.#device) throw gone(`mount changed dev ${this.#device} → ${found.dev}`)
    if (found.ino !== this.#inode) throw gone('another folder has taken its place')
    const file = join(this.folder, bag, 'bundle.json')
    if (!existsSync(file) || Buffer.compare(readFileSync(file), bundle) !== 0) {
      throw gone(`the bag ${bag} is no longer there`)
    }
  }
}

function statsOf(folder: string): Stats | undefined {
  try {
    return statSync(folder, { throwIfNoEntry: false })
  } catch (error) {
    throw wrapped(error, folder)
  }
}
