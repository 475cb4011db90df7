import { MirrorError } from '../error.ts'
import { finishLanding } from '../store/landing.ts'
import { indexFileByHash } from '../store/layout.ts'
import { finishNext, IndexFileDamaged, writeConfigJson } from '../store/publish.ts'
import { finishWithdrawals } from '../store/quarantine.ts'
import { readNext, readPublished, rootRef } from '../store/snapshot.ts'
import type { TreeEntry } from '../tree/entry.ts'
import { lookUp } from '../tree/prove.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { verifiedIndexFile } from './examine.ts'
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
 * public, then a snapshot that was decided on, then what the site had signed and not shown yet. Where its bytes were damaged meanwhile they are fetched by
 * hash; `next` itself is never dropped (P4, P5).
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
  const entry = await entryNamed(run, upstream, damaged)
  const { tries } = run.settings
  const bytes = await verifiedIndexFile(upstream, entry, tries, run.signal)
  await run.landing.addBytes(indexFileByHash(indexPath, checksum), bytes)
  await run.landing.settle()
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
