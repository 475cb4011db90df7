import { MirrorError } from '../error.ts'
import type { Checksum } from '../registry/checksum.ts'
import type { IndexPath } from '../registry/sparse-path.ts'
import { discardPartials } from '../store/partial.ts'
import { publish } from '../store/publish.ts'
import { discardSelections, keepSelection } from '../store/selected.ts'
import {
  type MetadataVersions,
  type PrunedIndex,
  readPublished,
  rootRef,
  type Snapshot,
} from '../store/snapshot.ts'
import type { LoadTiles } from '../tree/diff.ts'
import type { TileRef } from '../tree/entry.ts'
import { withoutLost } from '../tree/lost.ts'
import { type Freshness, ONLINE } from '../trust/freshness.ts'
import { instantOf } from '../trust/instant.ts'
import type { Vouched } from '../trust/vouched.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { bringCarried } from './bring-carried.ts'
import { followChain } from './chain.ts'
import { counted, type Fetched, fetchCrates, type Removed } from './crates.ts'
import { decide, type Verdicts } from './decide.ts'
import { guardRemovals, guardSpace } from './guards.ts'
import { type Change, pathsToAskAgain, planChanges } from './plan.ts'
import { prunedIndex } from './pruned-index.ts'
import { recover } from './recover.ts'
import { type Run, stamp } from './run.ts'
import { isSelectedBy, select } from './select.ts'
import { fetchedTiles } from './tiles.ts'
import { requireAllHere } from './whole.ts'

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

/** How a state is taken: over a network, where a crate may wait, or from media, whole or not yet. */
export interface Taking {
  readonly command: string
  readonly isCarried: boolean
  readonly freshness: Freshness
  /** An operator's word that its metadata is taken past its end. */
  readonly override?: Snapshot['override']
  /** Throws where what the media say of themselves is not what was verified. */
  readonly agree?: (state: VerifiedState) => void
}

/** A state as its metadata and its root tile prove it. */
export interface VerifiedState extends MetadataVersions {
  readonly tree: Checksum
  readonly entries: number
}

const OVER_THE_NETWORK: Taking = { command: 'sync', isCarried: false, freshness: ONLINE }

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
export async function sync(
  run: Run,
  upstream: Upstream,
  taking: Taking = OVER_THE_NETWORK,
): Promise<SyncReport> {
  await recover(run, upstream)
  const published = readPublished(run.writer.mirror.root)
  const vouched = await followChain(run, upstream, taking.freshness)
  if (published !== undefined && isPublished(run, published, vouched)) {
    return unchanged(published, vouched)
  }

  guardSpace(run)
  const planning = await plan(run, upstream, published, vouched, taking)
  const { tree, entries, load, lost, ...planned } = planning
  if (lost.length === 0) taking.agree?.({ ...vouched.versions, tree: tree.hash, entries })
  const chosen = await select(run, upstream, { published, tree, load, changes: planned.changes })
  const { selection, changes } = chosen

  if (taking.isCarried) {
    await bringCarried(run, upstream, { published, tree: tree.hash, ...chosen }, taking)
  }
  const carried = run.progress.artifactsDone
  run.progress.phase = 'fetch'
  const isFirst = published === undefined && !taking.isCarried
  const fetched = await fetchCrates(run, upstream, changes, { isFirst, selection })
  guardRemovals(run, published, counted(fetched.removed), taking.command)
  if (taking.isCarried) requireAllHere(run, published, fetched, { lostTiles: lost.length })
  const verdicts = decide(run, published, changes, fetched)

  run.progress.phase = 'publish'
  const selected = await keepSelection(run.writer, selection)
  const pruning = { tree, load, ...verdicts, selection, selected }
  const pruned = await prunedIndex(run, published, pruning, changes)
  const { versions: metadata } = vouched
  // an operator's word matters only where something is past its end
  const override = vouched.until <= instantOf(run.now()) ? taking.override : undefined
  const sealing = { tree, entries, metadata, verdicts, selected, pruned, override }
  const next = seal(run, published, sealing)
  await publish(run.writer, next)
  await discardPartials(run.writer.mirror.root, { but: fetched.stillWanted })
  await discardSelections(run.writer)
  const warnings = [...vouched.warnings, ...chosen.warnings]
  return report(run, next, fetched, { warnings, carried })
}

/** The plan step of `sync` alone: the tree that is vouched for, and what brings us there. */
export async function plan(
  run: Run,
  upstream: Upstream,
  published: Snapshot | undefined,
  vouched: Vouched,
  { command, isCarried }: Pick<Taking, 'command' | 'isCarried'> = OVER_THE_NETWORK,
): Promise<{
  readonly tree: TileRef
  readonly entries: number
  readonly load: LoadTiles
  /** Tiles that are not to be had, of what is carried: what lies below them nobody knows. */
  readonly lost: readonly TileRef[]
  readonly changes: readonly Change[]
}> {
  run.progress.phase = 'compare'
  const tree = rootRef(vouched.tree)
  const lost: TileRef[] = []
  const fetched = fetchedTiles(run, upstream)
  // what no medium has stands for nothing, so that all that did come is kept
  const load = isCarried
    ? withoutLost(fetched, (ref, error) => noteLost(lost, ref, error))
    : fetched
  const [root] = await load([tree])
  const all = await planChanges(run.writer.mirror.root, published, tree, { load, now: run.now() })
  // below a lost tile every crate looks as if it were gone
  const changes = lost.length === 0 ? all : all.filter(({ want }) => want !== undefined)
  const gone = changes.filter(change => change.want === undefined)
  const paths = gone.map(({ path }) => path)
  guardRemovals(run, published, { crates: gone.length, versions: 0, paths }, command)
  return { tree, entries: root?.count ?? 0, load, lost, changes }
}

/** Not to be had is a verdict on that tile; anything else ends the run. */
function noteLost(lost: TileRef[], ref: TileRef, error: unknown): void {
  if (!(error instanceof MirrorError) || error.code !== 'incomplete') throw error
  if (!lost.some(({ hash }) => hash === ref.hash)) lost.push(ref)
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
    readonly override?: Snapshot['override'] | undefined
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
    ...(state.override !== undefined && { override: state.override }),
    at: stamp(run.now()),
  }
}

export function report(
  run: Run,
  snapshot: Snapshot,
  fetched: Fetched,
  told: {
    readonly warnings: readonly string[]
    readonly reasons?: ReadonlyMap<IndexPath, string>
    readonly withdrawn?: readonly string[]
    /** Artifacts that landed before the crates were looked at. */
    readonly carried?: number
  },
): SyncReport {
  const { warnings, reasons, withdrawn = [], carried = 0 } = told
  const reason = 'upstream names it no more'
  const rollbacks = [...fetched.refused].filter(([, refusal]) => refusal.isRollback)
  return {
    outcome: 'published',
    snapshot,
    crates: run.progress.cratesExamined,
    artifacts: carried + fetched.landed,
    bytes: run.progress.bytes,
    removed: fetched.removed.map(one => ({ ...one, reason: reasons?.get(one.path) ?? reason })),
    yanked: fetched.yanked,
    unyanked: fetched.unyanked,
    withdrawn,
    rollbacks: rollbacks.map(([path]) => path),
    warnings: [...warnings, ...fetched.warnings],
  }
}
