import { type Checksum, sha256 } from '../../src/registry/checksum.ts'
import { parseCrateName } from '../../src/registry/crate-name.ts'
import { type IndexPath, indexPath } from '../../src/registry/sparse-path.ts'
import { buildTree } from '../../src/tree/build.ts'
import type { LoadTiles } from '../../src/tree/diff.ts'
import { keyOf, type TileRef, type TreeEntry } from '../../src/tree/entry.ts'
import { parseTile } from '../../src/tree/tile.ts'

/** Tiles in memory by their hash, as a folder would hold them, and what was asked of them. */
export class Tiles {
  readonly bytes = new Map<Checksum, Uint8Array>()
  /** The refs of each call to `load`. */
  readonly batches: (readonly TileRef[])[] = []

  readonly put = (ref: TileRef, bytes: Uint8Array): void => {
    this.bytes.set(ref.hash, bytes)
  }

  readonly load: LoadTiles = async refs => {
    this.batches.push(refs)
    return refs.map(ref => parseTile(this.at(ref), ref))
  }

  get loads(): readonly Checksum[] {
    return this.batches.flat().map(({ hash }) => hash)
  }

  at(ref: TileRef): Uint8Array {
    const bytes = this.bytes.get(ref.hash)
    if (bytes === undefined) throw new Error(`no tile ${ref.hash} at ${ref.position || 'root'}`)
    return bytes
  }
}

/** A tree with all of its tiles. */
export interface Tree {
  readonly root: TileRef
  readonly tiles: Tiles
}

export function tree(entries: Iterable<TreeEntry>): Tree {
  const tiles = new Tiles()
  return { root: buildTree(entries, tiles.put), tiles }
}

export function pathOf(text: string): IndexPath {
  const name = parseCrateName(text)
  if (name === undefined) throw new Error(`${text} is no crate name`)
  return indexPath(name)
}

export function entryOf(name: string, content: string): TreeEntry {
  return { path: pathOf(name), length: Buffer.byteLength(content), sha256: sha256(content) }
}

/** The crates of the test vectors: `crate-00000`, `crate-00001` …, 23 bytes each. */
export function crates(count: number): TreeEntry[] {
  return Array.from({ length: count }, (_, index) => {
    const name = `crate-${String(index).padStart(5, '0')}`
    return entryOf(name, `{"name":"${name}"}\n`)
  })
}

/** The crates `PREFIXn` whose keys begin with `digits`, so that a tree of them is deep there. */
export function cratesBelow(digits: string, count: number): TreeEntry[] {
  const found: TreeEntry[] = []
  for (let number = 0; found.length < count; number += 1) {
    const name = `below-${number}`
    if (keyOf(pathOf(name)).startsWith(digits)) found.push(entryOf(name, name))
  }
  return found
}

/** The same crate with another index file. */
export function edited(entry: TreeEntry, content: string = 'edited'): TreeEntry {
  const { length, sha256 } = entryOf('any', `${entry.path} ${content}`)
  return { path: entry.path, length, sha256 }
}
