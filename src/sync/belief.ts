import { readFileSync } from 'node:fs'
import { MirrorError } from '../error.ts'
import type { Checksum } from '../registry/checksum.ts'
import { type IndexFile, readIndexFile, rollbackOf } from '../registry/index-file.ts'
import type { IndexPath } from '../registry/sparse-path.ts'
import { indexFileByHash } from '../store/layout.ts'
import type { Observed } from '../store/observations.ts'
import { isConfirmed, readSightings, type Sighting, writeSightings } from '../store/sightings.ts'
import type { TreeChange } from '../tree/update.ts'
import { type Run, stamp } from './run.ts'

/** What is known of one crate when it is judged. */
export interface Case {
  readonly path: IndexPath
  /** What stands under the path now; undefined: nothing. */
  readonly have: Checksum | undefined
  readonly seen: Observed
  readonly status: number
}

const DAY_MS = 86_400_000

/** The malware advisory that tells of the loss of all these versions; undefined: none does. */
type AdvisoryAbout = (path: IndexPath, versions: readonly string[]) => string | undefined

/**
 * What of an unsigned upstream is believed. News is believed at once: artifacts prove themselves by
 * their checksums. A loss is believed when it was seen twice, at least an hour apart: a captive
 * portal, a fault of the CDN or a stale copy must not take from a mirror what it has. A crate that
 * is gone stays `holdDays` longer; a malware advisory about it takes both delays away.
 */
export class Belief {
  /** Why each loss was believed. */
  readonly reasons: Map<IndexPath, string> = new Map()
  readonly #run: Run
  readonly #holdMs: number
  readonly #advisoryAbout: AdvisoryAbout
  readonly #sightings: Map<IndexPath, Sighting>
  #isChanged = false

  constructor(
    run: Run,
    options: { readonly holdDays: number; readonly advisoryAbout: AdvisoryAbout },
  ) {
    this.#run = run
    this.#holdMs = options.holdDays * DAY_MS
    this.#advisoryAbout = options.advisoryAbout
    const known = Object.entries(readSightings(run.writer.mirror.root)) as [IndexPath, Sighting][]
    this.#sightings = new Map(known)
  }

  /** Crates to be looked at again: to confirm a sighting, or because their time is over. */
  due(now: Date): IndexPath[] {
    const isDue = (one: Sighting): boolean => {
      if (!isConfirmed(one)) return now.getTime() - Date.parse(one.first) >= HOUR_MS
      const ends = Date.parse(one.first) + this.#holdMs
      return now.getTime() >= ends && Date.parse(one.last) < ends
    }
    return [...this.#sightings].flatMap(([path, one]) => (isDue(one) ? [path] : []))
  }

  /** Losses that were sure in an earlier run, and are published still: a guard stopped it. */
  sure(now: Date): IndexPath[] {
    return [...this.#sightings].flatMap(([path, one]) =>
      this.#isSure(one, now.getTime()) ? [path] : [],
    )
  }

  /** What the tree shall say of the crate from now on; undefined: what it says already. */
  judge({ path, have, seen, status }: Case): TreeChange | undefined {
    if (seen.sha256 === have) return this.#settled(path)
    const { sha256, length } = seen
    const after = sha256 && { path, length, sha256 }
    if (have === undefined) {
      this.#settled(path)
      return after && { path, after }
    }
    const lost = after === undefined ? null : this.#lost(path, have, after.sha256)
    if (lost?.length === 0) {
      this.#settled(path)
      return { path, after }
    }
    const reason = this.#reasonToBelieve(path, have, status, lost)
    if (reason === undefined) return undefined
    this.reasons.set(path, reason)
    return { path, after }
  }

  /** What was believed is published. Until then a guard may stop it, and its sightings must not start anew. */
  async settle(): Promise<void> {
    for (const path of this.reasons.keys()) this.#settled(path)
    await this.save()
  }

  async save(): Promise<void> {
    if (!this.#isChanged) return
    await writeSightings(this.#run.writer, Object.fromEntries(this.#sightings))
    this.#isChanged = false
  }

  #reasonToBelieve(
    path: IndexPath,
    have: Checksum,
    status: number,
    versions: readonly string[] | null,
  ): string | undefined {
    const now = stamp(this.#run.now())
    const before = this.#sightings.get(path)
    const isSame = before !== undefined && isPartOf(versions, before.versions)
    const sighting = { first: isSame ? before.first : now, last: now, status, versions }
    this.#sightings.set(path, sighting)
    this.#isChanged = true
    const all = versions ?? this.#read(path, have).entries.map(({ version }) => version)
    const advisory = this.#advisoryAbout(path, all)
    if (advisory !== undefined) return advisory
    if (!this.#isSure(sighting, Date.parse(now))) return undefined
    const seen = `seen first ${sighting.first}, last ${now}`
    return versions === null ? `gone upstream (status ${status}), ${seen}` : `not listed, ${seen}`
  }

  /** Seen twice; and a crate that is gone has had its time. */
  #isSure(sighting: Sighting, now: number): boolean {
    const isOver = now - Date.parse(sighting.first) >= this.#holdMs
    return isConfirmed(sighting) && (sighting.versions !== null || isOver)
  }

  /** What was missed is back, or its loss is followed. */
  #settled(path: IndexPath): undefined {
    if (this.#sightings.delete(path)) this.#isChanged = true
  }

  /** Versions that the file under the path has and the new one has no more. */
  #lost(path: IndexPath, have: Checksum, want: Checksum): readonly string[] {
    return rollbackOf(this.#read(path, have), this.#read(path, want)).removed
  }

  #read(path: IndexPath, checksum: Checksum): IndexFile {
    const file = indexFileByHash(path, checksum)
    try {
      const bytes = readFileSync(this.#run.writer.at(file))
      return readIndexFile(bytes, path, { signed: true })
    } catch (error) {
      if (error instanceof MirrorError) throw error
      throw new MirrorError('damaged', `${file} is missing; run verify --repair`, { cause: error })
    }
  }
}

const HOUR_MS = 3_600_000

/** Whether the loss now is no more than the one that was seen before. */
function isPartOf(now: readonly string[] | null, before: readonly string[] | null): boolean {
  if (now === null || before === null) return now === before
  return now.every(version => before.includes(version))
}
