import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { MirrorError, quoted } from '../error.ts'
import { type Checksum, isChecksum } from '../registry/checksum.ts'
import { type IndexPath, parseIndexPath } from '../registry/sparse-path.ts'
import { TUF } from '../store/layout.ts'
import { readPublished, rootRef, type Snapshot } from '../store/snapshot.ts'
import { readTile } from '../store/tiles.ts'
import { buildTree } from '../tree/build.ts'
import { ROOT, type TreeEntry } from '../tree/entry.ts'
import type { Cycle, EachOf } from '../trust/cycle.ts'
import type { Metadata } from '../trust/metadata.ts'
import type { Found } from '../trust/search.ts'
import { inParallel } from './in-parallel.ts'
import { NewTiles } from './new-tiles.ts'
import type { Run } from './run.ts'

/**
 * The tree of a classic repository, in which each index file is a target under its own path: all its
 * roles are read and verified, and the tree is built of what they list. From there on it is as if the
 * tree had been signed. Other targets are nobody's business here.
 */
export async function classicTree(
  run: Run,
  cycle: Cycle,
): Promise<{ readonly tree: Checksum; readonly treeLength: number }> {
  const { root } = run.writer.mirror
  const published = readPublished(root)
  // what lists the versions of all roles is the file that is shown: then so is what they list
  if (published !== undefined && isShown(root, published, cycle.trusted.snapshot)) {
    const length = readTile(root, rootRef(published.tree))?.length ?? 0
    return { tree: published.tree, treeLength: length }
  }
  const entries = entriesOf(await cycle.enumerate(isIndexPath, eachOf(run)), cycle)
  const tiles = new NewTiles(run)
  let treeLength = 0
  const ref = buildTree(entries, (ref, bytes) => {
    if (ref.position === ROOT) treeLength = bytes.length
    tiles.put(ref, bytes)
  })
  await tiles.land(ref)
  return { tree: ref.hash, treeLength }
}

/** By its bytes: after a rotation of keys a version may come again with other content. */
function isShown(root: string, { metadata }: Snapshot, { version, bytes }: Metadata): boolean {
  if (metadata?.snapshot !== version) return false
  const file = join(root, TUF, `${version}.snapshot.json`)
  return existsSync(file) && Buffer.compare(readFileSync(file), bytes) === 0
}

export const isIndexPath = (path: string): boolean => parseIndexPath(path) !== undefined

/** @throws {MirrorError} refused where a target has no sha256, or there is none that is an index file */
export function entriesOf(
  found: ReadonlyMap<string, Found>,
  { trusted }: { readonly trusted: Pick<Cycle['trusted'], 'targets'> },
): readonly TreeEntry[] {
  const { file } = trusted.targets
  const entries = [...found].map(([path, { target }]) => {
    const sha256 = target.hashes.sha256
    if (isChecksum(sha256)) return { path: path as IndexPath, length: target.length, sha256 }
    throw new MirrorError('refused', `${file}: target ${quoted(path)} has no sha256`)
  })
  if (entries.length > 0) return entries
  throw new MirrorError(
    'refused',
    `${file}: no target "index-tree" and none that is an index file, so no index is signed`,
  )
}

/** As many roles at once as there are connections. */
function eachOf({ settings, signal }: Run): EachOf {
  return async (items, work) => {
    type Result = Awaited<ReturnType<typeof work>>
    const results = new Map<number, Result>()
    const one = async ([n, item]: [number, (typeof items)[number]]): Promise<[number, Result]> => [
      n,
      await work(item),
    ]
    for await (const [n, result] of inParallel(
      items.entries(),
      settings.connections,
      one,
      signal,
    )) {
      results.set(n, result)
    }
    return items.map((_, n) => results.get(n) as Result)
  }
}
