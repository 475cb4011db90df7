import { type MirrorError, quoted } from '../error.ts'
import type { Checksum } from '../registry/checksum.ts'
import { type IndexPath, parseIndexPath } from '../registry/sparse-path.ts'
import type { TreeEntry } from './entry.ts'

/** Makes the error of whichever text is being read: of a tile, or of a delta. */
export type Refuse = (fault: string) => MirrorError

const ENTRY = /^([0-9a-f]{64}) (0|[1-9][0-9]{0,14}) ([!-~]{1,255})$/

/** All lines, each of which ends with LF. Bytes above 0x7e stay apart and fail every pattern. */
export function readLines(bytes: Uint8Array, refuse: Refuse): string[] {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1')
  if (!text.endsWith('\n')) throw refuse('the last line does not end with a newline')
  return text.slice(0, -1).split('\n')
}

export function entryLine({ sha256, length, path }: TreeEntry): string {
  return `${sha256} ${length} ${path}\n`
}

/**
 * The format allows lengths up to 10^15 − 1. That a mirror takes index files of 1 byte to 64 MiB
 * only is not a rule of the tree: whoever fetches them refuses the others.
 */
export function readEntry(line: string, refuse: Refuse): TreeEntry {
  const [, sha256, length, path] = ENTRY.exec(line) ?? []
  if (path === undefined) throw refuse(`line ${quoted(line)} is not "SHA256 LENGTH PATH"`)
  return { path: readPath(path, refuse), length: Number(length), sha256: sha256 as Checksum }
}

/**
 * Stricter than the format, which forbids only what could leave the folder: a path must be the one
 * that cargo computes from a crate's name, or nobody would ever ask for it.
 * @public
 */
export function readPath(text: string, refuse: Refuse): IndexPath {
  const path = parseIndexPath(text)
  if (path === undefined) throw refuse(`path ${quoted(text)} is that of no crate`)
  return path
}

/** Strictly: the same path twice is out of order too. */
export function checkAscending(
  items: readonly { readonly path: IndexPath }[],
  refuse: Refuse,
): void {
  for (const [index, { path }] of items.entries()) {
    const next = items[index + 1]?.path
    if (next !== undefined && next <= path) throw refuse(`path ${next} is out of order`)
  }
}
