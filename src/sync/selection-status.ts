import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Checksum } from '../registry/checksum.ts'
import { readIndexFile } from '../registry/index-file.ts'
import type { Selection } from '../registry/selection.ts'
import { type IndexPath, prefixOfPath } from '../registry/sparse-path.ts'
import { artifactFile, indexFileByHash } from '../store/layout.ts'
import { readSelection } from '../store/selected.ts'
import { rootRef, type Snapshot, underPath } from '../store/snapshot.ts'
import { localTiles } from '../store/tiles.ts'
import { entriesOf } from '../tree/walk.ts'

/** Which part of its registry a mirror holds. */
export interface SelectionStatus {
  readonly summary: string
  /** Undefined: too many crates to be counted while somebody waits. */
  readonly counts: Counts | undefined
}

/** Of the crates that the selection is about, and that have an index file here. */
interface Counts {
  crates: number
  /** Versions that their index files list, those that are selected, and the files of these here. */
  listed: number
  selected: number
  here: number
}

const CRATES_MAX = 10_000

/** Undefined: everything is selected. */
export async function selectionStatus(
  root: string,
  published: Snapshot | undefined,
): Promise<SelectionStatus | undefined> {
  const selection = readSelection(root, published)
  if (published === undefined || selection === undefined) return undefined
  const wholeFiles = new Map<IndexPath, Checksum>()
  for await (const { path, sha256 } of entriesOf(rootRef(published.tree), localTiles(root))) {
    const whole = underPath(published, path, sha256)
    if (whole !== undefined && selection.isAbout(path)) wholeFiles.set(path, whole)
  }
  const { summary } = selection
  if (wholeFiles.size > CRATES_MAX) return { summary, counts: undefined }
  const counts: Counts = { crates: 0, listed: 0, selected: 0, here: 0 }
  for (const [path, whole] of wholeFiles) count(root, selection, { path, whole }, counts)
  return { summary, counts }
}

function count(
  root: string,
  selection: Selection,
  { path, whole }: { readonly path: IndexPath; readonly whole: Checksum },
  counts: Counts,
): void {
  const file = join(root, indexFileByHash(path, whole))
  // what is damaged or lost is for `verify` to tell
  if (!existsSync(file)) return
  const { entries } = readIndexFile(readFileSync(file), path, { signed: true })
  const isSelected = selection.of(path)
  const selected = entries.filter(({ version }) => isSelected(version))
  const isHere = (artifact: string): boolean => existsSync(join(root, artifact))
  counts.crates += 1
  counts.listed += entries.length
  counts.selected += selected.length
  counts.here += selected.filter(({ checksum }) =>
    isHere(artifactFile(prefixOfPath(path), checksum)),
  ).length
}
