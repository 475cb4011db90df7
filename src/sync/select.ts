import { setImmediate } from 'node:timers/promises'
import { MirrorError, quoted } from '../error.ts'
import { type Chosen, chooseVersions } from '../registry/choice.ts'
import type { CrateName } from '../registry/crate-name.ts'
import { Selection, type Versions } from '../registry/selection.ts'
import { goesByName, rulesText, type SelectionRules } from '../registry/selection-rules.ts'
import { type IndexPath, indexPath } from '../registry/sparse-path.ts'
import type { Version } from '../registry/version.ts'
import { readSelection } from '../store/selected.ts'
import { type Snapshot, underPath } from '../store/snapshot.ts'
import type { LoadTiles } from '../tree/diff.ts'
import type { TileRef, TreeEntry } from '../tree/entry.ts'
import { entriesOf } from '../tree/walk.ts'
import { bringIndexFiles, type IndexSource } from './bring-index-files.ts'
import { readByHash } from './examine.ts'
import type { Change } from './plan.ts'
import type { Run } from './run.ts'

/** Where a run stands when its plan is made. */
interface Planned {
  readonly published: Snapshot | undefined
  readonly tree: TileRef
  readonly load: LoadTiles
  readonly changes: readonly Change[]
}

/** What a run is to bring: of these crates the artifacts that are selected. */
export interface Selected {
  /** Undefined: everything is selected. */
  readonly selection: Selection | undefined
  /** Those of the plan, and crates that did not change but of which more is wanted now. */
  readonly changes: readonly Change[]
  readonly warnings: readonly string[]
}

const NONE: ReadonlySet<Version> = new Set()

type Entries = ReadonlyMap<IndexPath, TreeEntry>

/**
 * The step between plan and fetch: which part of the registry this mirror holds. Where the rules
 * need the index, its changed files come first: they say what there is and what depends on what.
 * Under the same rules what was selected stays selected, and a run in which no crate of the
 * selection changed looks at none; other rules are asked of the whole index, changed or not.
 */
export async function select(run: Run, source: IndexSource, planned: Planned): Promise<Selected> {
  const { published, changes } = planned
  const rules = run.settings.select
  if (rules === undefined) return await everything(planned)
  const before = selectionBefore(run, published)
  const kept = before?.rules === rulesText(rules) ? before : undefined
  if (kept !== undefined && !isTouched(kept, rules, changes)) {
    return { selection: kept, changes, warnings: [] }
  }
  if (!goesByName(rules)) await bringIndexFiles(run, source, changes)
  // without dependencies no crate's choice hangs on another's: those that changed are enough
  const isLocal = kept !== undefined && !rules.withDependencies
  const entries = isLocal ? entriesOfChanges(changes) : await allEntries(planned)
  const { versions, warnings } = await choose(run, rules, entries, kept)
  const untouched = isLocal ? without(kept.listed, changes) : []
  const selection = new Selection(rulesText(rules), new Map([...untouched, ...versions]))
  const wantsMore = ({ path }: TreeEntry): boolean =>
    kept === undefined
      ? selection.isAbout(path)
      : versions.get(path)?.isSubsetOf(kept.listed.get(path) ?? NONE) === false
  return { selection, changes: withUnchanged(planned, entries, wantsMore), warnings }
}

/** Whether the published snapshot was selected by the rules that hold now. */
export function isSelectedBy(run: Run, published: Snapshot): boolean {
  const rules = run.settings.select
  if (rules === undefined) return published.selected === undefined
  return selectionBefore(run, published)?.rules === rulesText(rules)
}

/** A mirror that held a part before has to look for the rest in every crate. */
async function everything(planned: Planned): Promise<Selected> {
  const { published, changes } = planned
  if (published?.selected === undefined) return { selection: undefined, changes, warnings: [] }
  const all = withUnchanged(planned, await allEntries(planned), () => true)
  return { selection: undefined, changes: all, warnings: [] }
}

/** A record that is damaged counts as none: the rules are asked again. */
function selectionBefore(run: Run, published: Snapshot | undefined): Selection | undefined {
  try {
    return readSelection(run.writer.mirror.root, published)
  } catch (error) {
    if (error instanceof MirrorError && error.code === 'damaged') return undefined
    throw error
  }
}

/** Whether what is listed may come out differently after these changes. */
function isTouched(kept: Selection, rules: SelectionRules, changes: readonly Change[]): boolean {
  if (goesByName(rules)) return false
  const pinned = new Set((rules.pins ?? []).map(({ crate }) => indexPath(crate)))
  return changes.some(({ path }) => kept.isAbout(path) || pinned.has(path))
}

/** What the rules choose of these crates, beside what follows from their names alone. */
async function choose(
  run: Run,
  rules: SelectionRules,
  entries: Entries,
  kept: Selection | undefined,
): Promise<Chosen> {
  const told = kept === undefined ? [...unknownNames(rules, entries), ...ofElsewhere(rules)] : []
  if (goesByName(rules)) return { versions: new Map(), warnings: told }
  let looks = 0
  const read = async (path: IndexPath): Promise<Uint8Array | undefined> => {
    looks += 1
    // the lock is renewed and signals are heard meanwhile
    if (looks % LOOKS_AT_ONCE === 0) await setImmediate()
    run.signal.throwIfAborted()
    const entry = entries.get(path)
    return entry && readByHash(run, path, entry.sha256)
  }
  const index = { paths: entries.keys(), read }
  const { versions, warnings } = await chooseVersions(rules, index, kept?.listed ?? new Map())
  return { versions, warnings: [...told, ...warnings] }
}

/** A name that no crate has is written wrong more often than not. */
function unknownNames({ allow, deny }: SelectionRules, entries: Entries): string[] {
  return [...allow, ...deny]
    .filter(({ name, isExact }) => isExact && !entries.has(indexPath(name as CrateName)))
    .map(({ text }) => `selection: ${quoted(text)} names no crate of the index`)
}

function ofElsewhere({ pinnedElsewhere: count }: SelectionRules): string[] {
  if (count === 0) return []
  return [`selection: ${count} packages of the lock files are of other registries or git: not here`]
}

const LOOKS_AT_ONCE = 100

async function allEntries({ tree, load }: Planned): Promise<Entries> {
  const entries = new Map<IndexPath, TreeEntry>()
  for await (const entry of entriesOf(tree, load)) entries.set(entry.path, entry)
  return entries
}

function entriesOfChanges(changes: readonly Change[]): Entries {
  const entries = changes.flatMap(({ want }) => want ?? [])
  return new Map(entries.map(entry => [entry.path, entry]))
}

function without(versions: Versions, changes: readonly Change[]): Versions {
  const rest = new Map(versions)
  for (const { path } of changes) rest.delete(path)
  return rest
}

/** The plan, and of the crates that did not change those of which more is wanted. */
function withUnchanged(
  { published, changes }: Planned,
  entries: Entries,
  wantsMore: (entry: TreeEntry) => boolean,
): Change[] {
  // before the first snapshot every crate is a change
  if (published === undefined) return [...changes]
  const planned = new Set(changes.map(({ path }) => path))
  const more = [...entries.values()].filter(entry => !planned.has(entry.path) && wantsMore(entry))
  const toChange = (want: TreeEntry): Change => ({
    path: want.path,
    have: underPath(published, want.path, want.sha256),
    want,
  })
  return [...changes, ...more.map(toChange)]
}
