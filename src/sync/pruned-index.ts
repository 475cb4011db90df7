import { existsSync } from 'node:fs'
import { MirrorError } from '../error.ts'
import { type Checksum, sha256 } from '../registry/checksum.ts'
import type { CrateName } from '../registry/crate-name.ts'
import { readIndexFile } from '../registry/index-file.ts'
import type { Selection } from '../registry/selection.ts'
import { type IndexPath, indexPath, prefixOfPath } from '../registry/sparse-path.ts'
import { artifactFile, indexFileByHash } from '../store/layout.ts'
import { readWithdrawn } from '../store/quarantine.ts'
import { type PrunedIndex, rootRef, type Snapshot, underPath } from '../store/snapshot.ts'
import { EMPTY_TREE } from '../tree/build.ts'
import type { LoadTiles } from '../tree/diff.ts'
import type { TileRef, TreeEntry } from '../tree/entry.ts'
import { lookUp } from '../tree/prove.ts'
import { type TreeChange, updateTree } from '../tree/update.ts'
import { entriesOf } from '../tree/walk.ts'
import { readByHash } from './examine.ts'
import { NewTiles } from './new-tiles.ts'
import type { Run } from './run.ts'

/** The snapshot that is about to be decided on, as far as its pruned index follows from it. */
export interface Pruning extends Pick<Snapshot, 'held' | 'absent'> {
  readonly tree: TileRef
  readonly load: LoadTiles
  readonly selection: Selection | undefined
  readonly selected: Checksum | undefined
}

/**
 * The index of only what is here, where one is wanted (`select.prune-index`): of each crate's file
 * the lines whose artifact is selected and lies here, byte for byte; no file where none is left. The
 * whole files stay by hash, so the chain that names them stays true. Crates that did not change keep
 * their entries: only a first time, another selection, or a withdrawal, looks at all. Lands files and tiles under
 * names that nobody reads yet.
 */
export async function prunedIndex(
  run: Run,
  published: Snapshot | undefined,
  next: Pruning,
  changed: Iterable<{ readonly path: IndexPath }>,
): Promise<PrunedIndex | undefined> {
  if (!run.settings.pruneIndex) return undefined
  const isOther = published?.pruned === undefined || published.selected !== next.selected
  if (isOther || hasWithdrawnSince(run, published)) return await prunedAnew(run, next)
  const paths = [...Array.from(changed, ({ path }) => path), ...unsteady(run, published, next)]
  return await withPruned(run, rootRef(published.pruned.tree), next, await entriesAt(next, paths))
}

/** The same, whatever was pruned before: every file is made again. */
export async function prunedAnew(run: Run, next: Pruning): Promise<PrunedIndex> {
  return await withPruned(run, EMPTY_TREE, next, await allEntries(next))
}

/**
 * The lines of a whole index file that are selected and whose artifact is here.
 * @throws {MirrorError} damaged where the whole file is not here
 */
export function prunedLines(
  run: Run,
  path: IndexPath,
  whole: Checksum,
  selection: Selection | undefined,
): Uint8Array {
  const bytes = readByHash(run, path, whole)
  if (bytes === undefined) {
    const file = indexFileByHash(path, whole)
    throw new MirrorError('damaged', `${file} is missing; run verify --repair`)
  }
  const isSelected = selection?.of(path) ?? (() => true)
  const prefix = prefixOfPath(path)
  const isHere = (checksum: Checksum): boolean =>
    existsSync(run.writer.at(artifactFile(prefix, checksum)))
  const { entries } = readIndexFile(bytes, path, { signed: true })
  const kept = entries.filter(one => isSelected(one.version) && isHere(one.checksum))
  return linesAt(bytes, new Set(kept.map(({ line }) => line)))
}

/** Lines are counted from 1, and each ends with a newline, even where the last one had none. */
function linesAt(bytes: Uint8Array, numbers: ReadonlySet<number>): Uint8Array {
  const lines = Buffer.from(bytes).toString('latin1').split('\n')
  const kept = lines.filter((_, index) => numbers.has(index + 1))
  return Buffer.from(kept.map(line => `${line}\n`).join(''), 'latin1')
}

async function withPruned(
  run: Run,
  root: TileRef,
  next: Pruning,
  entries: ReadonlyMap<IndexPath, TreeEntry | undefined>,
): Promise<PrunedIndex> {
  const changes: TreeChange[] = []
  for (const [path, entry] of entries) {
    run.signal.throwIfAborted()
    changes.push({ path, after: await prunedEntry(run, next, path, entry) })
  }
  const tiles = new NewTiles(run)
  const pruned = await updateTree(root, changes, { load: tiles.load, put: tiles.put })
  await tiles.land(pruned)
  return { tree: pruned.hash, entries: pruned.count }
}

async function prunedEntry(
  run: Run,
  { held, selection }: Pruning,
  path: IndexPath,
  entry: TreeEntry | undefined,
): Promise<TreeEntry | undefined> {
  const whole = underPath({ held }, path, entry?.sha256)
  if (whole === undefined) return undefined
  const bytes = prunedLines(run, path, whole, selection)
  if (bytes.length === 0) return undefined
  const checksum = sha256(bytes)
  const file = indexFileByHash(path, checksum)
  if (!existsSync(run.writer.at(file))) await run.landing.addBytes(file, bytes)
  return { path, length: bytes.length, sha256: checksum }
}

/** What is withdrawn is gone for each crate that has the same bytes, whichever was named. */
function hasWithdrawnSince({ writer }: Run, { at }: Snapshot): boolean {
  return readWithdrawn(writer.mirror.root)
    .values()
    .some(one => one.at >= at)
}

/** Crates of which something may have come or gone though their file did not change. */
function unsteady({ writer }: Run, published: Snapshot, next: Pruning): IndexPath[] {
  const held = Object.keys({ ...published.held, ...next.held }) as IndexPath[]
  const absent = Object.values({ ...published.absent, ...next.absent })
  const withdrawn = [...readWithdrawn(writer.mirror.root).values()]
  const crates = new Set([...absent, ...withdrawn].map(({ crate }) => crate as CrateName))
  return [...held, ...[...crates].map(indexPath)]
}

async function entriesAt(
  { tree, load }: Pick<Pruning, 'tree' | 'load'>,
  paths: Iterable<IndexPath>,
): Promise<Map<IndexPath, TreeEntry | undefined>> {
  const entries = new Map<IndexPath, TreeEntry | undefined>()
  for (const path of new Set(paths)) entries.set(path, await lookUp(tree, path, load))
  return entries
}

/** A held crate may be in no tree. */
async function allEntries({ tree, load, held }: Pruning): ReturnType<typeof entriesAt> {
  const entries = await entriesAt({ tree, load }, Object.keys(held) as IndexPath[])
  for await (const entry of entriesOf(tree, load)) entries.set(entry.path, entry)
  return entries
}
