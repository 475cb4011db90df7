import type { Config } from '../config.ts'
import type { Marker, Mirror } from '../store/mirror.ts'
import type { Sweep } from '../store/observation.ts'
import type { PendingImport } from '../store/pending.ts'
import { withdrawalText } from '../store/quarantine.ts'
import type { RunRecord } from '../store/runs.ts'
import { scrubText } from '../store/scrub.ts'
import { isConfirmed, type Sightings } from '../store/sightings.ts'
import type { MetadataVersions } from '../store/snapshot.ts'
import type { SelectionStatus } from '../sync/selection-status.ts'
import { bytesText, durationText } from '../units.ts'
import { type Context, openConfigured } from './context.ts'
import { type MirrorFacts, mirrorFacts } from './facts.ts'
import { OBSERVED } from './report.ts'

/** `crateferry status`: what is published, its age and trust, and what waits with which reason. */
export async function statusCommand(context: Context): Promise<number> {
  const { mirror, config } = await openConfigured(context)
  const facts = await mirrorFacts(mirror, config, context.now())
  context.out.result(facts, linesOf(mirror, config, facts, context.now()))
  return 0
}

function linesOf(
  { root, marker }: Mirror,
  config: Config,
  facts: MirrorFacts,
  now: Date,
): string[] {
  const { published, site, pending, expires, sweep, selection, kept, withdrawn, runs } = facts
  const { scrub } = facts
  return [
    `mirror     ${root} (${marker.uuid})`,
    `upstream   ${upstreamText(config)}`,
    `trust      ${trustText(marker)}`,
    ...resetLines(facts.reset),
    ...publishedLines(published, facts.ageSeconds),
    ...siteLines(site, published && (published.pruned?.tree ?? published.tree)),
    ...(facts.isNextOpen
      ? ['pending    a decided snapshot is not finished; the next sync finishes it']
      : []),
    ...pendingLines(pending),
    ...ageLines(facts, expires, now, config),
    ...freshLines(facts),
    ...(sweep === null ? [] : [`sweep      ${sweepText(sweep)}`]),
    ...selectionLines(selection),
    ...(scrub === undefined ? [] : [`read back  ${scrubText(scrub)}`]),
    `disk       ${bytesText(facts.freeBytes)} free`,
    ...waitingLines(facts),
    ...keptLines(kept),
    ...withdrawnLines(withdrawn),
    ...runs.map(runLine),
  ]
}

function freshLines({ fresh }: MirrorFacts): string[] {
  const { checkedAt, isFresh, withinHours } = fresh
  if (checkedAt === undefined) return []
  const verdict = isFresh ? 'fresh' : `stale: not within ${withinHours} h`
  return [`compared   with its source ${checkedAt}, ${verdict}`]
}

function upstreamText({ upstream: { url, metadata, index, chain, trust } }: Config): string {
  if (trust === 'observed') return `${index}`
  if (metadata !== undefined) return metadata
  return url === undefined ? 'none: filled by a directory or by bundles' : `${url} (${chain})`
}

function trustText({ trust, root }: Marker): string {
  return trust === 'observed' ? OBSERVED : `pinned root ${root ?? 'none'}`
}

function publishedLines(published: MirrorFacts['published'], ageSeconds = 0): string[] {
  if (published === undefined) return ['published  nothing yet; run sync']
  const { n, at, entries, tree, metadata, pruned } = published
  return [
    `published  snapshot ${n} of ${at} (${durationText(ageSeconds)} ago), ${entries} crates`,
    `tree       ${tree}`,
    ...(pruned === undefined
      ? []
      : [`pruned     ${pruned.tree}: the ${pruned.entries} crates of which something is here`]),
    ...(metadata === null ? [] : [`metadata   ${versionsText(metadata)}`]),
  ]
}

function resetLines(reset: MirrorFacts['reset']): string[] {
  return reset === undefined ? [] : [`reset      trust began again ${reset.at}: ${reset.reason}`]
}

function pendingLines(pending: PendingImport | undefined): string[] {
  if (pending === undefined) return []
  const { targets, bundleId, missing, notSeen, at } = pending
  const some = notSeen.slice(0, 3).join(', ')
  const media = notSeen.length > 0 ? `; not seen: ${some}${notSeen.length > 3 ? ', …' : ''}` : ''
  return [
    `pending    targets ${targets} of bundle ${bundleId.slice(0, 8)} since ${at}: ${missing} files are missing${media}`,
  ]
}

/** How old what is published has grown: serving never stops for it, so it must be seen. */
function ageLines(
  { published, override }: MirrorFacts,
  expires: MirrorFacts['expires'],
  now: Date,
  { bundle }: Config,
): string[] {
  if (published?.metadata == null || expires === undefined) return []
  const { root, ...others } = expires
  const [first = ''] = Object.values(others).sort()
  const days = (now.getTime() - Date.parse(first)) / 86_400_000
  const age =
    days > 0
      ? `metadata expired ${Math.floor(days)} d ago, imports take ${bundle.staleDays} d`
      : `metadata until ${first}`
  return [
    `age        ${age}; root until ${root}`,
    ...(override
      ? [`override   taken past its end until ${override.until}: ${override.reason}`]
      : []),
  ]
}

function sweepText({ started, closed, settled }: Sweep): string {
  if (closed === null) return `begun ${started}, not ended: the next sync goes on with it`
  return settled
    ? `closed ${closed}, begun ${started}`
    : `closed ${closed}, its snapshot is not published yet`
}

function waitingLines({ held, absent }: MirrorFacts): string[] {
  const waiting = Object.entries(held).map(
    ([path, { reason, since, tries }]) =>
      `held       ${path} since ${since}, tried ${tries} times: ${reason}`,
  )
  const gone = Object.values(absent).map(
    ({ crate, version, first, last, status }) =>
      `absent     ${crate}@${version}: status ${status}, first ${first}, last ${last}`,
  )
  return [...waiting, ...gone]
}

/** What upstream no longer has, and is kept until that is sure. */
function keptLines(kept: Sightings): string[] {
  return Object.entries(kept).map(([path, sighting]) => {
    const { first, last, versions } = sighting
    const what = versions === null ? 'gone' : `without ${versions.join(', ')}`
    const sure = isConfirmed(sighting) ? 'seen again' : 'not seen twice yet'
    return `kept       ${path}: ${what} upstream since ${first}, last ${last}, ${sure}`
  })
}

function withdrawnLines(withdrawn: MirrorFacts['withdrawn']): string[] {
  return Object.entries(withdrawn).map(
    ([checksum, one]) => `withdrawn  ${withdrawalText(one)} (sha256 ${checksum})`,
  )
}

function runLine({ at, command, exit, seconds }: RunRecord): string {
  return `run        ${at} ${command}: exit ${exit} after ${seconds} s`
}

function siteLines(site: MirrorFacts['site'], tree: string | undefined): string[] {
  if (site === undefined) return []
  if ('damaged' in site) return [`site       ${site.damaged}`]
  const state = site.tree === tree ? 'signs what is published' : 'signs an earlier tree: run sign'
  return [`site       ${versionsText(site.versions)}; until ${site.until}, ${state}`]
}

function versionsText({ root, targets, snapshot, timestamp }: MetadataVersions): string {
  return `root ${root}, targets ${targets}, snapshot ${snapshot}, timestamp ${timestamp}`
}

function selectionLines(selection: SelectionStatus | undefined): string[] {
  if (selection === undefined) return []
  const { summary, counts } = selection
  if (counts === undefined) return [`selection  ${summary} (too many crates to count)`]
  const { crates, listed, selected, here } = counts
  return [
    `selection  ${summary}: ${selected} of the ${listed} versions that ${crates} crates list, ${here} of them here`,
  ]
}
