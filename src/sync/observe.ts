import { existsSync } from 'node:fs'
import { MirrorError } from '../error.ts'
import { sha256 } from '../registry/checksum.ts'
import { IndexFileRefused, readIndexFile } from '../registry/index-file.ts'
import type { IndexPath } from '../registry/sparse-path.ts'
import { indexFileByHash } from '../store/layout.ts'
import { discardPartials } from '../store/partial.ts'
import { publish } from '../store/publish.ts'
import { discardSelections, keepSelection } from '../store/selected.ts'
import { readPublished, rootRef, type Snapshot } from '../store/snapshot.ts'
import { localTiles } from '../store/tiles.ts'
import { buildTree } from '../tree/build.ts'
import type { TileRef, TreeEntry } from '../tree/entry.ts'
import { lookUp } from '../tree/prove.ts'
import { updateTree } from '../tree/update.ts'
import type { ChainKeys } from '../trust/sign.ts'
import type { ObservedFile, ObservedUpstream } from '../upstream/upstream.ts'
import { fetchCrates } from './crates.ts'
import { decide } from './decide.ts'
import { guardRemovals, guardSpace } from './guards.ts'
import { NewTiles } from './new-tiles.ts'
import { pathsToAskAgain, planChanges } from './plan.ts'
import { recover } from './recover.ts'
import type { Run, Source } from './run.ts'
import { select } from './select.ts'
import { signPublished } from './sign.ts'
import { counted, report, type SyncReport, seal } from './sync.ts'

/**
 * An upstream that signs nothing becomes the next signed snapshot: its index files as they were
 * seen make the tree, their artifacts are verified against the checksums they name, and then it
 * goes on as in `sync`. A held crate keeps its old entry in the tree, or has none: only what is
 * whole is signed. A crash leaves what one of `sync` leaves; what is signed before `state/next`
 * lies in `state/trust` and is signed over by the next run.
 */
export async function syncObserved(
  run: Run,
  upstream: ObservedUpstream,
  keys: ChainKeys,
): Promise<SyncReport> {
  const observed = new Observed(run, upstream)
  await recover(run, observed)
  const published = readPublished(run.writer.mirror.root)
  guardSpace(run)
  await observed.look()

  run.progress.phase = 'compare'
  const tiles = new NewTiles(run)
  const seen = buildTree(observed.entries, tiles.put)
  const options = { load: tiles.load, now: run.now() }
  const planned = await planChanges(run.writer.mirror.root, published, seen, options)
  const crates = planned.filter(change => change.want === undefined).length
  guardRemovals(run, published, { crates, versions: 0 })
  const at = { published, tree: seen, load: tiles.load, changes: planned }
  const { selection, changes, warnings } = await select(run, observed, at)

  run.progress.phase = 'fetch'
  const isFirst = published === undefined
  const fetched = await fetchCrates(run, observed, changes, { isFirst, selection })
  guardRemovals(run, published, counted(fetched.removed))
  const verdicts = decide(run, published, changes, fetched)

  run.progress.phase = 'publish'
  const held = Object.keys(verdicts.held) as IndexPath[]
  const tree = await withOldEntries(run, published, seen, held, tiles)
  await tiles.land(tree)
  const metadata = await signPublished(run, tree, keys)
  const selected = await keepSelection(run.writer, selection)
  const isSame =
    published?.tree === tree.hash &&
    published.metadata.timestamp === metadata.timestamp &&
    published.selected === selected
  if (isSame && held.length === 0 && pathsToAskAgain(published, run.now()).length === 0) {
    const told = report(run, published, fetched, [...observed.warnings, ...warnings])
    return { ...told, outcome: 'unchanged' }
  }
  const entries = tree.count ?? 0
  const next = seal(run, published, { tree, entries, metadata, verdicts, selected })
  await publish(run.writer, next)
  await discardPartials(run.writer.mirror.root, { but: fetched.stillWanted })
  await discardSelections(run.writer)
  return report(run, next, fetched, [...observed.warnings, ...warnings])
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

/** What was seen, landed by its hash as far as it is of the right form. */
class Observed implements Source {
  readonly name: string
  readonly entries: TreeEntry[] = []
  readonly warnings: string[] = []
  readonly artifact: Source['artifact']
  readonly pause: Source['pause']
  readonly #run: Run
  readonly #upstream: ObservedUpstream
  readonly #refused = new Map<IndexPath, IndexFileRefused>()

  constructor(run: Run, upstream: ObservedUpstream) {
    this.#run = run
    this.#upstream = upstream
    this.name = upstream.name
    this.artifact = (wanted, options) => upstream.artifact(wanted, options)
    this.pause = (attempt, error, options) => upstream.pause(attempt, error, options)
  }

  async look(): Promise<void> {
    for await (const file of this.#upstream.observe({ signal: this.#run.signal })) {
      await this.#take(file)
    }
    await this.#run.landing.settle()
  }

  /** A crate whose file cannot be its index file has an entry all the same: so it will be held. */
  async #take({ path, bytes }: ObservedFile): Promise<void> {
    const checksum = sha256(bytes)
    this.entries.push({ path, length: bytes.length, sha256: checksum })
    const final = indexFileByHash(path, checksum)
    if (existsSync(this.#run.writer.at(final))) return
    try {
      readIndexFile(bytes, path)
    } catch (error) {
      if (!(error instanceof IndexFileRefused)) throw error
      this.#refused.set(path, error)
      return
    }
    await this.#run.landing.addBytes(final, bytes)
  }

  /** What is of the right form has landed and is not asked for. */
  async indexFile({ path }: TreeEntry): Promise<Uint8Array> {
    throw this.#refused.get(path) ?? this.#gone(`index/${path}`)
  }

  /** Nobody else has the tiles of a tree that we built. */
  async tile(): Promise<Uint8Array> {
    throw this.#gone('a tile')
  }

  #gone(what: string): MirrorError {
    return new MirrorError('incomplete', `${this.name} has no other copy of ${what}`)
  }
}
