import type { Checksum } from '../registry/checksum.ts'
import type { CrateName } from '../registry/crate-name.ts'
import { type IndexPath, indexPath } from '../registry/sparse-path.ts'
import { type Absent, type Held, isBelieved, type Snapshot } from '../store/snapshot.ts'
import type { Failure, Fetched } from './crates.ts'
import { guardMissing } from './guards.ts'
import type { Change } from './plan.ts'
import { type Run, stamp } from './run.ts'

/** The verdict on every changed crate: what is held, and what is taken as absent at its origin. */
export interface Verdicts {
  readonly held: Readonly<Record<IndexPath, Held>>
  readonly absent: Readonly<Record<Checksum, Absent>>
}

/**
 * A crate whose index file or artifact could not be had is held: its old file stays published. An
 * artifact that its origin says is not there, twice and an hour apart, is absent and holds nothing.
 */
export function decide(
  run: Run,
  published: Snapshot | undefined,
  changes: readonly Change[],
  fetched: Fetched,
): Verdicts {
  const missing = [...fetched.failed.values()].flat().filter(f => f.outcome.kind === 'missing')
  if (run.settings.origin) guardMissing(run, { artifacts: missing.length, of: fetched.asked })
  const absent = {
    ...stillAbsent(published, changes, fetched),
    ...sightings(run, published, missing),
  }
  const held: Record<IndexPath, Held> = {}
  for (const change of changes) {
    const reason = reasonToHold(change, fetched, absent)
    if (change.want === undefined || reason === undefined) continue
    const before = published?.held[change.path]
    held[change.path] = {
      have: change.have ?? null,
      want: change.want.sha256,
      reason,
      since: before?.since ?? stamp(run.now()),
      tries: (before?.tries ?? 0) + 1,
    }
  }
  return { held, absent }
}

/** Sightings count only of an origin, or where the operator accepted this many. */
function sightings(
  run: Run,
  published: Snapshot | undefined,
  missing: readonly Failure[],
): Record<Checksum, Absent> {
  const fresh = missing.filter(({ wanted }) => !isKnown(published, wanted.checksum))
  const isAccepted = run.accepted.absent > 0 && fresh.length <= run.accepted.absent
  if (!run.settings.origin && !isAccepted) return {}
  const now = stamp(run.now())
  const seen: Record<Checksum, Absent> = {}
  for (const { wanted, outcome } of missing) {
    if (outcome.kind !== 'missing') continue
    const before = published?.absent[wanted.checksum]
    seen[wanted.checksum] = {
      crate: wanted.crate,
      version: wanted.version,
      first: before?.first ?? now,
      last: now,
      status: outcome.status,
      ...(isAccepted && { accepted: true }),
    }
  }
  return seen
}

function isKnown(published: Snapshot | undefined, checksum: Checksum): boolean {
  const before = published?.absent[checksum]
  return before !== undefined && isBelieved(before)
}

/** Earlier records that this run does not contradict: of other crates, or asked for in vain again. */
function stillAbsent(
  published: Snapshot | undefined,
  changes: readonly Change[],
  fetched: Fetched,
): Record<Checksum, Absent> {
  const changed = new Set(changes.map(change => change.path))
  const records = Object.entries(published?.absent ?? {}) as [Checksum, Absent][]
  return Object.fromEntries(
    records.filter(([checksum, { crate }]) => {
      const path = indexPath(crate as CrateName)
      const failures = fetched.failed.get(path) ?? []
      return (
        !changed.has(path) ||
        fetched.refused.has(path) ||
        failures.some(({ wanted }) => wanted.checksum === checksum)
      )
    }),
  )
}

function reasonToHold(
  { path }: Change,
  fetched: Fetched,
  absent: Readonly<Record<Checksum, Absent>>,
): string | undefined {
  const refusal = fetched.refused.get(path)
  if (refusal !== undefined) return refusal.reason
  const failures = (fetched.failed.get(path) ?? []).filter(({ wanted }) => {
    const record = absent[wanted.checksum]
    return record === undefined || !isBelieved(record)
  })
  const [first] = failures
  if (first === undefined) return undefined
  const more = failures.length > 1 ? ` (and ${failures.length - 1} more)` : ''
  return `${first.wanted.crate}@${first.wanted.version}: ${first.outcome.reason}${more}`
}
