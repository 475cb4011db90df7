import { MirrorError } from '../error.ts'
import { type Chain, keepInChain, readChain } from '../store/chain-files.ts'
import { tileFile } from '../store/layout.ts'
import type { MetadataVersions } from '../store/snapshot.ts'
import { readTile } from '../store/tiles.ts'
import type { TileRef } from '../tree/entry.ts'
import { requireKeptSigned } from '../trust/kept.ts'
import { type ChainKeys, type Lifetimes, signTree } from '../trust/sign.ts'
import { readKept } from './chain-damaged.ts'
import type { Run } from './run.ts'

/**
 * Signs a tree that is whole on this disk: into the chain that `publish` shows, or into the site's.
 * Each file is durable in `state/trust` before the next; nothing is public before `vouch` puts it
 * there.
 */
export async function signPublished(
  run: Run,
  tree: TileRef,
  keys: ChainKeys,
  {
    chain = 'upstream',
    lifetimes,
  }: { readonly chain?: Chain; readonly lifetimes?: Lifetimes | undefined } = {},
): Promise<MetadataVersions> {
  const { writer } = run
  const { root } = writer.mirror
  const kept = readChain(root, chain)
  if (kept === undefined) throw new MirrorError('no-mirror', `${root} has no pinned root`)
  const tile = readTile(root, tree)
  if (tile === undefined) {
    throw new MirrorError('damaged', `${tileFile(tree.position, tree.hash)} is missing`)
  }
  const statement = { tree: tree.hash, length: tile.length, entries: tree.count ?? 0 }
  readKept(chain, () => requireKeptSigned(kept))
  const { files, versions } = await signTree(kept, statement, keys, {
    now: run.now(),
    ...(lifetimes !== undefined && { lifetimes }),
  })
  for (const { file, bytes } of files) await keepInChain(writer, chain, file, bytes)
  return versions
}
