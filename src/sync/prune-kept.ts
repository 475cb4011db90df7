import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { MirrorError } from '../error.ts'
import type { Checksum } from '../registry/checksum.ts'
import { parseSnapshotName } from '../store/file-names.ts'
import { PUBLISHED, SITE, SNAPSHOTS, snapshotFile, TRUST, TUF } from '../store/layout.ts'
import { readRecord } from '../store/record.ts'
import { isSnapshot, readNext, readPublished, type Snapshot, shownTree } from '../store/snapshot.ts'
import { type Envelope, openEnvelope } from '../trust/envelope.ts'
import { readSnapshot, readTimestamp } from '../trust/snapshot.ts'
import { INDEX_TREE, indexTreeOf, readTargets } from '../trust/targets.ts'
import { damaged } from './prune-damage.ts'
import { entriesIn, readRegular } from './verify-files.ts'

/** What a mirror still needs, before anybody looks at what that names. */
export interface Kept {
  /** Newest first: `next`, the published one, those not past their keeping, those a chain signs. */
  readonly snapshots: readonly Snapshot[]
  /** Trees that a chain signs and no snapshot has, of a sync that was not finished, or that an export needs. */
  readonly begun: readonly Checksum[]
  /** Numbers of the snapshots that are past their keeping, ascending. */
  readonly expired: readonly number[]
  /** The chains that others read. */
  readonly shown: readonly ShownChain[]
}

/** A chain as its `timestamp.json` leads through it. */
interface ShownChain {
  readonly folder: string
  readonly snapshot: number
  readonly targets: number
  /** Undefined of a classic repository: the snapshots that followed it have its trees. */
  readonly tree: Checksum | undefined
}

const DAY_MS = 86_400_000

/**
 * A snapshot is kept until `keepDays` after the next one took its place: so long somebody may go on
 * with what it showed, however long it had stood before. The published one is always kept.
 */
export function keptOf(root: string, keeping: Keeping): Kept {
  const published = readPublished(root)
  const records = recordsIn(root)
  if (published === undefined && records.length > 0) throw damaged(PUBLISHED, 'is missing')
  const shown = [TUF, SITE].flatMap(folder => shownChain(root, folder) ?? [])
  const signed = [...new Set([...shown.flatMap(({ tree }) => tree ?? []), ...treesInTrust(root)])]

  const numbers = new Set([...unexpired(records, keeping), ...newestOf(signed, records)])
  if (published !== undefined) numbers.add(published.n)
  const decided = [readNext(root), published].filter(one => one !== undefined)
  const older = [...numbers].filter(n => n !== published?.n).sort((a, b) => b - a)
  const snapshots = [...decided, ...older.map(n => recordOf(root, n))]
  const trees = new Set(snapshots.flatMap(one => [one.tree, shownTree(one).hash]))
  return {
    snapshots,
    begun: [...new Set([...signed, ...keeping.alsoKept])].filter(tree => !trees.has(tree)),
    expired: records.filter(({ n }) => !numbers.has(n)).map(({ n }) => n),
    shown,
  }
}

interface Keeping {
  readonly keepDays: number
  /** Trees that something beside this room needs: what was exported. */
  readonly alsoKept: readonly Checksum[]
  readonly now: Date
}

/** The newest has no next one, and an instant that nobody can read keeps its snapshot. */
function unexpired(records: readonly Past[], { keepDays, now }: Keeping): number[] {
  const kept = records.filter((_, index) => {
    const replaced = Date.parse(records[index + 1]?.at ?? '')
    return !(now.getTime() - replaced >= keepDays * DAY_MS)
  })
  return kept.map(({ n }) => n)
}

/** Of several with one tree, whose metadata was renewed, the newest knows what is held. */
function newestOf(trees: readonly Checksum[], records: readonly Past[]): number[] {
  const has = ({ tree, shown }: Past, wanted: Checksum): boolean =>
    tree === wanted || shown === wanted
  return trees.flatMap(tree => records.findLast(record => has(record, tree))?.n ?? [])
}

/** What decides whether a snapshot stays: of the records, which may be very many, no more is held. */
interface Past extends Pick<Snapshot, 'n' | 'tree' | 'at'> {
  /** The tree that its paths show. */
  readonly shown: Checksum
}

function recordsIn(root: string): Past[] {
  const entries = entriesIn(root, SNAPSHOTS).filter(entry => entry.isFile())
  const numbers = entries.flatMap(({ name }) => parseSnapshotName(name) ?? [])
  return numbers
    .sort((a, b) => a - b)
    .map(number => {
      const record = recordOf(root, number)
      const { n, tree, at } = record
      return { n, tree, at, shown: shownTree(record).hash }
    })
}

function recordOf(root: string, n: number): Snapshot {
  const file = snapshotFile(n)
  const record = readRecord(join(root, file), isSnapshot)
  if (record?.n !== n) throw damaged(file, `is not the record of snapshot ${n}`)
  return record
}

const METADATA_BYTES_MAX = 64_000_000

/** Undefined where nobody is shown a chain: what is there was not finished. */
function shownChain(root: string, folder: string): ShownChain | undefined {
  if (!existsSync(join(root, folder, 'timestamp.json'))) return undefined
  const timestamp = readMetadata(root, `${folder}/timestamp.json`, readTimestamp)
  const snapshot = timestamp.snapshot.version
  const { targets } = readMetadata(root, `${folder}/${snapshot}.snapshot.json`, readSnapshot)
  const file = `${folder}/${targets.version}.targets.json`
  const tree = readMetadata(root, file, readTree)
  return { folder, snapshot, targets: targets.version, tree }
}

/** What was verified or signed last, and may not be public yet. */
function treesInTrust(root: string): Checksum[] {
  const files = Object.values(TRUST).map(folder => `${folder}/targets.json`)
  const there = files.filter(file => existsSync(join(root, file)))
  return there.flatMap(file => readMetadata(root, file, readTree) ?? [])
}

function readTree(envelope: Envelope): Checksum | undefined {
  const targets = readTargets(envelope)
  return targets.targets.has(INDEX_TREE) ? indexTreeOf(targets).tree : undefined
}

/**
 * Whether the signatures count is not asked: it was when the file was written. A tree that damaged
 * bytes name stands beside that of another copy, and keeps more.
 */
export function readMetadata<Read>(
  root: string,
  file: string,
  reader: (envelope: Envelope) => Read,
): Read {
  const bytes = readRegular(root, file, METADATA_BYTES_MAX)
  if (bytes === undefined) throw damaged(file, 'is missing')
  try {
    return reader(openEnvelope(bytes, file))
  } catch (error) {
    if (!(error instanceof MirrorError)) throw error
    throw damaged(file, 'is damaged', error)
  }
}
