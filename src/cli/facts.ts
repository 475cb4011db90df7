import { statfsSync } from 'node:fs'
import type { Config } from '../config.ts'
import { MirrorError } from '../error.ts'
import type { Checksum } from '../registry/checksum.ts'
import { readChain } from '../store/chain-files.ts'
import type { Mirror } from '../store/mirror.ts'
import { readObservation, type Sweep } from '../store/observation.ts'
import { type PendingImport, readPending } from '../store/pending.ts'
import { readWithdrawn, type Withdrawal } from '../store/quarantine.ts'
import { lastRuns, type RunRecord } from '../store/runs.ts'
import { readScrub, type Scrub } from '../store/scrub.ts'
import { readSightings, type Sightings } from '../store/sightings.ts'
import { readNext, readPublished, type Snapshot } from '../store/snapshot.ts'
import { stamp } from '../sync/run.ts'
import { type SelectionStatus, selectionStatus } from '../sync/selection-status.ts'
import { type SiteStatement, siteStatement } from '../sync/show-site.ts'
import { type Book, readBook } from '../trust/book.ts'
import { stateByKept } from '../trust/kept.ts'
import type { Vouched } from '../trust/vouched.ts'

/** All that `status --json` tells. */
export interface MirrorFacts {
  readonly mirror: string
  readonly trust: {
    readonly kind: string
    readonly root: string | null | undefined
    readonly uuid: string
  }
  readonly upstream: Pick<Config['upstream'], 'url' | 'metadata' | 'index' | 'chain'>
  readonly published:
    | Pick<Snapshot, 'n' | 'at' | 'tree' | 'entries' | 'metadata' | 'pruned'>
    | undefined
  readonly site: SiteStatement | { readonly damaged: string } | undefined
  readonly ageSeconds: number | undefined
  readonly isNextOpen: boolean
  readonly pending: PendingImport | undefined
  readonly expires: Vouched['expires'] | undefined
  readonly fresh: Freshness
  readonly override: Snapshot['override']
  readonly reset: Book['reset']
  readonly sweep: Sweep | null
  /** How far a daemon has read everything back. */
  readonly scrub: Scrub | undefined
  readonly selection: SelectionStatus | undefined
  readonly held: Snapshot['held']
  readonly absent: Snapshot['absent']
  readonly kept: Sightings
  readonly withdrawn: Readonly<Record<Checksum, Withdrawal>>
  readonly freeBytes: number
  readonly runs: readonly RunRecord[]
}

/** When what is published was last compared with where it comes from, and whether that is lately. */
export interface Freshness {
  readonly checkedAt: string | undefined
  readonly isFresh: boolean
  readonly withinHours: number
}

const RUNS_TOLD = 5

export async function mirrorFacts(
  { root, marker }: Mirror,
  config: Config,
  now: Date,
): Promise<MirrorFacts> {
  const published = readPublished(root)
  const { url, metadata, index, chain } = config.upstream
  const { bavail, bsize } = statfsSync(root)
  return {
    mirror: root,
    trust: { kind: marker.trust, root: marker.root, uuid: marker.uuid },
    upstream: { url, metadata, index, chain },
    published: published && shown(published),
    site: siteOf(root),
    ageSeconds: published && (now.getTime() - Date.parse(published.at)) / 1000,
    isNextOpen: readNext(root) !== undefined,
    pending: readPending(root),
    expires: expiresOf(root),
    fresh: freshnessOf(root, config, now),
    override: published?.override,
    reset: readBook(readChain(root, 'upstream')?.book).reset,
    sweep: readObservation(root).sweep,
    scrub: readScrub(root),
    selection: await selectionStatus(root, published),
    held: published?.held ?? {},
    absent: published?.absent ?? {},
    kept: readSightings(root),
    withdrawn: Object.fromEntries(readWithdrawn(root)),
    freeBytes: bavail * bsize,
    runs: lastRuns(root, RUNS_TOLD),
  }
}

/** Runs that ended with the state of the source in hand, whether it was new or not. */
const COMPARED: readonly unknown[] = ['published', 'unchanged', 'already']
const RUNS_LOOKED_AT = 1000

/** The end of the last run that compared; held crates are told apart from age. */
export function freshnessOf(root: string, { serve }: Config, now: Date): Freshness {
  const withinHours = serve.freshHours
  const run = lastRuns(root, RUNS_LOOKED_AT).findLast(one => comparedAt(one) !== undefined)
  const ended = run && comparedAt(run)
  if (ended === undefined) return { checkedAt: undefined, isFresh: false, withinHours }
  const hours = (now.getTime() - ended.getTime()) / 3_600_000
  return { checkedAt: stamp(ended), isFresh: hours <= withinHours, withinHours }
}

/** The end of a run that had the state of its source in hand; of another undefined. */
export function comparedAt({ at, seconds, outcome }: RunRecord): Date | undefined {
  if (!COMPARED.includes(outcome)) return undefined
  return new Date(Date.parse(at) + seconds * 1000)
}

function shown({ n, at, tree, entries, metadata, pruned }: Snapshot): MirrorFacts['published'] {
  return { n, at, tree, entries, metadata, ...(pruned && { pruned }) }
}

/** When the chain that is followed ends; a damaged one is for `verify` to judge. */
function expiresOf(root: string): Vouched['expires'] | undefined {
  try {
    const kept = readChain(root, 'upstream')
    return kept && stateByKept(kept)?.expires
  } catch (error) {
    if (error instanceof MirrorError) return undefined
    throw error
  }
}

/** The site's own chain; an odd one is for `verify` to judge, and status goes on. */
function siteOf(root: string): MirrorFacts['site'] {
  try {
    return siteStatement(root)
  } catch (error) {
    if (error instanceof MirrorError) return { damaged: error.message }
    throw error
  }
}
