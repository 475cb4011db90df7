import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Checksum } from '../registry/checksum.ts'
import type { IndexPath } from '../registry/sparse-path.ts'
import { flush } from '../store/durable.ts'
import {
  ABSENT,
  EVIDENCE,
  HELD,
  indexFile,
  indexFileByHash,
  PUBLISHED,
  snapshotFile,
  tileFile,
} from '../store/layout.ts'
import { hashFile } from '../store/partial.ts'
import { publish, replaceOrDiscard } from '../store/publish.ts'
import { takeAway } from '../store/quarantine.ts'
import { recordBytes } from '../store/record.ts'
import { type Held, readPublished, rootRef, type Snapshot } from '../store/snapshot.ts'
import { localTiles } from '../store/tiles.ts'
import { lookUp } from '../tree/prove.ts'
import { parseTile } from '../tree/tile.ts'
import { HostGone } from '../upstream/faults.ts'
import { obtainArtifact } from './artifact.ts'
import { verifiedIndexFile } from './examine.ts'
import { isVerdict } from './faults.ts'
import { pruneAgain } from './prune-again.ts'
import { rebuildTiles } from './rebuild.ts'
import { type ByHash, NOBODY, recover } from './recover.ts'
import { type Run, type Source, stamp } from './run.ts'
import { selectAgain } from './select-again.ts'
import { type Target, verify } from './verify.ts'
import { type Fault, type Finding, isFault } from './verify-finding.ts'
import { shownSnapshot } from './verify-records.ts'

/** What gives files by their hash and artifacts: a signed repository, a registry that is observed. */
export type Mender = Source & ByHash

export interface RepairReport {
  readonly mended: number
  /** What is still wrong, by a second verification. */
  readonly left: readonly Fault[]
}

/**
 * Mends what `verify` found: wrong files go to `evidence/`, right ones are fetched by their hash and
 * land as in a sync, names and records are made again, and `again` is read once more. What cannot be had is held as damaged, and
 * every sync tries it. A crash leaves fewer faults; the same command goes on.
 */
export async function repair(
  run: Run,
  upstream: Mender | undefined,
  { findings, again }: { readonly findings: readonly Finding[]; readonly again: Target },
): Promise<RepairReport> {
  const seen = new Map<string, Fault>()
  const held = new Map<string, Fault>()
  let faults = findings.filter(isFault)
  // lost tiles hide what lies below them: what they hid is mended in the next round
  for (let round = 0; round < ROUNDS_MAX && faults.length > 0; round += 1) {
    for (const fault of faults) seen.set(fault.file, fault)
    for (const fault of await mendAll(run, upstream, faults)) held.set(fault.file, fault)
    faults = await faultsNow(run, again)
  }
  // held as damaged is no fault of the next verification, but it is not mended either
  const left = new Map([...held, ...faults.map(fault => [fault.file, fault] as const)])
  return { mended: Math.max(0, seen.size - left.size), left: [...left.values()] }
}

const ROUNDS_MAX = 3

async function faultsNow(run: Run, target: Target): Promise<Fault[]> {
  const { writer, progress, settings, signal } = run
  const look = { target, url: settings.url, progress, now: run.now() }
  const findings = await Array.fromAsync(verify(writer.mirror.root, { ...look, signal }))
  return findings.filter(isFault)
}

/** One round; returns the faults whose crates are held now. */
async function mendAll(
  run: Run,
  upstream: Mender | undefined,
  faults: readonly Fault[],
): Promise<Fault[]> {
  const { root } = run.writer.mirror
  await run.writer.mirror.assertStillHere()
  const snapshot = shownSnapshot(root)
  if (faults.some(({ named }) => named?.kind === 'record')) await mendRecords(run, snapshot)
  for (const fault of faults) await putAside(run, fault)
  await recover(run, upstream ?? NOBODY)
  const damaged = new Map<IndexPath, string>()
  const held: Fault[] = []
  // whatever the order they were found in: tiles and index files before what they name
  for (const kind of ORDER) {
    const ofKind = faults.filter(({ named }) => named?.kind === kind)
    for (const fault of ofKind) {
      const reason = await mend(run, upstream, fault)
      if (reason === undefined || fault.named === undefined || !('path' in fault.named)) continue
      damaged.set(fault.named.path, reason)
      held.push(fault)
    }
    await run.landing.settle()
    // a pruned index follows from the whole files and from what is here
    if (kind === 'artifact' && faults.some(isOfIndex)) await pruneAgain(run)
    if (kind === 'tile' && ofKind.some(({ file }) => !existsSync(run.writer.at(file)))) {
      await rebuildTiles(run, snapshot)
    }
  }
  await flushNames(run, faults)
  if (faults.some(({ named }) => named?.kind === 'selection')) await selectAgain(run)
  await holdDamaged(run, damaged)
  return held
}

const isOfIndex = ({ named }: Fault): boolean => named?.kind === 'pruned' || named?.kind === 'tile'

const ORDER = ['withdrawn', 'metadata', 'tile', 'index file', 'artifact', 'by path'] as const

/** What is written again over what is there, or has a place of its own to go to. */
const KEPT_IN_PLACE: readonly string[] = ['record', 'config.json', 'metadata', 'withdrawn']

/** Evidence is kept under a name that says what it was; a folder or a link goes there whole. */
async function putAside(run: Run, { file, kind, named }: Fault): Promise<void> {
  if (kind === 'missing' || KEPT_IN_PLACE.includes(named?.kind ?? '')) return
  const at = stamp(run.now()).replaceAll(/[:-]/g, '')
  await run.writer.move(file, `${EVIDENCE}/${at}-${file.replaceAll('/', '.')}`)
}

/** Undefined: mended. Else why not, for the record of the crate that waits for it. */
async function mend(
  run: Run,
  upstream: Mender | undefined,
  fault: Fault,
): Promise<string | undefined> {
  run.signal.throwIfAborted()
  try {
    return await mended(run, upstream, fault)
  } catch (error) {
    // a host that is gone leaves its crates held as well: here it is our bytes that are wrong
    const isAnswer = isVerdict(error, run.signal) || error instanceof HostGone
    if (!isAnswer || run.signal.aborted) throw error
    return `damaged: ${error.message}`
  }
}

async function mended(
  run: Run,
  upstream: Mender | undefined,
  { file, named }: Fault,
): Promise<string | undefined> {
  const { writer, landing, settings, signal } = run
  switch (named?.kind) {
    case 'metadata':
      if (named.right !== undefined) await writer.replace(file, named.right)
      return undefined
    case 'withdrawn':
      await takeAway(writer, named.checksum, [file])
      return undefined
    case 'tile': {
      if (upstream === undefined) return undefined
      const { ref } = named
      const bytes = await upstream.tile(ref.position, ref.hash, { signal })
      parseTile(bytes, ref)
      await landing.addBytes(tileFile(ref.position, ref.hash), bytes)
      return undefined
    }
    case 'index file': {
      const { path, checksum, length } = named
      if (upstream === undefined || length === undefined) return `damaged: ${file}`
      const entry = { path, length, sha256: checksum }
      const bytes = await verifiedIndexFile(upstream, entry, settings.tries, signal)
      await landing.addBytes(indexFileByHash(path, checksum), bytes)
      return undefined
    }
    case 'by path': {
      const byHash = indexFileByHash(named.path, named.checksum)
      if (!existsSync(writer.at(byHash))) return `damaged: ${file}`
      await writer.link(byHash, indexFile(named.path))
      return undefined
    }
    case 'artifact': {
      if (upstream === undefined) return `damaged: ${file}`
      const outcome = await obtainArtifact(run, upstream, named.wanted, {
        isBegun: true,
        signal,
      })
      if (outcome.kind !== 'whole') return `damaged: ${outcome.reason}`
      await landing.add({ name: file, bytes: outcome.bytes })
      return undefined
    }
    default:
      return undefined
  }
}

/** All records are written from the snapshot that is shown. */
async function mendRecords(run: Run, snapshot: Snapshot | undefined): Promise<void> {
  if (snapshot === undefined) return
  const { writer } = run
  await replaceOrDiscard(writer, HELD, snapshot.held)
  await replaceOrDiscard(writer, ABSENT, snapshot.absent)
  await writer.replace(snapshotFile(snapshot.n), recordBytes(snapshot))
  await writer.replace(PUBLISHED, recordBytes(snapshot))
}

async function flushNames({ writer }: Run, faults: readonly Fault[]): Promise<void> {
  const folders = new Set(faults.map(({ file }) => dirname(writer.at(file))))
  const there = [...folders].filter(folder => existsSync(folder))
  await flush(writer.mirror.root, { files: [], folders: there })
}

/**
 * Of a crate whose index file is right that stays under its path, and the record says why a build
 * may not get an artifact; where it is not, nothing stays.
 */
async function holdDamaged(run: Run, damaged: ReadonlyMap<IndexPath, string>): Promise<void> {
  const { root } = run.writer.mirror
  const published = readPublished(root)
  if (damaged.size === 0 || published === undefined) return
  const held: Record<IndexPath, Held> = { ...published.held }
  for (const [path, reason] of damaged) {
    const before = published.held[path]
    const entry = await lookUp(rootRef(published.tree), path, localTiles(root))
    const shown = before?.have ?? entry?.sha256
    const want = before?.want ?? entry?.sha256
    if (want === undefined) continue
    const isHere = shown !== undefined && (await isRight(run, indexFileByHash(path, shown), shown))
    held[path] = {
      have: isHere ? shown : null,
      want,
      reason,
      since: before?.since ?? stamp(run.now()),
      tries: (before?.tries ?? 0) + 1,
    }
  }
  await publish(run.writer, { ...published, n: published.n + 1, held, at: stamp(run.now()) })
}

async function isRight(run: Run, file: string, checksum: Checksum): Promise<boolean> {
  return (await hashFile(run.writer.at(file)))?.hash.digest('hex') === checksum
}
