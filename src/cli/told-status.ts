import { statfsSync } from 'node:fs'
import type { Config } from '../config.ts'
import type { IndexPath } from '../registry/sparse-path.ts'
import { nameOfPath } from '../registry/sparse-path.ts'
import type { BundleShown, DaemonStatus, Listed, RunShown, Status } from '../serve/status.ts'
import type { Mirror } from '../store/mirror.ts'
import { lastRuns, type RunRecord } from '../store/runs.ts'
import { stamp } from '../sync/run.ts'
import { cargoConfig } from './cargo-config.ts'
import { VERSION } from './context.ts'
import type { DaemonState } from './daemon-state.ts'
import { comparedAt, type MirrorFacts, mirrorFacts } from './facts.ts'

const LISTED_MAX = 1000
const RUNS_TOLD = 20
/** A minute's schedule keeps a day in them, an hour's a month. */
const RUNS_LOOKED_AT = 3000
const COMPARED_MAX = 1000
const MONTH_MS = 30 * 86_400_000

/** What of a mirror the world may know: without paths, and without the errors of runs, which hold some. */
export async function toldStatus(
  mirror: Mirror,
  config: Config,
  { url, now, daemon }: { readonly url: string; readonly now: Date; readonly daemon: Told },
): Promise<Status> {
  const facts = await mirrorFacts(mirror, config, now)
  const runs = lastRuns(mirror.root, RUNS_LOOKED_AT)
  const { blocks, bsize } = statfsSync(mirror.root)
  return {
    at: stamp(now),
    version: VERSION,
    url,
    cargoConfig: cargoConfig(url),
    upstream: facts.upstream.index ?? facts.upstream.metadata ?? facts.upstream.url ?? null,
    trust: { kind: mirror.marker.trust, root: facts.trust.root ?? null },
    published: publishedOf(facts),
    fresh: {
      ...facts.fresh,
      checkedAt: facts.fresh.checkedAt ?? null,
      compared: comparedIn(runs, now),
    },
    expires: facts.expires ?? null,
    site: facts.site && 'tree' in facts.site ? siteOf(facts.site) : null,
    selection: selectionOf(facts),
    pending: pendingOf(facts),
    ...listsOf(facts),
    scrub: facts.scrub ? { round: facts.scrub.round, before: facts.scrub.before } : null,
    disk: { freeBytes: facts.freeBytes, sizeBytes: blocks * bsize },
    runs: runs.slice(-RUNS_TOLD).reverse().map(runOf),
    bundles: runs.flatMap(bundleOf).slice(-RUNS_TOLD).reverse(),
    daemon: daemon === undefined ? null : daemonOf(daemon),
  }
}

type Told = DaemonState | undefined

function publishedOf({ published, ageSeconds = 0 }: MirrorFacts): Status['published'] {
  if (published === undefined) return null
  const { n, at, tree, entries, metadata } = published
  return { n, at, ageSeconds: Math.round(ageSeconds), tree, crates: entries, metadata }
}

function siteOf({ tree, until }: { readonly tree: string; readonly until: string }) {
  return { tree, until }
}

function selectionOf({ selection }: MirrorFacts): Status['selection'] {
  if (selection === undefined) return null
  const { summary, counts } = selection
  return { summary, versions: counts?.selected ?? null, here: counts?.here ?? null }
}

function pendingOf({ pending }: MirrorFacts): Status['pending'] {
  if (pending === undefined) return null
  const { bundleId, targets, missing, notSeen, at } = pending
  return { bundleId, targets, missing, volumesNotSeen: notSeen.length, at }
}

function listsOf(facts: MirrorFacts): Pick<Status, 'held' | 'absent' | 'kept' | 'withdrawn'> {
  const crateAt = (path: string): string => nameOfPath(path as IndexPath)
  return {
    held: listed(facts.held, (path, { reason, since, tries }) => {
      return { crate: crateAt(path), reason, since, tries }
    }),
    absent: listed(facts.absent, (_, { crate, version, status, first, last }) => {
      return { crate, version, status, first, last }
    }),
    kept: listed(facts.kept, (path, { versions, first, last }) => {
      return { crate: crateAt(path), versions, first, last }
    }),
    withdrawn: listed(facts.withdrawn, (sha256, { crate, version, why, at }) => {
      return { crate, version, why, at, sha256 }
    }),
  }
}

function listed<Value, Item>(
  all: Readonly<Record<string, Value>>,
  told: (key: string, value: Value) => Item,
): Listed<Item> {
  const entries = Object.entries(all)
  const first = entries.slice(0, LISTED_MAX).map(([key, value]) => told(key, value))
  return { total: entries.length, first }
}

function comparedIn(runs: readonly RunRecord[], now: Date): string[] {
  const since = stamp(new Date(now.getTime() - MONTH_MS))
  const compared = runs.flatMap(run => comparedAt(run) ?? []).map(stamp)
  return compared.filter(at => at >= since).slice(-COMPARED_MAX)
}

function runOf(run: RunRecord): RunShown {
  const { at, command, exit, seconds, received } = run
  return {
    at,
    command,
    exit,
    seconds,
    outcome: textOr(run['outcome']),
    artifacts: numberOr(run['artifacts']),
    received: numberOr(received),
  }
}

function bundleOf(run: RunRecord): BundleShown[] {
  const direction = DIRECTIONS[run.command]
  if (direction === undefined) return []
  const { at, exit } = run
  return [{ at, direction, exit, outcome: textOr(run['outcome']) }]
}

const DIRECTIONS: Readonly<Record<string, BundleShown['direction']>> = {
  'bundle import': 'in',
  'bundle export': 'out',
}

const textOr = (value: unknown): string | null => (typeof value === 'string' ? value : null)
const numberOr = (value: unknown): number | null => (typeof value === 'number' ? value : null)

function daemonOf({ configError, ...state }: DaemonState): DaemonStatus {
  return { ...state, isConfigBroken: configError !== undefined }
}
