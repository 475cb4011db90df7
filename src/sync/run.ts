import type { SelectionRules } from '../registry/selection-rules.ts'
import type { Landing } from '../store/landing.ts'
import type { Writer } from '../store/writer.ts'
import type { Upstream } from '../upstream/upstream.ts'

/** What the operator allowed for this one run, each with a reason that the run record keeps. */
export interface Accepted {
  readonly removals: number
  readonly absent: number
  readonly changed: ReadonlySet<string>
  readonly clock: boolean
  readonly reason: string | undefined
}

/** The part of the configuration that a sync needs. */
export interface SyncSettings {
  /** The URL that clients use: it stands in this mirror's own config.json. */
  readonly url: string
  readonly connections: number
  readonly tries: number
  readonly reserveBytes: number
  readonly origin: boolean
  /** Which part of the registry is wanted; undefined: all of it. */
  readonly select: SelectionRules | undefined
  /** Whether the paths show an index of only what is here. */
  readonly pruneIndex: boolean
  readonly guard: {
    readonly removalPercent: number
    readonly removalCrates: number
    readonly removalVersions: number
  }
}

/** Where artifacts and index files come from, whatever vouches for them. */
export type Source = Pick<Upstream, 'name' | 'indexFile' | 'artifact' | 'pause' | 'volumes'>

/** What every step of one run works with. */
export interface Run {
  readonly writer: Writer
  readonly landing: Landing
  readonly settings: SyncSettings
  readonly accepted: Accepted
  readonly limitBytes: number | undefined
  readonly progress: Progress
  readonly signal: AbortSignal
  readonly now: () => Date
}

/** Counters that a run moves and `cli/` shows; `crates` and `artifacts` are those with work to do. */
export class Progress {
  phase: 'trust' | 'look' | 'compare' | 'fetch' | 'publish' | 'verify' | 'prune' | 'adopt' = 'trust'
  crates = 0
  cratesExamined = 0
  artifacts = 0
  artifactsDone = 0
  bytes = 0
  /** Of what is carried: artifacts that are here already, and members that nobody needs. */
  present = 0
  foreign = 0
}

/** An instant as our records write it: whole seconds, UTC. */
export function stamp(at: Date): string {
  return `${at.toISOString().slice(0, 19)}Z`
}
