import { indexFileByHash } from '../store/layout.ts'
import { readPublished } from '../store/snapshot.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { followChain } from './chain.ts'
import { examineAll } from './examine.ts'
import { recover } from './recover.ts'
import type { Run } from './run.ts'
import { select } from './select.ts'
import { plan } from './sync.ts'

/** What `sync` would do. The bytes are a guess: index lines carry no sizes. */
export interface DryRun {
  readonly crates: number
  readonly artifacts: number
  readonly estimatedBytes: number
  /** Versions that would no longer be named, those of removed crates included. */
  readonly removedVersions: number
  readonly removedCrates: number
}

/** The mean of crates.io's artifacts, as far as anybody has measured it. */
const ARTIFACT_BYTES_MEAN = 180_000

/**
 * The first half of `sync`: it keeps newer metadata, tiles and index files, all under names nobody
 * reads yet, fetches no artifact and publishes nothing.
 */
export async function dryRun(run: Run, upstream: Upstream): Promise<DryRun> {
  await recover(run, upstream)
  const published = readPublished(run.writer.mirror.root)
  const vouched = await followChain(run, upstream)
  const { tree, load, ...planned } = await plan(run, upstream, published, vouched)
  const at = { published, tree, load, changes: planned.changes }
  const { selection, changes } = await select(run, upstream, at)
  const count = { crates: changes.length, artifacts: 0, removedVersions: 0, removedCrates: 0 }
  const examined = examineAll(run, upstream, changes, selection)
  for await (const { change, wanted, removed, fetched } of examined) {
    count.artifacts += wanted.length
    count.removedVersions += removed.length
    if (change.want === undefined) count.removedCrates += 1
    else if (fetched !== undefined) {
      const final = indexFileByHash(change.path, change.want.sha256)
      await run.landing.addBytes(final, fetched)
    }
  }
  await run.landing.settle()
  return { ...count, estimatedBytes: count.artifacts * ARTIFACT_BYTES_MEAN }
}
