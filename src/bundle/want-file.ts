import { createHash } from 'node:crypto'
import { closeSync, openSync, readSync } from 'node:fs'
import { MirrorError } from '../error.ts'
import type { Checksum } from '../registry/checksum.ts'
import { wrapped } from '../store/durable.ts'
import { readWantList, type WantList } from './want-list.ts'

const PIECE_BYTES = 1024 * 1024
const LINE_BYTES_MAX = 320

/** A want-list from its file, and the hash of its bytes; read a piece at a time. @throws {MirrorError} refused */
export function readWantFile(path: string): { readonly list: WantList; readonly sha256: Checksum } {
  const hash = createHash('sha256')
  const list = readWantList(linesOf(path, hash), path)
  return { list, sha256: hash.digest('hex') as Checksum }
}

function* linesOf(path: string, hash: ReturnType<typeof createHash>): Generator<string> {
  const piece = Buffer.alloc(PIECE_BYTES)
  let fd: number
  try {
    fd = openSync(path, 'r')
  } catch (error) {
    throw wrapped(error, path)
  }
  try {
    let rest = ''
    for (;;) {
      const count = readSync(fd, piece)
      if (count === 0) break
      hash.update(piece.subarray(0, count))
      const lines = (rest + piece.toString('latin1', 0, count)).split('\n')
      rest = lines.pop() ?? ''
      yield* lines
      if (rest.length > LINE_BYTES_MAX) yield rest
    }
    if (rest !== '') throw new MirrorError('refused', `${path}: its last line has no newline`)
  } finally {
    closeSync(fd)
  }
}
