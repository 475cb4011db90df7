import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { MirrorError } from '../error.ts'
import { parseSnapshotName } from '../store/file-names.ts'
import { readLanding } from '../store/landing.ts'
import {
  ABSENT,
  HELD,
  LANDING,
  NEXT,
  PUBLISHED,
  SNAPSHOTS,
  snapshotFile,
  tileFile,
} from '../store/layout.ts'
import { readRecord, recordBytes } from '../store/record.ts'
import { isSnapshot, readNext, type Snapshot } from '../store/snapshot.ts'
import { ROOT } from '../tree/entry.ts'
import { entriesIn, oddity, readRegular } from './verify-files.ts'
import { type Fault, type Finding, fault, warning } from './verify-finding.ts'

/** Records stand twice, so that one of them vouches for the other; more than this is none of ours. */
const RECORD_BYTES_MAX = 256 * 1024 * 1024

/**
 * The snapshot that this mirror shows. `published` says so; where it is damaged the record of the
 * same snapshot does, and where the two differ the one that the other files agree with. Of `at`
 * there is no third copy: where only that differs `published` counts.
 */
export function shownSnapshot(root: string): Snapshot | undefined {
  const published = recordAt(root, PUBLISHED)
  const newest = newestRecord(root)
  if (published === undefined || newest === undefined) return published ?? newest
  const own = recordAt(root, snapshotFile(published.n)) ?? newest
  return witnesses(root, own) > witnesses(root, published) ? own : published
}

/** Each record against the snapshot, byte for byte: all are written from it (P4). */
export function* recordFindings(
  root: string,
  shown: Snapshot | undefined,
  next: Snapshot | undefined,
): Generator<Finding> {
  yield* underWay(root)
  if (shown === undefined) {
    yield warning('nothing is published yet')
  } else {
    yield* compared(root, PUBLISHED, shown)
    yield* compared(root, snapshotFile(shown.n), shown)
    yield* comparedWith(root, HELD, [shown.held, next?.held])
    yield* comparedWith(root, ABSENT, [shown.absent, next?.absent])
  }
  yield* olderRecords(root, shown?.n)
}

/** What a killed writer leaves, or a living one has in hand. */
function* underWay(root: string): Generator<Finding> {
  if (readLanding(root) !== undefined) {
    yield warning(`${LANDING} is there: the next writer proves the names in it`)
  }
  try {
    const next = readNext(root)
    if (next !== undefined) yield warning(`${NEXT} is there: the next writer publishes ${next.n}`)
  } catch (error) {
    yield damagedRecord(NEXT, (error as Error).message)
  }
}

/** A writer that was killed, or is at it, may have written some records of the next snapshot. */
function* comparedWith(
  root: string,
  file: string,
  [shown, next]: readonly [object, object | undefined],
): Generator<Fault> {
  if (next === undefined || compared(root, file, next).next().done !== true) {
    yield* compared(root, file, shown)
  }
}

function* compared(root: string, file: string, record: object): Generator<Fault> {
  const isEmpty = Object.keys(record).length === 0
  const found = readRegular(root, file, RECORD_BYTES_MAX)
  if (found === undefined) {
    const isThere = existsSync(join(root, file))
    if (isThere) yield damagedRecord(file, `${file}: no file that can be read`)
    else if (!isEmpty) yield fault('missing', file, 'missing', { named: { kind: 'record' } })
    return
  }
  const expected = isEmpty ? Buffer.alloc(0) : recordBytes(record)
  if (Buffer.compare(found, expected) === 0) return
  yield damagedRecord(file, `${file}: differs from the published snapshot`)
}

function* olderRecords(root: string, shown: number | undefined): Generator<Fault> {
  for (const entry of entriesIn(root, SNAPSHOTS)) {
    const file = `${SNAPSHOTS}/${entry.name}`
    const n = parseSnapshotName(entry.name)
    if (n === undefined || !entry.isFile()) {
      yield fault('unexpected', file, `${oddity(entry)} that is no record of a snapshot`)
    } else if (n !== shown && recordAt(root, file)?.n !== n && existsSync(join(root, file))) {
      // nothing says what it was: it goes to evidence. One that is gone by now was pruned
      yield fault('damaged', file, `not the record of snapshot ${n}`)
    }
  }
}

function damagedRecord(file: string, what: string): Fault {
  return { kind: 'damaged', file, what, named: { kind: 'record' } }
}

/** A record of the form and in the very spelling we write; undefined: missing or damaged. */
function recordAt(root: string, file: string): Snapshot | undefined {
  try {
    const record = readRecord(join(root, file), isSnapshot)
    const bytes = readRegular(root, file, RECORD_BYTES_MAX)
    if (record === undefined || bytes === undefined) return undefined
    return Buffer.compare(bytes, recordBytes(record)) === 0 ? record : undefined
  } catch (error) {
    if (error instanceof MirrorError) return undefined
    throw error
  }
}

function newestRecord(root: string): Snapshot | undefined {
  const numbers = entriesIn(root, SNAPSHOTS).map(({ name }) => Number.parseInt(name, 10))
  for (const n of numbers.filter(n => n > 0).sort((a, b) => b - a)) {
    const record = recordAt(root, snapshotFile(n))
    if (record?.n === n) return record
  }
  return undefined
}

/** How many other files agree with a record. */
function witnesses(root: string, snapshot: Snapshot): number {
  const { tree, n, held, absent, metadata } = snapshot
  const agreeing = [
    existsSync(join(root, tileFile(ROOT, tree))),
    existsSync(join(root, snapshotFile(n))),
    compared(root, HELD, held).next().done === true,
    compared(root, ABSENT, absent).next().done === true,
    ...Object.entries(metadata ?? {}).map(([role, version]) =>
      existsSync(metadataAt(root, role, version)),
    ),
  ]
  return agreeing.filter(Boolean).length
}

function metadataAt(root: string, role: string, version: number): string {
  return join(
    root,
    'public/tuf',
    role === 'timestamp' ? 'timestamp.json' : `${version}.${role}.json`,
  )
}
