import { MirrorError, quoted } from '../error.ts'

/**
 * The one form of tar that a volume has: POSIX ustar (IEEE 1003.1), regular files only, nothing but
 * path and size in a header. A reader builds the header once more and compares the bytes, because
 * tar programs disagree on what odd headers mean.
 */
export const BLOCK_BYTES = 512

/** The longest path a header can hold here; see `member.ts` for what may stand in it. */
const PATH_BYTES_MAX = 172

const SIZE_MAX = 0o77777777777
const NAME_BYTES = 100
const PREFIX_BYTES = 155
const CHECKSUM_AT = 148
const TYPE_AT = 156

/** Of these bytes, what a block that should be a header is. */
export type HeaderLook =
  | { readonly kind: 'member'; readonly path: string; readonly size: number }
  | { readonly kind: 'end' }
  /** No writer made this: bytes were lost. */
  | { readonly kind: 'damaged' }

/** The data of a member and its padding, in bytes. */
export function paddedSize(size: number): number {
  return Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES
}

/**
 * The 512 bytes of a header: a pure function of path and size.
 * @throws {MirrorError} refused where the path or the size does not fit
 */
export function header(path: string, size: number): Buffer {
  const [prefix, name] = split(path)
  if (!Number.isSafeInteger(size) || size < 1 || size > SIZE_MAX) {
    throw new MirrorError('refused', `${quoted(path)} has ${size} bytes, which no volume holds`)
  }
  const block = Buffer.alloc(BLOCK_BYTES)
  block.write(name, 0, 'latin1')
  block.write('0000644', 100, 'latin1')
  block.write('0000000', 108, 'latin1')
  block.write('0000000', 116, 'latin1')
  block.write(octal(size, 11), 124, 'latin1')
  block.write(octal(0, 11), 136, 'latin1')
  block.write('0', TYPE_AT, 'latin1')
  block.write('ustar\u000000', 257, 'latin1')
  block.write('0000000', 329, 'latin1')
  block.write('0000000', 337, 'latin1')
  block.write(prefix, 345, 'latin1')
  block.write(`${octal(sum(block), 6)}\u0000 `, CHECKSUM_AT, 'latin1')
  return block
}

/**
 * What a block is. One that somebody wrote, as its right checksum shows, and that is not in our form
 * is refused; one without a right checksum is damage.
 * @throws {MirrorError} refused
 */
export function readHeader(block: Uint8Array, where: string): HeaderLook {
  const bytes = Buffer.from(block.buffer, block.byteOffset, block.byteLength)
  if (bytes.every(byte => byte === 0)) return { kind: 'end' }
  const path = [text(bytes, 345, PREFIX_BYTES), text(bytes, 0, NAME_BYTES)]
    .filter(Boolean)
    .join('/')
  const size = Number.parseInt(text(bytes, 124, 12), 8)
  if (isCanonical(bytes, path, size)) return { kind: 'member', path, size }
  if (!hasRightChecksum(bytes)) return { kind: 'damaged' }
  throw new MirrorError('refused', `${where}: ${oddity(bytes)}`)
}

/** Up to 100 bytes are a name; a longer path is divided at its last slash. */
function split(path: string): readonly [prefix: string, name: string] {
  const slash = path.lastIndexOf('/')
  const [prefix, name] =
    path.length <= NAME_BYTES ? ['', path] : [path.slice(0, slash), path.slice(slash + 1)]
  const isFit =
    /^[\x21-\x7e]+$/.test(path) &&
    path.length <= PATH_BYTES_MAX &&
    name.length > 0 &&
    name.length <= NAME_BYTES &&
    prefix.length <= PREFIX_BYTES
  if (!isFit) throw new MirrorError('refused', `${quoted(path)} is no path of a volume`)
  return [prefix, name]
}

function isCanonical(block: Buffer, path: string, size: number): boolean {
  try {
    return header(path, size).equals(block)
  } catch (error) {
    if (error instanceof MirrorError) return false
    throw error
  }
}

/** Six octal digits, then NUL and space in either order, as other writers have them. */
function hasRightChecksum(block: Buffer): boolean {
  const field = block.toString('latin1', CHECKSUM_AT, CHECKSUM_AT + 8)
  const digits = /^([0-7]{6})(?:\0 | \0)$/.exec(field)?.[1]
  return digits !== undefined && Number.parseInt(digits, 8) === sum(block)
}

const TYPES: Readonly<Record<string, string>> = {
  '\0': 'old file',
  '1': 'hard link',
  '2': 'symbolic link',
  '3': 'character device',
  '4': 'block device',
  '5': 'folder',
  '6': 'FIFO',
  '7': 'contiguous file',
  D: 'GNU folder',
  K: 'GNU long link',
  L: 'GNU long name',
  M: 'GNU multi-volume',
  S: 'GNU sparse file',
  V: 'GNU volume',
  g: 'pax global header',
  x: 'pax header',
}

function oddity(block: Buffer): string {
  const flag = block.toString('latin1', TYPE_AT, TYPE_AT + 1)
  if (flag !== '0') return `type ${quoted(TYPES[flag] ?? flag)} is not allowed`
  return `the header of ${quoted(text(block, 0, NAME_BYTES))} is not in the form of a volume`
}

function text(block: Buffer, at: number, length: number): string {
  const field = block.toString('latin1', at, at + length)
  const end = field.indexOf('\0')
  return end === -1 ? field : field.slice(0, end)
}

/** Of all bytes, those of the checksum itself taken as spaces. */
function sum(block: Buffer): number {
  let total = 8 * 0x20
  for (let at = 0; at < BLOCK_BYTES; at += 1) {
    if (at < CHECKSUM_AT || at >= CHECKSUM_AT + 8) total += block[at] ?? 0
  }
  return total
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0')
}
