import { MirrorError } from '../error.ts'
import { sha256 } from '../registry/checksum.ts'
import { finishLanding } from '../store/landing.ts'
import { indexFileByHash } from '../store/layout.ts'
import { finishNext, IndexFileDamaged, writeConfigJson } from '../store/publish.ts'
import { finishWithdrawals } from '../store/quarantine.ts'
import { readSelection } from '../store/selected.ts'
import { readNext, readPublished, rootRef, underPath } from '../store/snapshot.ts'
import { localTiles } from '../store/tiles.ts'
import type { TreeEntry } from '../tree/entry.ts'
import { lookUp } from '../tree/prove.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { verifiedIndexFile } from './examine.ts'
import { prunedLines } from './pruned-index.ts'
import type { Run } from './run.ts'
import { finishSite } from './show-site.ts'
import { fetchedTiles } from './tiles.ts'

/** What mends by hash: a signed repository, a mirror, a bundle. */
export type ByHash = Pick<Upstream, 'name' | 'tile' | 'indexFile'>

/** Without an upstream what is not here cannot be had. */
export const NOBODY: ByHash = {
  name: 'no upstream',
  tile: () => Promise.reject(new MirrorError('incomplete', 'there is no upstream to ask')),
  indexFile: () => Promise.reject(new MirrorError('incomplete', 'there is no upstream to ask')),
}

/**
 * Writes this mirror's own config.json where its URL changed, and finishes what an earlier run had
 * begun, by the functions that began it: names not proved durable, what is withdrawn and still
 * public, then a snapshot that was decided on, then what the site had signed and not shown yet.
 * Where its bytes were damaged meanwhile they are fetched by hash, or pruned once more; `next`
 * itself is never dropped (P4, P5).
 */
export async function recover(run: Run, upstream: ByHash): Promise<void> {
  await finishLanding(run.writer)
  await finishWithdrawals(run.writer)
  await writeConfigJson(run.writer, run.settings.url)
  for (;;) {
    try {
      await finishNext(run.writer, fetchedTiles(run, upstream))
      break
    } catch (error) {
      if (!(error instanceof IndexFileDamaged)) throw error
      await mend(run, upstream, error)
    }
  }
  await finishSite(run.writer)
}

/** Each call mends one file that was damaged, so the loop above ends. */
async function mend(run: Run, upstream: ByHash, damaged: IndexFileDamaged): Promise<void> {
  const { indexPath, checksum } = damaged
  const bytes = (await prunedOnceMore(run, damaged)) ?? (await wholeFile(run, upstream, damaged))
  await run.landing.addBytes(indexFileByHash(indexPath, checksum), bytes)
  await run.landing.settle()
}

/** A pruned file is asked of nobody: it follows from the whole one and from what is here. */
async function prunedOnceMore(
  run: Run,
  { indexPath, checksum }: IndexFileDamaged,
): Promise<Uint8Array | undefined> {
  const { root } = run.writer.mirror
  const next = readNext(root)
  if (next?.pruned === undefined) return undefined
  const entry = await lookUp(rootRef(next.tree), indexPath, localTiles(root))
  const whole = underPath(next, indexPath, entry?.sha256)
  if (whole === undefined || whole === checksum) return undefined
  const bytes = prunedLines(run, indexPath, whole, readSelection(root, next))
  return sha256(bytes) === checksum ? bytes : undefined
}

async function wholeFile(
  run: Run,
  upstream: ByHash,
  damaged: IndexFileDamaged,
): Promise<Uint8Array> {
  const entry = await entryNamed(run, upstream, damaged)
  return await verifiedIndexFile(upstream, entry, run.settings.tries, run.signal)
}

/** The old file of a crate that was held for long is in neither tree: then the damage is told. */
async function entryNamed(
  run: Run,
  upstream: ByHash,
  damaged: IndexFileDamaged,
): Promise<TreeEntry> {
  const { root } = run.writer.mirror
  const load = fetchedTiles(run, upstream)
  for (const snapshot of [readNext(root), readPublished(root)]) {
    if (snapshot === undefined) continue
    const entry = await lookUp(rootRef(snapshot.tree), damaged.indexPath, load)
    if (entry?.sha256 === damaged.checksum) return entry
  }
  throw damaged
}
