import { MirrorError, quoted } from '../error.ts'
import { type Checksum, sha256 } from '../registry/checksum.ts'
import {
  type CountedRef,
  keyOf,
  type Position,
  ROOT,
  type TileRef,
  type TreeEntry,
} from './entry.ts'
import { checkAscending, entryLine, type Refuse, readEntry, readLines } from './lines.ts'

/** All entries below a position that has 64 or fewer, ascending by path. */
export interface Leaf extends CountedRef {
  readonly kind: 'leaf'
  readonly entries: readonly TreeEntry[]
}

/** The tiles one digit further down, where there are 65 entries or more. */
export interface Node extends CountedRef {
  readonly kind: 'node'
  readonly children: readonly CountedRef[]
}

/** A tile as verified: at once the ref it was asked for by, its count now known. */
export type Tile = Leaf | Node

export const LEAF_ENTRIES_MAX = 64
const NODE_DIGITS_MAX = 63
const TILE_BYTES_MAX = 65_536

const HEADER = /^index-tree 1 (node|leaf) (root|[0-9a-f]{1,64}) (0|[1-9][0-9]{0,11})$/
const CHILD = /^([0-9a-f]{64}) ([1-9][0-9]{0,11}) ([0-9a-f])$/

/** The bytes are not the tile that was asked for, or no tile at all. */
export class TileRefused extends MirrorError {
  constructor(position: Position, fault: string) {
    super('refused', `tile at ${nameOf(position)}: ${fault}`)
  }
}

/**
 * Verifies a tile from wherever it came, our own disk included: size, then hash, then form. One set
 * of entries has one spelling, so a second spelling of the same must not pass either.
 */
export function parseTile(bytes: Uint8Array, ref: TileRef): Tile {
  const refuse: Refuse = fault => new TileRefused(ref.position, fault)
  if (bytes.length > TILE_BYTES_MAX) {
    throw refuse(`${bytes.length} bytes, at most ${TILE_BYTES_MAX} are allowed`)
  }
  const hash = sha256(bytes)
  if (hash !== ref.hash) throw refuse(`sha256 ${hash}, expected ${ref.hash}`)
  const [header = '', ...lines] = readLines(bytes, refuse)
  const { kind, count } = readHeader(header, ref, refuse)
  const here: CountedRef = { position: ref.position, hash, count }
  return kind === 'leaf'
    ? { ...here, kind, entries: readLeaf(lines, here, refuse) }
    : { ...here, kind, children: readNode(lines, here, refuse) }
}

/** The one spelling of a leaf. Entries are given ascending by path. */
export function encodeLeaf(position: Position, entries: readonly TreeEntry[]): Uint8Array {
  return encode('leaf', position, entries.length, entries.map(entryLine))
}

/** The one spelling of a node. Children are given ascending by digit. */
export function encodeNode(position: Position, children: readonly CountedRef[]): Uint8Array {
  const lines = children.map(child => `${child.hash} ${child.count} ${child.position.at(-1)}\n`)
  return encode('node', position, countOf(children), lines)
}

/** How many entries are below these tiles. */
export function countOf(tiles: readonly CountedRef[]): number {
  return tiles.reduce((sum, { count }) => sum + count, 0)
}

/** The tile's ref without its contents, for lists that outlive them. */
export function refOf({ position, hash, count }: CountedRef): CountedRef {
  return { position, hash, count }
}

function encode(
  kind: Tile['kind'],
  position: Position,
  count: number,
  lines: readonly string[],
): Uint8Array {
  return Buffer.from(`index-tree 1 ${kind} ${nameOf(position)} ${count}\n${lines.join('')}`)
}

function nameOf(position: Position): string {
  return position === ROOT ? 'root' : position
}

/** Kind and position are in the hashed bytes, so no tile can pass for another or stand elsewhere. */
function readHeader(
  header: string,
  ref: TileRef,
  refuse: Refuse,
): { readonly kind: Tile['kind']; readonly count: number } {
  const [, kind, position, text] = HEADER.exec(header) ?? []
  if (kind === undefined) throw refuse(`header ${quoted(header)} is not of index tree version 1`)
  if (position !== nameOf(ref.position)) throw refuse(`its header says it belongs at ${position}`)
  const count = Number(text)
  // only the signed statement, which names the root, gives no count
  const isFree = ref.count === undefined && ref.position === ROOT
  if (!isFree && count !== ref.count) throw refuse(`count ${count}, expected ${ref.count}`)
  return { kind: kind as Tile['kind'], count }
}

function readLeaf(lines: readonly string[], leaf: CountedRef, refuse: Refuse): TreeEntry[] {
  const { position, count } = leaf
  if (lines.length !== count) throw refuse(`${lines.length} entries, but its header says ${count}`)
  if (count > LEAF_ENTRIES_MAX)
    throw refuse(`a leaf of ${count} entries, at most ${LEAF_ENTRIES_MAX} are allowed`)
  if (count === 0 && position !== ROOT) throw refuse('an empty leaf below the root')
  const entries = lines.map(line => readEntry(line, refuse))
  checkAscending(entries, refuse)
  const stranger = entries.find(({ path }) => !keyOf(path).startsWith(position))
  if (stranger !== undefined) throw refuse(`path ${stranger.path} belongs elsewhere`)
  return entries
}

function readNode(lines: readonly string[], node: CountedRef, refuse: Refuse): CountedRef[] {
  const { position, count } = node
  if (count <= LEAF_ENTRIES_MAX)
    throw refuse(`a node of ${count} entries, at least ${LEAF_ENTRIES_MAX + 1} are needed`)
  if (position.length > NODE_DIGITS_MAX) throw refuse('a node where keys have no digit left')
  const children = lines.map(line => readChild(line, position, refuse))
  for (const [index, child] of children.entries()) {
    const next = children[index + 1]?.position
    if (next !== undefined && next <= child.position) {
      throw refuse(`digit ${next.at(-1)} is out of order`)
    }
  }
  const sum = countOf(children)
  if (sum !== count) throw refuse(`${sum} entries below its children, but its header says ${count}`)
  return children
}

function readChild(line: string, position: Position, refuse: Refuse): CountedRef {
  const [, hash, count, digit] = CHILD.exec(line) ?? []
  if (digit === undefined) throw refuse(`line ${quoted(line)} is not "SHA256 COUNT DIGIT"`)
  const child = `${position}${digit}` as Position
  return { position: child, hash: hash as Checksum, count: Number(count) }
}
