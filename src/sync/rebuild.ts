import { existsSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { sha256 } from '../registry/checksum.ts'
import { type IndexPath, parseIndexPath } from '../registry/sparse-path.ts'
import { parseByHash } from '../store/file-names.ts'
import { INDEX, indexFile, indexFileByHash, tileFile } from '../store/layout.ts'
import type { Held, Snapshot } from '../store/snapshot.ts'
import { buildTree } from '../tree/build.ts'
import type { TreeEntry } from '../tree/entry.ts'
import type { Run } from './run.ts'
import { entriesIn, readRegular } from './verify-files.ts'

const INDEX_FILE_BYTES_MAX = 64 * 1024 * 1024

/**
 * Lost tiles that nobody else has are computed again from the index files: the tree is a function
 * of them, and its root hash proves the result. False where some index file is not right either.
 */
export async function rebuildTiles(run: Run, snapshot: Snapshot | undefined): Promise<boolean> {
  if (snapshot === undefined) return false
  // of a held crate a signed upstream's tree names the new file, a tree of our own the old one
  for (const named of ['want', 'have'] as const) {
    const tiles = tilesMissing(run, snapshot, named)
    if (tiles === undefined) continue
    for (const [file, bytes] of tiles) await run.landing.addBytes(file, bytes)
    await run.landing.settle()
    return true
  }
  return false
}

function tilesMissing(
  run: Run,
  snapshot: Snapshot,
  named: 'want' | 'have',
): ReadonlyMap<string, Uint8Array> | undefined {
  const { root } = run.writer.mirror
  const tiles = new Map<string, Uint8Array>()
  const tree = buildTree(entriesHere(root, snapshot, named), ({ position, hash }, bytes) => {
    const file = tileFile(position, hash)
    if (!existsSync(run.writer.at(file))) tiles.set(file, bytes)
  })
  return tree.hash === snapshot.tree ? tiles : undefined
}

function* entriesHere(
  root: string,
  { held, pruned }: Snapshot,
  named: 'want' | 'have',
): Generator<TreeEntry> {
  const files = pruned === undefined ? byPath(root) : wholeFiles(root)
  for (const [path, file] of files) {
    const entry = held[path] === undefined ? entryOf(root, path, file) : undefined
    if (entry !== undefined) yield entry
  }
  for (const [path, record] of Object.entries(held) as [IndexPath, Held][]) {
    const checksum = record[named]
    if (checksum === null) continue
    const entry = entryOf(root, path, indexFileByHash(path, checksum))
    if (entry !== undefined) yield entry
  }
}

function entryOf(root: string, path: IndexPath, file: string): TreeEntry | undefined {
  const bytes = readRegular(root, file, INDEX_FILE_BYTES_MAX)
  return bytes && { path, length: bytes.length, sha256: sha256(bytes) }
}

function* byPath(root: string): Generator<readonly [IndexPath, string]> {
  for (const file of filesIn(root, INDEX)) {
    const path = parseIndexPath(file.slice(INDEX.length + 1))
    if (path !== undefined) yield [path, file]
  }
}

/**
 * Where the paths show a pruned index, a crate's whole file is the newest by its hash that is not
 * the pruned one. A guess, like all here: the root hash tells.
 */
function wholeFiles(root: string): ReadonlyMap<IndexPath, string> {
  const newest = new Map<IndexPath, { readonly file: string; readonly rank: number }>()
  for (const file of filesIn(root, INDEX)) {
    const below = file.slice(INDEX.length + 1)
    const byHash = parseByHash(dirname(below), basename(below))
    if (byHash === undefined) continue
    const { path, checksum } = byHash
    const isPruned = entryOf(root, path, indexFile(path))?.sha256 === checksum
    const rank = isPruned ? 0 : statSync(join(root, file)).mtimeMs
    if (rank >= (newest.get(path)?.rank ?? 0)) newest.set(path, { file, rank })
  }
  return new Map([...newest].map(([path, { file }]) => [path, file]))
}

function* filesIn(root: string, folder: string): Generator<string> {
  for (const entry of entriesIn(root, folder)) {
    const file = `${folder}/${entry.name}`
    if (entry.isDirectory()) yield* filesIn(root, file)
    else if (entry.isFile()) yield file
  }
}
