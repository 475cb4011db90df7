import { dirname } from 'node:path'
import { MirrorError } from '../error.ts'
import type { Checksum } from '../registry/checksum.ts'
import { breathe, flush } from '../store/durable.ts'
import { finishLanding } from '../store/landing.ts'
import { artifactFile, snapshotFile } from '../store/layout.ts'
import { finishNext } from '../store/publish.ts'
import { discardSelections } from '../store/selected.ts'
import { type UnnamedArtifacts, unnamedArtifacts } from './prune-artifacts.ts'
import {
  add,
  bytesOf,
  supersededMetadata,
  type Tally,
  unnamedIndexFiles,
  unnamedTiles,
} from './prune-files.ts'
import { type Kept, keptOf } from './prune-kept.ts'
import { type Marks, markNamed } from './prune-marks.ts'
import type { Run } from './run.ts'

export interface PruneOptions {
  /** How long a snapshot stays after the next one took its place. */
  readonly keepDays: number
  readonly isDryRun: boolean
  /** Trees that exports need. */
  readonly alsoKept: readonly Checksum[]
  /** Whether more than the bound may go. */
  readonly isConfirmed: boolean
}

/** What went, or would go. */
export interface PruneReport {
  /** Numbers of the snapshots that were past their keeping. */
  readonly snapshots: readonly number[]
  readonly metadata: Tally
  readonly tiles: Tally
  readonly indexFiles: Tally
  readonly artifacts: Tally
  /** All artifacts there were. */
  readonly of: Tally
  /** Whether so much goes only where it is confirmed. */
  readonly isMuch: boolean
  /** Artifacts as `{prefix}/{sha256}`, the first thousand: what crate they were nothing says. */
  readonly removed: readonly string[]
}

/**
 * Removes what nothing names (P20). The caller holds the lock; readers need not stop, since what
 * they are shown is named. What a crash leaves after each step, and who mends it:
 *
 *   finish     as before; what an earlier run began is finished by the functions that began it
 *   mark       as before: it only reads. What it cannot read could name anything, and stops it
 *   count      as before
 *   forget     fewer records of old snapshots; what they named is named by nothing now
 *   remove     files that nothing names; the next prune removes the rest
 *
 * A record goes, durably, before anything that it names: at no moment is a snapshot remembered that
 * is not whole. Index files go before artifacts for the same reason.
 */
export async function prune(run: Run, options: PruneOptions): Promise<PruneReport> {
  const { writer, signal } = run
  const { root } = writer.mirror
  run.progress.phase = 'prune'
  if (!options.isDryRun) {
    await finishLanding(writer)
    await finishNext(writer)
  }
  const kept = keptOf(root, { ...options, now: run.now() })
  const marks = await markNamed(root, kept, signal)
  const artifacts = await unnamedArtifacts(root, marks, signal)
  const report = await counted(run, kept, marks, artifacts)
  if (options.isDryRun) return report
  if (report.isMuch && !options.isConfirmed) throw tooMuch(report)

  await writer.mirror.assertStillHere()
  await removeAll(run, kept.expired.map(snapshotFile))
  await discardSelections(writer)
  await removeAll(run, supersededMetadata(root, kept))
  await removeAll(run, unnamedTiles(root, marks))
  await removeAll(run, unnamedIndexFiles(root, marks))
  await removeAll(run, filesOf(artifacts))
  return report
}

/** More may not go unless it is confirmed: a fault of ours, or an attack, would look like this. */
const PERCENT_MAX = 10
const REMOVED_TOLD_MAX = 1000

async function counted(
  run: Run,
  kept: Kept,
  marks: Marks,
  artifacts: UnnamedArtifacts,
): Promise<PruneReport> {
  const { root } = run.writer.mirror
  const { all, unnamed } = artifacts
  const names = artifacts[Symbol.iterator]().take(REMOVED_TOLD_MAX)
  return {
    snapshots: kept.expired,
    metadata: await tallied(run, supersededMetadata(root, kept)),
    tiles: await tallied(run, unnamedTiles(root, marks)),
    indexFiles: await tallied(run, unnamedIndexFiles(root, marks)),
    artifacts: unnamed,
    of: all,
    isMuch: isAbove(unnamed.files, all.files) || isAbove(unnamed.bytes, all.bytes),
    removed: names.map(({ prefix, checksum }) => `${prefix}/${checksum}`).toArray(),
  }
}

async function tallied({ writer, signal }: Run, files: Iterable<string>): Promise<Tally> {
  const tally = { files: 0, bytes: 0 }
  for (const file of files) {
    signal.throwIfAborted()
    await breathe()
    add(tally, bytesOf(writer.mirror.root, file))
  }
  return tally
}

function isAbove(part: number, whole: number): boolean {
  return part * 100 > PERCENT_MAX * whole
}

function tooMuch({ artifacts, of }: PruneReport): MirrorError {
  const counts = `${artifacts.files} of ${of.files} artifacts, ${artifacts.bytes} of ${of.bytes} bytes`
  return new MirrorError(
    'guard',
    `this would remove ${counts}, more than ${PERCENT_MAX} %; nothing was removed. Look at prune --dry-run and, if that is right, run prune --yes`,
  )
}

function* filesOf(artifacts: UnnamedArtifacts): Generator<string> {
  for (const { prefix, checksum } of artifacts) yield artifactFile(prefix, checksum)
}

/** Through the fence, and durable when it resolves. Folders stay, be they empty or not. */
async function removeAll({ writer, signal }: Run, files: Iterable<string>): Promise<void> {
  const folders = new Set<string>()
  for (const file of files) {
    signal.throwIfAborted()
    await writer.remove(file)
    folders.add(dirname(writer.at(file)))
  }
  if (folders.size > 0) await flush(writer.mirror.root, { files: [], folders: [...folders] })
}
