import type { Checksum } from '../registry/checksum.ts'
import type { IndexPath } from '../registry/sparse-path.ts'
import { discardPartials } from '../store/partial.ts'
import { publish } from '../store/publish.ts'
import { discardSelections, keepSelection } from '../store/selected.ts'
import { type PrunedIndex, readPublished, rootRef, type Snapshot } from '../store/snapshot.ts'
import type { LoadTiles } from '../tree/diff.ts'
import type { TileRef } from '../tree/entry.ts'
import type { Vouched } from '../trust/refresh.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { followChain } from './chain.ts'
import { type Fetched, fetchCrates, type Removed } from './crates.ts'
import { decide, type Verdicts } from './decide.ts'
import { guardRemovals, guardSpace } from './guards.ts'
import { type Change, pathsToAskAgain, planChanges } from './plan.ts'
import { prunedIndex } from './pruned-index.ts'
import { recover } from './recover.ts'
import { type Run, stamp } from './run.ts'
import { isSelectedBy, select } from './select.ts'
import { fetchedTiles } from './tiles.ts'

/** What one run came to, for people and for the run record. */
export interface SyncReport {
  readonly outcome: 'unchanged' | 'published'
  readonly snapshot: Snapshot
  /** Crates whose index file was examined, artifacts that landed, bytes of them that came. */
  readonly crates: number
  readonly artifacts: number
  readonly bytes: number
  readonly removed: readonly (Removed & { readonly reason: string })[]
  /** `serde@1.0.0`: yanked since the snapshot before, or no longer. */
  readonly yanked: readonly string[]
  readonly unyanked: readonly string[]
  /** What was taken away as malware, each with its reason. */
  readonly withdrawn: readonly string[]
  /** Crates held because a published checksum would change: an alarm, exit 17. */
  readonly rollbacks: readonly IndexPath[]
  readonly warnings: readonly string[]
}

/**
 * One pass, from the lock (which the caller holds) to a published snapshot. What a crash leaves
 * after each step, and who mends it:
 *
 *   recover   as before; what an earlier run began is finished by the functions that began it
 *   trust     newer metadata in `state/trust`, nothing public; the next run goes on from there
 *   plan      new tiles, named by their hash and read by nobody yet
 *   select    index files by hash, read by nobody yet; where a part of the registry is wanted
 *   fetch     landed artifacts and index files by hash, partials; the next run wants only the rest
 *   publish   before `state/next` is durable: as after fetch. From then on only forward
 *   tidy      partials that nobody wants any more; the next run removes them
 */
export async function sync(run: Run, upstream: Upstream): Promise<SyncReport> {
  await recover(run, upstream)
  const published = readPublished(run.writer.mirror.root)
  const vouched = await followChain(run, upstream)
  if (published !== undefined && isPublished(run, published, vouched)) {
    return unchanged(published, vouched)
  }

  guardSpace(run)
  const { tree, entries, load, ...planned } = await plan(run, upstream, published, vouched)
  const chosen = await select(run, upstream, { published, tree, load, changes: planned.changes })
  const { selection, changes } = chosen

  run.progress.phase = 'fetch'
  const isFirst = published === undefined
  const fetched = await fetchCrates(run, upstream, changes, { isFirst, selection })
  guardRemovals(run, published, counted(fetched.removed))
  const verdicts = decide(run, published, changes, fetched)

  run.progress.phase = 'publish'
  const selected = await keepSelection(run.writer, selection)
  const pruning = { tree, load, ...verdicts, selection, selected }
  const pruned = await prunedIndex(run, published, pruning, changes)
  const { versions: metadata } = vouched
  const next = seal(run, published, { tree, entries, metadata, verdicts, selected, pruned })
  await publish(run.writer, next)
  await discardPartials(run.writer.mirror.root, { but: fetched.stillWanted })
  await discardSelections(run.writer)
  return report(run, next, fetched, { warnings: [...vouched.warnings, ...chosen.warnings] })
}

/** The plan step of `sync` alone: the tree that is vouched for, and what brings us there. */
export async function plan(
  run: Run,
  upstream: Upstream,
  published: Snapshot | undefined,
  vouched: Vouched,
): Promise<{
  readonly tree: TileRef
  readonly entries: number
  readonly load: LoadTiles
  readonly changes: readonly Change[]
}> {
  run.progress.phase = 'compare'
  const tree = rootRef(vouched.tree)
  const load = fetchedTiles(run, upstream)
  const [root] = await load([tree])
  const changes = await planChanges(run.writer.mirror.root, published, tree, {
    load,
    now: run.now(),
  })
  const gone = changes.filter(change => change.want === undefined)
  guardRemovals(run, published, { crates: gone.length, versions: 0, paths: gone.map(c => c.path) })
  return { tree, entries: root?.count ?? 0, load, changes }
}

/** The tree that is vouched for is the published one, by the same metadata, and nothing is open. */
function isPublished(run: Run, published: Snapshot, vouched: Vouched): boolean {
  const { root, timestamp, snapshot, targets } = vouched.versions
  const { metadata } = published
  return (
    metadata !== null &&
    published.tree === vouched.tree &&
    metadata?.root === root &&
    metadata.timestamp === timestamp &&
    metadata.snapshot === snapshot &&
    metadata.targets === targets &&
    pathsToAskAgain(published, run.now()).length === 0 &&
    isSelectedBy(run, published) &&
    (published.pruned !== undefined) === run.settings.pruneIndex
  )
}

function unchanged(snapshot: Snapshot, { warnings }: Vouched): SyncReport {
  return {
    outcome: 'unchanged',
    snapshot,
    crates: 0,
    artifacts: 0,
    bytes: 0,
    removed: [],
    yanked: [],
    unyanked: [],
    withdrawn: [],
    rollbacks: [],
    warnings,
  }
}

/** The whole decision as one record; `n` is this mirror's own count. */
export function seal(
  run: Run,
  published: Snapshot | undefined,
  state: Pick<Snapshot, 'entries' | 'metadata'> & {
    readonly tree: TileRef
    readonly verdicts: Verdicts
    readonly selected: Checksum | undefined
    readonly pruned: PrunedIndex | undefined
  },
): Snapshot {
  return {
    format: 1,
    n: (published?.n ?? 0) + 1,
    tree: state.tree.hash,
    entries: state.entries,
    metadata: state.metadata,
    ...state.verdicts,
    ...(state.selected !== undefined && { selected: state.selected }),
    ...(state.pruned !== undefined && { pruned: state.pruned }),
    at: stamp(run.now()),
  }
}

export function counted(removed: readonly Removed[]): {
  crates: number
  versions: number
  paths: string[]
} {
  const crates = removed.filter(({ all }) => all).length
  const versions = removed.reduce((sum, { versions }) => sum + versions.length, 0)
  return { crates, versions, paths: removed.map(({ path }) => path) }
}

export function report(
  run: Run,
  snapshot: Snapshot,
  fetched: Fetched,
  told: {
    readonly warnings: readonly string[]
    readonly reasons?: ReadonlyMap<IndexPath, string>
    readonly withdrawn?: readonly string[]
  },
): SyncReport {
  const { warnings, reasons, withdrawn = [] } = told
  const reason = 'upstream names it no more'
  const rollbacks = [...fetched.refused].filter(([, refusal]) => refusal.isRollback)
  return {
    outcome: 'published',
    snapshot,
    crates: run.progress.cratesExamined,
    artifacts: fetched.landed,
    bytes: run.progress.bytes,
    removed: fetched.removed.map(one => ({ ...one, reason: reasons?.get(one.path) ?? reason })),
    yanked: fetched.yanked,
    unyanked: fetched.unyanked,
    withdrawn,
    rollbacks: rollbacks.map(([path]) => path),
    warnings: [...warnings, ...fetched.warnings],
  }
}
