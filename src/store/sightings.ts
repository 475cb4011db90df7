import { join } from 'node:path'
import type { IndexPath } from '../registry/sparse-path.ts'
import { parseIndexPath } from '../registry/sparse-path.ts'
import { SIGHTINGS } from './layout.ts'
import { replaceOrDiscard } from './publish.ts'
import { isObject, readRecord } from './record.ts'
import type { Writer } from './writer.ts'

/**
 * Something published was not there when an unsigned upstream was looked at. `versions` are those
 * that a crate's file no longer has; null: the file itself was not there.
 */
export interface Sighting {
  readonly first: string
  readonly last: string
  readonly status: number
  readonly versions: readonly string[] | null
}

export type Sightings = Readonly<Record<IndexPath, Sighting>>

const HOUR_MS = 3_600_000

/** One sighting may be a fault of the moment or a stale copy; two, an hour apart, are believed. */
export function isConfirmed({ first, last }: Sighting): boolean {
  return Date.parse(last) - Date.parse(first) >= HOUR_MS
}

export function readSightings(root: string): Sightings {
  return readRecord(join(root, SIGHTINGS), areSightings) ?? {}
}

export async function writeSightings(writer: Writer, sightings: Sightings): Promise<void> {
  await replaceOrDiscard(writer, SIGHTINGS, sightings)
}

function areSightings(value: unknown): value is Sightings {
  return isObject(value) && Object.entries(value).every(([path, seen]) => isSighting(path, seen))
}

function isSighting(path: string, seen: unknown): boolean {
  return (
    parseIndexPath(path) !== undefined &&
    isObject(seen) &&
    typeof seen['first'] === 'string' &&
    typeof seen['last'] === 'string' &&
    Number.isSafeInteger(seen['status']) &&
    (seen['versions'] === null || Array.isArray(seen['versions']))
  )
}
