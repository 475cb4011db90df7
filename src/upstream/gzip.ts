import { gunzipSync } from 'node:zlib'
import type { MirrorError } from '../error.ts'
import { type Asked, codeOf, tooLong, wrongLength } from './asked.ts'
import { TransferCut, WrongForm } from './faults.ts'
import { type Place, shown } from './url-policy.ts'

/**
 * How much is taken from the wire of a gzip body that may have `bytes` when decoded: what cannot be
 * compressed is stored at five bytes for each 16 KiB, and the rest is room for the header's name.
 */
export function gzipBytesMax(bytes: number): number {
  return bytes + (bytes >> 10) + 1024
}

/**
 * What a gzip body holds, or why it is of no use. It is decoded once it is here, since it is small
 * and was bounded on the wire: in one call that stops at the bound, whatever a bomb would become.
 * A cut is told by the body itself, however consistent its frame: each member ends in its checksum
 * and length, and nothing follows the last one (RFC 1952 2.2).
 */
export function gunzip(raw: Uint8Array, asked: Asked, place: Place): Uint8Array | MirrorError {
  const maxOutputLength = Math.max(1, asked.length ?? asked.bytesMax)
  try {
    const { buffer, engine } = gunzipSync(raw, {
      info: true,
      maxOutputLength,
    }) as unknown as Decoded
    return fault(buffer, raw.length - engine.bytesWritten, asked, place) ?? buffer
  } catch (error) {
    return named(error as NodeJS.ErrnoException, raw, asked, place)
  }
}

/** What `info` asks for, which the types of Node leave out. */
interface Decoded {
  readonly buffer: Uint8Array
  /** `bytesWritten` is what was consumed. */
  readonly engine: { readonly bytesWritten: number }
}

function fault(
  { length: found }: Uint8Array,
  bytesAfter: number,
  asked: Asked,
  place: Place,
): MirrorError | undefined {
  if (bytesAfter > 0) {
    return new TransferCut(`${shown(place)}: ${bytesAfter} bytes after the end of its gzip body`)
  }
  const { length: expected } = asked
  if (expected === undefined || found === expected) return undefined
  return wrongLength(asked, place, { expected, found })
}

function named(
  error: NodeJS.ErrnoException,
  raw: Uint8Array,
  asked: Asked,
  place: Place,
): MirrorError {
  if (error.code === 'ERR_BUFFER_TOO_LARGE') return tooLong(asked, place)
  if (error.code === 'Z_BUF_ERROR') {
    return new TransferCut(`${shown(place)}: cut after ${raw.length} bytes of gzip`, error)
  }
  if (raw[0] !== 0x1f || raw[1] !== 0x8b) {
    return new WrongForm(codeOf(asked), `${shown(place)}: says that it is gzip, and is not`)
  }
  return new TransferCut(`${shown(place)}: damaged gzip (${error.message})`, error)
}
