import { statfsSync } from 'node:fs'
import { MirrorError, quoted } from '../error.ts'
import type { Checksum } from '../registry/checksum.ts'
import { ChecksumSet } from '../registry/checksum-set.ts'
import type { Selection } from '../registry/selection.ts'
import { breathe } from '../store/durable.ts'
import { partialFile } from '../store/layout.ts'
import { ChecksumMismatch, Partial } from '../store/partial.ts'
import type { Snapshot } from '../store/snapshot.ts'
import type { Claim } from '../upstream/claim.ts'
import type { ArtifactVolume, PassingArtifact, Upstream } from '../upstream/upstream.ts'
import { bringIndexFiles } from './bring-index-files.ts'
import { counted, type Removed } from './crates.ts'
import { examineAll } from './examine.ts'
import { guardRemovals } from './guards.ts'
import { Listing, type Use } from './listing.ts'
import type { Change } from './plan.ts'
import type { Run } from './run.ts'

/** What volumes have of what is needed, before one of them is read. */
export interface Carried {
  /** Artifacts that are needed and that some volume says it has, and their bytes. */
  readonly artifacts: number
  readonly bytes: number
  /** Members that are here already, and those that nobody needs. */
  readonly present: number
  readonly foreign: number
}

interface Wanted {
  readonly volume: ArtifactVolume
  /** Paths of the members to take; undefined: its index is lost, so each member is asked about. */
  readonly paths: ReadonlySet<string> | undefined
}

/** Where a run stands when its plan is made. */
interface Planned {
  readonly published: Snapshot | undefined
  readonly tree: Checksum
  readonly changes: readonly Change[]
  readonly selection: Selection | undefined
}

/**
 * What is carried on media comes before anything is asked for by name: index files in the order of
 * their paths, then, past the guards, each volume that has something needed, once and forward, each
 * artifact straight into its partial and with its batch to its name. What does not come right is left
 * to the examination, which asks for it by name and says what is missing.
 */
export async function bringCarried(
  run: Run,
  upstream: Upstream,
  planned: Planned,
  { command }: { readonly command: string },
): Promise<void> {
  const { wanted, carried, listing } = await surveyCarried(run, upstream, planned)
  if (planned.published !== undefined) await guard(run, upstream, planned, command)
  requireRoom(run, carried)
  run.progress.phase = 'fetch'
  run.progress.artifacts = carried.artifacts
  run.progress.present = carried.present
  run.progress.foreign = carried.foreign
  for (const one of wanted) await bring(run, listing, one)
  await run.landing.settle()
}

/** Before anything is copied: a guard that trips after hours has cost them. */
async function guard(
  run: Run,
  upstream: Upstream,
  { published, changes, selection }: Planned,
  command: string,
): Promise<void> {
  const removed: Removed[] = []
  for await (const { change, removed: versions } of examineAll(run, upstream, changes, selection)) {
    const all = change.want === undefined
    if (versions.length > 0 || all) removed.push({ path: change.path, versions, all })
  }
  guardRemovals(run, published, counted(removed), command)
}

/** Lands the index files, and looks what the volumes say they have of what those list. */
export async function surveyCarried(
  run: Run,
  upstream: Upstream,
  { tree, changes, selection }: Planned,
): Promise<{
  readonly wanted: readonly Wanted[]
  readonly carried: Carried
  readonly listing: Listing
}> {
  const byPath = changes.toSorted((a, b) => (a.path < b.path ? -1 : 1))
  await bringIndexFiles(run, upstream, byPath)
  const listing = new Listing(run, { tree, changes, selection })
  const volumes = [...(upstream.volumes?.(tree) ?? [])]
  return { ...(await survey(run, listing, volumes)), listing }
}

async function survey(
  run: Run,
  listing: Listing,
  volumes: readonly ArtifactVolume[],
): Promise<{ readonly wanted: readonly Wanted[]; readonly carried: Carried }> {
  const coming = new ChecksumSet()
  const carried = { artifacts: 0, bytes: 0, present: 0, foreign: 0 }
  const wanted: Wanted[] = []
  for (const volume of volumes) {
    const claims = volume.claims()
    if (claims === undefined) {
      wanted.push({ volume, paths: undefined })
      continue
    }
    const paths = new Set<string>()
    for (const claim of claims) {
      await breathe()
      run.signal.throwIfAborted()
      const use = await listing.use(claim, volume)
      if (use.kind === 'foreign') carried.foreign += 1
      else if (use.kind === 'here') carried.present += 1
      else if (coming.add(use.checksum)) {
        paths.add(claim.path)
        carried.artifacts += 1
        carried.bytes += claim.size
      }
    }
    if (paths.size > 0) wanted.push({ volume, paths })
  }
  return { wanted, carried }
}

const SLACK = 1.05

/** Exactly what is missing and a twentieth, past the reserve: a disk that fills is noticed before the first write. */
function requireRoom(run: Run, { artifacts, bytes }: Carried): void {
  const { root } = run.writer.mirror
  const { bavail, bsize, files, ffree } = statfsSync(root)
  const needed = Math.ceil((bytes + (artifacts * bsize) / 2) * SLACK)
  const free = bavail * bsize
  const { reserveBytes } = run.settings
  if (artifacts > 0 && free < needed + reserveBytes) {
    throw new MirrorError(
      'no-space',
      `${root} has ${free} bytes free, ${artifacts} artifacts need ${needed} and the reserve is ${reserveBytes}; none was written`,
    )
  }
  if (artifacts > 0 && files > 0 && ffree < artifacts * SLACK) {
    throw new MirrorError('no-space', `${root} has ${ffree} inodes left, ${artifacts} are needed`)
  }
}

async function bring(run: Run, listing: Listing, { volume, paths }: Wanted): Promise<void> {
  const isNeeded = ({ path }: Claim): boolean => paths === undefined || paths.has(path)
  const members = volume.members(isNeeded, { signal: run.signal })
  for await (const member of members) {
    const use = await listing.use(member.claim, volume)
    if (use.kind === 'needed') await take(run, listing, member, use, volume)
  }
}

async function take(
  run: Run,
  listing: Listing,
  { claim, body, lost }: PassingArtifact,
  { final, checksum }: Use & { readonly kind: 'needed' },
  { isForTarget }: ArtifactVolume,
): Promise<void> {
  try {
    if ('pieces' in body) await run.landing.addBytes(final, joined(body.pieces))
    else await takeLong(run, final, checksum, body.chunks)
    run.progress.artifactsDone += 1
    run.progress.bytes += claim.size
  } catch (error) {
    if (!(error instanceof ChecksumMismatch)) throw error
    if (isForTarget && listing.lists(error.found)) {
      throw new MirrorError(
        'refused',
        `${quoted(claim.path)} has the bytes of another artifact (sha256 ${error.found})`,
      )
    }
    lost()
  }
}

/** A leftover is written over: it is bytes only, and here are all of them. */
async function takeLong(
  run: Run,
  final: string,
  checksum: Checksum,
  chunks: AsyncIterable<Uint8Array>,
): Promise<void> {
  const partial = Partial.empty(run.writer.at(partialFile(checksum)))
  await partial.restart()
  for await (const chunk of chunks) partial.write(chunk)
  await partial.finish(checksum)
  await run.landing.add({ name: final, bytes: partial.length })
}

function joined(pieces: readonly Uint8Array[]): Uint8Array {
  const [first, second] = pieces
  return first !== undefined && second === undefined ? first : Buffer.concat(pieces)
}
