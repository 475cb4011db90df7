import { readFileSync } from 'node:fs'
import type { Checksum } from '../registry/checksum.ts'
import type { Selection } from '../registry/selection.ts'
import { type IndexPath, nameOfPath, prefixOfPath } from '../registry/sparse-path.ts'
import { artifactFile, indexFile, indexFileByHash } from '../store/layout.ts'
import { partialsLeft } from '../store/partial.ts'
import type { Wanted } from '../upstream/upstream.ts'
import { type Outcome, obtainArtifact } from './artifact.ts'
import { Downloads } from './downloads.ts'
import { type Examined, examineAll } from './examine.ts'
import { guardSpace } from './guards.ts'
import { LimitReached } from './limit-reached.ts'
import type { Change } from './plan.ts'
import type { Run, Source } from './run.ts'

/** An artifact that could not be had, and how that showed. */
export interface Failure {
  readonly wanted: Wanted
  readonly outcome: Exclude<Outcome, { kind: 'whole' }>
}

/** What the transfers of one run came to. A changed crate in neither map is whole. */
export interface Fetched {
  readonly failed: ReadonlyMap<IndexPath, readonly Failure[]>
  readonly refused: ReadonlyMap<IndexPath, NonNullable<Examined['refusal']>>
  readonly removed: readonly Removed[]
  /** `serde@1.0.0`: yanked since what is published, or no longer. */
  readonly yanked: readonly string[]
  readonly unyanked: readonly string[]
  readonly asked: number
  readonly landed: number
  /** Artifacts that could not be had: what came of them may be continued by the next run. */
  readonly stillWanted: ReadonlySet<Checksum>
  readonly warnings: readonly string[]
}

/** Published versions that the new tree no longer has; `all` where the crate itself is gone. */
export interface Removed {
  readonly path: IndexPath
  readonly versions: readonly string[]
  readonly all: boolean
}

/** How much that is, for the guards. */
export function counted(removed: readonly Removed[]): {
  crates: number
  versions: number
  paths: string[]
} {
  const crates = removed.filter(({ all }) => all).length
  const versions = removed.reduce((sum, { versions }) => sum + versions.length, 0)
  return { crates, versions, paths: removed.map(({ path }) => path) }
}

/**
 * Brings every changed crate as far as it comes: its index file, then its missing artifacts. On
 * return all that came is landed. A run that ends early throws: what landed stays, no crate is
 * judged by it.
 */
export async function fetchCrates(
  run: Run,
  source: Source,
  changes: readonly Change[],
  options: { readonly isFirst: boolean; readonly selection: Selection | undefined },
): Promise<Fetched> {
  const crates = new CratesUnderWay(run, source, options)
  // twice as many: a connection gets its next request before its last body is hashed and written
  const downloads = new Downloads(2 * run.settings.connections)
  run.progress.phase = 'fetch'
  run.progress.crates = changes.length
  try {
    const fetch = (job: Job, signal: AbortSignal): Promise<void> => crates.fetch(job, signal)
    await downloads.drain(crates.jobs(changes), fetch, run.signal)
  } catch (error) {
    // what is whole lands all the same; the first failure is the one to tell
    await run.landing.settle().catch(() => {})
    throw error
  }
  await run.landing.settle()
  await crates.copyTwins()
  await run.landing.settle()
  return crates
}

interface Job {
  readonly crate: Open
  readonly wanted: Wanted
}

/** A crate that waits for `pending` files to land. */
interface Open {
  readonly examined: Examined
  pending: number
}

/** One artifact's way here; `outcome` is known once its last try ended. */
interface Transfer {
  readonly final: string
  outcome?: Outcome
}

const SPACE_CHECK_BYTES = 256 * 1024 * 1024
const WARNINGS_MAX = 1000

class CratesUnderWay implements Fetched {
  readonly failed: Map<IndexPath, Failure[]> = new Map()
  readonly refused: Map<IndexPath, NonNullable<Examined['refusal']>> = new Map()
  readonly removed: Removed[] = []
  readonly yanked: string[] = []
  readonly unyanked: string[] = []
  readonly stillWanted: Set<Checksum> = new Set()
  readonly warnings: string[] = []
  asked = 0
  landed = 0
  readonly #run: Run
  readonly #source: Source
  readonly #isFirst: boolean
  readonly #selection: Selection | undefined
  readonly #begun: ReturnType<typeof partialsLeft>
  /** Artifacts from their first request until they have landed. */
  readonly #underWay = new Map<Checksum, Transfer>()
  /** Jobs whose artifact another crate was already fetching. */
  readonly #twins: { readonly job: Job; readonly first: Transfer }[] = []
  #spaceCheckedAt = 0

  constructor(
    run: Run,
    source: Source,
    { isFirst, selection }: { isFirst: boolean; selection: Selection | undefined },
  ) {
    this.#run = run
    this.#source = source
    this.#isFirst = isFirst
    this.#selection = selection
    this.#begun = partialsLeft(run.writer.mirror.root)
  }

  /** The plan as a stream: index files are examined some way ahead of the artifacts they name. */
  async *jobs(changes: readonly Change[]): AsyncGenerator<Job> {
    for await (const examined of examineAll(this.#run, this.#source, changes, this.#selection)) {
      this.#note(examined)
      const crate = { examined, pending: examined.wanted.length + 1 }
      await this.#landIndexFile(crate)
      for (const wanted of examined.wanted) yield { crate, wanted }
    }
  }

  #note({ change, removed, yanks, refusal, warnings, wanted }: Examined): void {
    const name = nameOfPath(change.path)
    this.#run.progress.cratesExamined += 1
    this.#run.progress.artifacts += wanted.length
    this.asked += wanted.length
    if (removed.length > 0 || change.want === undefined) {
      this.removed.push({ path: change.path, versions: removed, all: change.want === undefined })
    }
    this.yanked.push(...yanks.yanked.map(version => `${name}@${version}`))
    this.unyanked.push(...yanks.unyanked.map(version => `${name}@${version}`))
    if (refusal !== undefined) this.refused.set(change.path, refusal)
    for (const warning of warnings) this.#warn(warning)
  }

  #warn(warning: string): void {
    if (this.warnings.length < WARNINGS_MAX) this.warnings.push(warning)
  }

  async #landIndexFile(crate: Open): Promise<void> {
    const { change, fetched } = crate.examined
    if (change.want === undefined) return
    const landed = (): Promise<void> => this.#oneLanded(crate)
    if (fetched === undefined) return landed()
    const final = indexFileByHash(change.path, change.want.sha256)
    await this.#run.landing.addBytes(final, fetched, landed)
  }

  async fetch(job: Job, signal: AbortSignal): Promise<void> {
    const { checksum } = job.wanted
    const first = this.#underWay.get(checksum)
    if (first !== undefined) {
      this.#twins.push({ job, first })
      return
    }
    const transfer: Transfer = { final: finalOf(job) }
    this.#underWay.set(checksum, transfer)
    const isBegun = this.#begun.has(checksum)
    const options = { isBegun, signal }
    transfer.outcome = await obtainArtifact(this.#run, this.#source, job.wanted, options)
    this.#run.progress.artifactsDone += 1
    if (transfer.outcome.kind !== 'whole') return this.#fail(job, transfer.outcome)
    this.#guardLimits()
    await this.#run.landing.add({
      name: transfer.final,
      bytes: transfer.outcome.bytes,
      landed: () => this.#artifactLanded(job),
    })
  }

  /** A checksum may serve two crates: transferred once, landed under each prefix that wants it. */
  async copyTwins(): Promise<void> {
    for (const { job, first } of this.#twins) {
      if (first.outcome?.kind !== 'whole') {
        if (first.outcome !== undefined) this.#fail(job, first.outcome)
        continue
      }
      const final = finalOf(job)
      if (final === first.final) {
        await this.#artifactLanded(job)
        continue
      }
      const bytes = readFileSync(this.#run.writer.at(first.final))
      await this.#run.landing.addBytes(final, bytes, () => this.#artifactLanded(job))
    }
  }

  async #artifactLanded(job: Job): Promise<void> {
    this.#underWay.delete(job.wanted.checksum)
    this.landed += 1
    await this.#oneLanded(job.crate)
  }

  /** In a first sync a crate appears as soon as it is whole; later a snapshot is published whole. */
  async #oneLanded(crate: Open): Promise<void> {
    crate.pending -= 1
    const { change, refusal } = crate.examined
    if (crate.pending > 0 || !this.#isFirst || refusal !== undefined) return
    if (change.want === undefined) return
    const byHash = indexFileByHash(change.path, change.want.sha256)
    await this.#run.writer.link(byHash, indexFile(change.path))
  }

  #fail({ crate, wanted }: Job, outcome: Failure['outcome']): void {
    const { change, disputed } = crate.examined
    this.stillWanted.add(wanted.checksum)
    if (disputed.has(wanted.version)) {
      this.#warn(
        `index/${change.path}: ${wanted.version} is disputed and not here: ${outcome.reason}`,
      )
      return
    }
    const { path } = change
    this.failed.getOrInsertComputed(path, () => []).push({ wanted, outcome })
  }

  #guardLimits(): void {
    const { bytes } = this.#run.progress
    const { limitBytes } = this.#run
    if (limitBytes !== undefined && bytes >= limitBytes) {
      throw new LimitReached(
        `the byte limit of this run is reached (${bytes} of ${limitBytes}); run sync again`,
      )
    }
    if (bytes - this.#spaceCheckedAt < SPACE_CHECK_BYTES) return
    this.#spaceCheckedAt = bytes
    guardSpace(this.#run)
  }
}

function finalOf({ crate, wanted }: Job): string {
  return artifactFile(prefixOfPath(crate.examined.change.path), wanted.checksum)
}
