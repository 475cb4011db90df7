import { join } from 'node:path'
import { type Checksum, isChecksum } from '../registry/checksum.ts'
import type { IndexPath } from '../registry/sparse-path.ts'
import { parseIndexPath } from '../registry/sparse-path.ts'
import { type CountedRef, ROOT, type TileRef } from '../tree/entry.ts'
import { NEXT, PUBLISHED } from './layout.ts'
import { isObject, readRecord } from './record.ts'

/** Versions of the four TUF roles that vouch for a snapshot's tree. */
export interface MetadataVersions {
  readonly root: number
  readonly timestamp: number
  readonly snapshot: number
  readonly targets: number
}

/**
 * Why a crate's new index file waits: its old one (`have`) stays under the path, or none does. Null
 * as `want`: it came in no form that could be an index file, or not at all.
 */
export interface Held {
  readonly have: Checksum | null
  readonly want: Checksum | null
  readonly reason: string
  readonly since: string
  readonly tries: number
}

/**
 * An artifact that its origin says is not there: seen first and last, believed after an hour, or
 * at once where an operator accepted it.
 */
export interface Absent {
  readonly crate: string
  readonly version: string
  readonly first: string
  readonly last: string
  readonly status: number
  readonly accepted?: boolean
}

/** The index of only what is here, as a tree of its own (`select.prune-index`). */
export interface PrunedIndex {
  readonly tree: Checksum
  readonly entries: number
}

/**
 * One state of the mirror, decided whole before a reader sees any of it. `n` is this mirror's own
 * counter; `held` is keyed by index path, `absent` by the artifact's checksum; `selected` names the
 * record of what the mirror holds of all that its index lists, and is left out where that is all;
 * `pruned` is what stands under the paths and what the site signs, where that is not all of `tree`.
 */
export interface Snapshot {
  readonly format: 1
  readonly n: number
  readonly tree: Checksum
  readonly entries: number
  /** Null: nobody signed it, it was observed over TLS. */
  readonly metadata: MetadataVersions | null
  readonly held: Readonly<Record<IndexPath, Held>>
  readonly absent: Readonly<Record<Checksum, Absent>>
  readonly selected?: Checksum
  readonly pruned?: PrunedIndex
  /** Its metadata was taken past its end because an operator said so: until when, and why. */
  readonly override?: { readonly until: string; readonly reason: string }
  readonly at: string
}

export const rootRef = (tree: Checksum): TileRef => ({
  position: ROOT,
  hash: tree,
  count: undefined,
})

/** What is published, or undefined before the first snapshot. */
export function readPublished(root: string): Snapshot | undefined {
  return readRecord(join(root, PUBLISHED), isSnapshot)
}

/** What is decided and not yet finished. */
export function readNext(root: string): Snapshot | undefined {
  return readRecord(join(root, NEXT), isSnapshot)
}

/** The tree that the paths show and the site signs. */
export function shownTree({ tree, entries, pruned }: Snapshot): CountedRef {
  const shown = pruned ?? { tree, entries }
  return { position: ROOT, hash: shown.tree, count: shown.entries }
}

/** The checksum of the index file under `path`, given what the shown tree says of it. */
export function shownUnderPath(
  snapshot: Snapshot,
  path: IndexPath,
  inShownTree: Checksum | undefined,
): Checksum | undefined {
  return snapshot.pruned === undefined ? underPath(snapshot, path, inShownTree) : inShownTree
}

/** The checksum of the whole index file that counts, given what the snapshot's tree says of it. */
export function underPath(
  snapshot: Pick<Snapshot, 'held'> | undefined,
  path: IndexPath,
  inTree: Checksum | undefined,
): Checksum | undefined {
  const held = snapshot?.held[path]
  return held === undefined ? inTree : (held.have ?? undefined)
}

const HOUR_MS = 3_600_000

/** One sighting may be a fault of the moment; two, at least an hour apart, are believed. */
export function isBelieved(absent: Absent): boolean {
  if (absent.accepted === true) return true
  return Date.parse(absent.last) - Date.parse(absent.first) >= HOUR_MS
}

export function isSnapshot(value: unknown): value is Snapshot {
  return (
    isObject(value) &&
    value['format'] === 1 &&
    Number.isSafeInteger(value['n']) &&
    isChecksum(value['tree']) &&
    Number.isSafeInteger(value['entries']) &&
    (value['metadata'] === null || isMetadataVersions(value['metadata'])) &&
    isObject(value['held']) &&
    Object.entries(value['held']).every(([path, held]) => isHeld(path, held)) &&
    isObject(value['absent']) &&
    Object.entries(value['absent']).every(([checksum, gone]) => isAbsent(checksum, gone)) &&
    (value['selected'] === undefined || isChecksum(value['selected'])) &&
    (value['pruned'] === undefined || isPrunedIndex(value['pruned'])) &&
    typeof value['at'] === 'string'
  )
}

function isPrunedIndex(value: unknown): value is PrunedIndex {
  return isObject(value) && isChecksum(value['tree']) && Number.isSafeInteger(value['entries'])
}

function isMetadataVersions(value: unknown): value is MetadataVersions {
  const roles = ['root', 'timestamp', 'snapshot', 'targets']
  return isObject(value) && roles.every(role => Number.isSafeInteger(value[role]))
}

function isHeld(path: string, held: unknown): held is Held {
  return (
    parseIndexPath(path) !== undefined &&
    isObject(held) &&
    (held['have'] === null || isChecksum(held['have'])) &&
    (held['want'] === null || isChecksum(held['want'])) &&
    typeof held['reason'] === 'string' &&
    typeof held['since'] === 'string' &&
    Number.isSafeInteger(held['tries'])
  )
}

function isAbsent(checksum: string, gone: unknown): gone is Absent {
  return (
    isChecksum(checksum) &&
    isObject(gone) &&
    ['crate', 'version', 'first', 'last'].every(key => typeof gone[key] === 'string') &&
    Number.isSafeInteger(gone['status'])
  )
}
