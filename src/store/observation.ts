import { join } from 'node:path'
import type { IndexPath } from '../registry/sparse-path.ts'
import { OBSERVATION } from './layout.ts'
import { isObject, readRecord, recordBytes } from './record.ts'
import type { Writer } from './writer.ts'

/** A pass over every known index file. Only a closed one may become a snapshot. */
export interface Sweep {
  readonly started: string
  readonly why: string
  readonly closed: string | null
  /** Whether the snapshot of it was published. */
  readonly settled: boolean
}

/** How far a feed was read: its validators and its newest item then. */
export interface FeedPosition {
  readonly newest: string | null
  readonly etag: string | null
  readonly lastModified: string | null
}

/** What a feed told (null: a new crate) and the index did not show when it was looked at. */
export type Pending = Readonly<
  Record<IndexPath, { readonly version: string | null; readonly since: string }>
>

/** How far the watching of an unsigned upstream has come. Lost, it begins with a sweep. */
export interface Observation {
  readonly format: 1
  readonly sweep: Sweep | null
  readonly feeds: Readonly<Record<string, FeedPosition>>
  readonly pending: Pending
  /** When the list of all names was last read, and the advisories. */
  readonly namesAt: string | null
  readonly advisoriesAt: string | null
  /** Advisories that were acted on. */
  readonly advisories: readonly string[]
}

const NOTHING_OBSERVED: Observation = {
  format: 1,
  sweep: null,
  feeds: {},
  pending: {},
  namesAt: null,
  advisoriesAt: null,
  advisories: [],
}

export function readObservation(root: string): Observation {
  return readRecord(join(root, OBSERVATION), isObservation) ?? NOTHING_OBSERVED
}

export async function writeObservation(writer: Writer, observation: Observation): Promise<void> {
  await writer.replace(OBSERVATION, recordBytes(observation))
}

function isObservation(value: unknown): value is Observation {
  return (
    isObject(value) &&
    value['format'] === 1 &&
    (value['sweep'] === null || isSweep(value['sweep'])) &&
    isObject(value['feeds']) &&
    isObject(value['pending']) &&
    Array.isArray(value['advisories'])
  )
}

function isSweep(value: unknown): value is Sweep {
  return (
    isObject(value) &&
    typeof value['started'] === 'string' &&
    typeof value['why'] === 'string' &&
    (value['closed'] === null || typeof value['closed'] === 'string') &&
    typeof value['settled'] === 'boolean'
  )
}
