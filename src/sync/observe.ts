import type { Checksum } from '../registry/checksum.ts'
import type { IndexPath } from '../registry/sparse-path.ts'
import { discardPartials } from '../store/partial.ts'
import { publish } from '../store/publish.ts'
import { discardSelections, keepSelection } from '../store/selected.ts'
import {
  type Held,
  type MetadataVersions,
  type PrunedIndex,
  readPublished,
  rootRef,
  type Snapshot,
  underPath,
} from '../store/snapshot.ts'
import { localTiles } from '../store/tiles.ts'
import type { TileRef, TreeEntry } from '../tree/entry.ts'
import { lookUp } from '../tree/prove.ts'
import { updateTree } from '../tree/update.ts'
import { counted, fetchCrates } from './crates.ts'
import { decide, type Verdicts } from './decide.ts'
import { guardRemovals, guardSpace } from './guards.ts'
import { NewTiles } from './new-tiles.ts'
import type { Observer } from './observer.ts'
import { type Change, pathsToAskAgain, planChanges } from './plan.ts'
import { prunedIndex } from './pruned-index.ts'
import { recover } from './recover.ts'
import { type Run, stamp } from './run.ts'
import { select } from './select.ts'
import { report, type SyncReport, seal } from './sync.ts'

/** Signs the tree into the chain that the mirror shows; null: nobody does. */
export type SignTree = (run: Run, tree: TileRef) => Promise<MetadataVersions | null>

/** A mirror that only observes has no chain of its own under `tuf/`. */
export const UNSIGNED: SignTree = async () => null

/**
 * An upstream that signs nothing becomes the next snapshot: its index files as they are believed
 * make the tree, their artifacts are verified against the checksums they name, and then it goes on
 * as in `sync`. A held crate keeps its old entry in the tree, or has none: only what is whole may
 * be signed. A crash leaves what one of `sync` leaves, beside what was seen so far: what is signed
 * before `state/next` lies in `state/trust` and is signed over by the next run.
 */
export async function syncObserved(
  run: Run,
  observer: Observer,
  sign: SignTree,
): Promise<SyncReport> {
  await recover(run, observer)
  const published = readPublished(run.writer.mirror.root)
  guardSpace(run)
  const { tiles, seen, ...planned } = await planObserved(run, observer, published)
  const withdrawn = await observer.withdraw()
  const at = { published, tree: seen, load: tiles.load, changes: planned.changes }
  const { selection, changes, ...chosen } = await select(run, observer, at)

  run.progress.phase = 'fetch'
  const isFirst = published === undefined
  const fetched = await fetchCrates(run, observer, changes, { isFirst, selection })
  guardRemovals(run, published, counted(fetched.removed))
  const decided = decide(run, published, changes, fetched)
  const verdicts = await withUnseen(run, published, decided, observer)

  run.progress.phase = 'publish'
  const held = Object.keys(verdicts.held) as IndexPath[]
  const tree = await withOldEntries(run, published, seen, held, tiles)
  await tiles.land(tree)
  const metadata = await sign(run, tree)
  const selected = await keepSelection(run.writer, selection)
  const pruning = { tree, load: tiles.load, ...verdicts, selection, selected }
  const pruned = await prunedIndex(run, published, pruning, changes)
  const warnings = [...observer.warnings, ...chosen.warnings]
  const told = { warnings, reasons: observer.reasons, withdrawn }
  if (isPublished(run, published, { tree, metadata, held, selected, pruned })) {
    await observer.settle()
    return { ...report(run, published, fetched, told), outcome: 'unchanged' }
  }
  const entries = tree.count ?? 0
  const next = seal(run, published, { tree, entries, metadata, verdicts, selected, pruned })
  await publish(run.writer, next)
  await observer.settle()
  await discardPartials(run.writer.mirror.root, { but: fetched.stillWanted })
  await discardSelections(run.writer)
  return report(run, next, fetched, told)
}

/** The tree of what is believed now, and what brings us there. */
export async function planObserved(
  run: Run,
  observer: Observer,
  published: Snapshot | undefined,
): Promise<{
  readonly tiles: NewTiles
  readonly seen: TileRef
  readonly changes: readonly Change[]
}> {
  run.progress.phase = 'look'
  const tiles = new NewTiles(run)
  const seen = await observer.look(published, tiles)
  run.progress.phase = 'compare'
  const options = { load: tiles.load, now: run.now() }
  const changes = await planChanges(run.writer.mirror.root, published, seen, options)
  const gone = changes.filter(change => change.want === undefined)
  guardRemovals(run, published, { crates: gone.length, versions: 0, paths: gone.map(c => c.path) })
  return { tiles, seen, changes }
}

function isPublished(
  run: Run,
  published: Snapshot | undefined,
  now: {
    readonly tree: TileRef
    readonly metadata: MetadataVersions | null
    readonly held: readonly IndexPath[]
    readonly selected: Checksum | undefined
    readonly pruned: PrunedIndex | undefined
  },
): published is Snapshot {
  return (
    published?.tree === now.tree.hash &&
    published.metadata?.timestamp === now.metadata?.timestamp &&
    published.selected === now.selected &&
    published.pruned?.tree === now.pruned?.tree &&
    now.held.length === 0 &&
    pathsToAskAgain(published, run.now()).length === 0
  )
}

/** What could not be seen stays as it was, and says so. */
async function withUnseen(
  run: Run,
  published: Snapshot | undefined,
  verdicts: Verdicts,
  { unseen }: Observer,
): Promise<Verdicts> {
  const load = localTiles(run.writer.mirror.root)
  const held: Record<IndexPath, Held> = { ...verdicts.held }
  for (const [path, reason] of unseen) {
    const before = published?.held[path]
    const entry = published && (await lookUp(rootRef(published.tree), path, load))
    held[path] = {
      have: underPath(published, path, entry?.sha256) ?? null,
      want: before?.want ?? null,
      reason,
      since: before?.since ?? stamp(run.now()),
      tries: (before?.tries ?? 0) + 1,
    }
  }
  return { ...verdicts, held }
}

/** The tree with what stays published of held crates: their old entries, or none. */
async function withOldEntries(
  run: Run,
  published: Snapshot | undefined,
  seen: TileRef,
  held: readonly IndexPath[],
  tiles: NewTiles,
): Promise<TileRef> {
  const load = localTiles(run.writer.mirror.root)
  const changes: { path: IndexPath; after: TreeEntry | undefined }[] = []
  for (const path of held) {
    const after = published && (await lookUp(rootRef(published.tree), path, load))
    changes.push({ path, after })
  }
  return await updateTree(seen, changes, { load: tiles.load, put: tiles.put })
}
