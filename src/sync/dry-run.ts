import { indexFileByHash } from '../store/layout.ts'
import { readPublished } from '../store/snapshot.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { type Carried, surveyCarried } from './bring-carried.ts'
import { followChain } from './chain.ts'
import { examineAll } from './examine.ts'
import { planObserved } from './observe.ts'
import type { Observer } from './observer.ts'
import { recover } from './recover.ts'
import type { Run, Source } from './run.ts'
import { type Selected, select } from './select.ts'
import { plan, type Taking } from './sync.ts'

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
  const { tree, load, changes } = await plan(run, upstream, published, vouched)
  return await counted(
    run,
    upstream,
    await select(run, upstream, { published, tree, load, changes }),
  )
}

/** What an import would do; of what is carried the sizes are known. */
export async function dryRunCarried(
  run: Run,
  upstream: Upstream,
  taking: Taking,
): Promise<DryRun & Carried & { readonly wanted: number }> {
  await recover(run, upstream)
  const published = readPublished(run.writer.mirror.root)
  const vouched = await followChain(run, upstream, taking.freshness)
  const { tree, load, changes } = await plan(run, upstream, published, vouched, taking)
  const chosen = await select(run, upstream, { published, tree, load, changes })
  const { carried } = await surveyCarried(run, upstream, { published, tree: tree.hash, ...chosen })
  const count = await counted(run, upstream, chosen)
  return { ...count, wanted: count.artifacts, ...carried }
}

/** The same of an unsigned upstream: what is due is looked at, and kept in the cache of looks. */
export async function dryRunObserved(run: Run, observer: Observer): Promise<DryRun> {
  await recover(run, observer)
  const published = readPublished(run.writer.mirror.root)
  const { seen: tree, tiles, changes } = await planObserved(run, observer, published)
  const { load } = tiles
  return await counted(
    run,
    observer,
    await select(run, observer, { published, tree, load, changes }),
  )
}

async function counted(run: Run, source: Source, selected: Selected): Promise<DryRun> {
  const { changes, selection } = selected
  const count = { crates: changes.length, artifacts: 0, removedVersions: 0, removedCrates: 0 }
  const examined = examineAll(run, source, changes, selection)
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
