import type { Scrub } from '../store/scrub.ts'
import type { MetadataVersions } from '../store/snapshot.ts'

/**
 * What a mirror tells the world of itself: `/api/status`, the page at `/` and `/metrics` show this
 * and nothing else. It names no path of the machine. Times are `YYYY-MM-DDTHH:MM:SSZ`.
 */
export interface Status {
  readonly at: string
  readonly version: string
  readonly url: string
  /** What goes into a client's `$CARGO_HOME/config.toml`. */
  readonly cargoConfig: string
  /** Null: filled by bundles, or by a directory that its owner signs. */
  readonly upstream: string | null
  readonly trust: { readonly kind: 'tuf' | 'observed'; readonly root: string | null }
  readonly published: PublishedStatus | null
  readonly fresh: FreshStatus
  /** When the metadata of each role ends; null where nobody signs or what is kept does not verify. */
  readonly expires: Readonly<Record<string, string>> | null
  /** What the site itself signs; null: nothing. */
  readonly site: { readonly tree: string; readonly until: string } | null
  /** Null: all of the registry is wanted. */
  readonly selection: SelectionShown | null
  /** A state that came on media and waits for what is missing. */
  readonly pending: PendingShown | null
  readonly held: Listed<HeldShown>
  readonly absent: Listed<AbsentShown>
  /** Gone upstream, and kept here until that is sure. */
  readonly kept: Listed<KeptShown>
  /** Withdrawn by policy, in quarantine. */
  readonly withdrawn: Listed<WithdrawnShown>
  /** How far everything was read back; null: it never was. */
  readonly scrub: Pick<Scrub, 'round' | 'before'> | null
  readonly disk: { readonly freeBytes: number; readonly sizeBytes: number }
  /** Newest first. */
  readonly runs: readonly RunShown[]
  readonly bundles: readonly BundleShown[]
  /** Null: no daemon keeps this mirror, it is only served. */
  readonly daemon: DaemonStatus | null
}

interface PublishedStatus {
  readonly n: number
  readonly at: string
  readonly ageSeconds: number
  readonly tree: string
  readonly crates: number
  /** Versions of the metadata that vouches for it; null: observed, nobody signed it. */
  readonly metadata: MetadataVersions | null
}

interface FreshStatus {
  /** When it was last compared with its source; null: never. */
  readonly checkedAt: string | null
  readonly isFresh: boolean
  readonly withinHours: number
  /** Every comparison of the last thirty days, oldest first, the newest thousand of them. */
  readonly compared: readonly string[]
}

interface SelectionShown {
  readonly summary: string
  readonly versions: number | null
  readonly here: number | null
}

interface PendingShown {
  readonly bundleId: string
  readonly targets: number
  readonly missing: number
  readonly volumesNotSeen: number
  readonly at: string
}

/** The first of them, in the order of their names, and how many there are. */
export interface Listed<Item> {
  readonly total: number
  readonly first: readonly Item[]
}

interface HeldShown {
  readonly crate: string
  readonly reason: string
  readonly since: string
  readonly tries: number
}

interface AbsentShown {
  readonly crate: string
  readonly version: string
  readonly status: number
  readonly first: string
  readonly last: string
}

interface KeptShown {
  readonly crate: string
  /** Null: the whole crate. */
  readonly versions: readonly string[] | null
  readonly first: string
  readonly last: string
}

interface WithdrawnShown {
  readonly crate: string
  readonly version: string
  readonly why: string
  readonly at: string
  readonly sha256: string
}

export interface RunShown {
  readonly at: string
  readonly command: string
  readonly exit: number
  readonly seconds: number
  readonly outcome: string | null
  /** Artifacts that landed, and bytes that came from upstream. */
  readonly artifacts: number | null
  readonly received: number | null
}

export interface BundleShown {
  readonly at: string
  readonly direction: 'in' | 'out'
  readonly exit: number
  readonly outcome: string | null
}

/** What a daemon is doing. */
export interface DaemonStatus {
  readonly isPaused: boolean
  readonly running?: {
    readonly job: string
    readonly since: string
    readonly phase?: string
    readonly artifacts?: number
    readonly artifactsDone?: number
    readonly bytes?: number
  }
  /** When a sync is expected, by schedule, windows and back-off. */
  readonly nextSync?: string
  /** How often in a row a sync failed for a passing reason. */
  readonly failures: number
  /** The configuration file is broken, and the one before it is in force. */
  readonly isConfigBroken: boolean
}
