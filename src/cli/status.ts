import { statfsSync } from 'node:fs'
import type { Config } from '../config.ts'
import { MirrorError } from '../error.ts'
import type { Checksum } from '../registry/checksum.ts'
import { readChain } from '../store/chain-files.ts'
import type { Marker } from '../store/mirror.ts'
import { readObservation, type Sweep } from '../store/observation.ts'
import { type PendingImport, readPending } from '../store/pending.ts'
import { readWithdrawn, type Withdrawal, withdrawalText } from '../store/quarantine.ts'
import { lastRuns, type RunRecord } from '../store/runs.ts'
import { isConfirmed, readSightings, type Sightings } from '../store/sightings.ts'
import {
  type MetadataVersions,
  readNext,
  readPublished,
  type Snapshot,
  shownTree,
} from '../store/snapshot.ts'
import { type SelectionStatus, selectionStatus } from '../sync/selection-status.ts'
import { type SiteStatement, siteStatement } from '../sync/show-site.ts'
import { type Book, readBook } from '../trust/book.ts'
import { vouchedByKept } from '../trust/kept.ts'
import type { Vouched } from '../trust/refresh.ts'
import { type Context, mirrorFolder, openConfigured } from './context.ts'
import { bytesText, durationText, OBSERVED } from './report.ts'

/** `crateferry status`: what is published, its age and trust, and what waits with which reason. */
export async function statusCommand(context: Context): Promise<number> {
  const { mirror, config } = await openConfigured(mirrorFolder(context))
  const { root, marker } = mirror
  const published = readPublished(root)
  const isNextOpen = readNext(root) !== undefined
  const runs = lastRuns(root, 5)
  const { bavail, bsize } = statfsSync(root)
  const freeBytes = bavail * bsize
  const ageSeconds = published && (context.now().getTime() - Date.parse(published.at)) / 1000
  const { sweep } = readObservation(root)
  const kept = readSightings(root)
  const withdrawn = readWithdrawn(root)
  const site = siteOf(root)
  const selection = await selectionStatus(root, published)
  const pending = readPending(root)
  const expires = expiresOf(root)
  const { reset } = readBook(readChain(root, 'upstream')?.book)

  const lines = [
    `mirror     ${root} (${marker.uuid})`,
    `upstream   ${upstreamText(config)}`,
    `trust      ${trustText(marker)}`,
    ...resetLines(reset),
    ...publishedLines(published, ageSeconds),
    ...siteLines(site, published && shownTree(published).hash),
    ...(isNextOpen
      ? ['pending    a decided snapshot is not finished; the next sync finishes it']
      : []),
    ...pendingLines(pending),
    ...ageLines(published, expires, context.now(), config),
    ...(sweep === null ? [] : [`sweep      ${sweepText(sweep)}`]),
    ...selectionLines(selection),
    `disk       ${bytesText(freeBytes)} free`,
    ...waitingLines(published),
    ...keptLines(kept),
    ...withdrawnLines(withdrawn),
    ...runs.map(runLine),
  ]
  const { url, index, chain } = config.upstream
  context.out.result(
    {
      mirror: root,
      trust: { kind: marker.trust, root: marker.root, uuid: marker.uuid },
      upstream: { url, index, chain },
      published: published && shown(published),
      site,
      ageSeconds,
      isNextOpen,
      pending,
      expires,
      override: published?.override,
      reset,
      sweep,
      selection,
      held: published?.held ?? {},
      absent: published?.absent ?? {},
      kept,
      withdrawn: Object.fromEntries(withdrawn),
      freeBytes,
      runs,
    },
    lines,
  )
  return 0
}

function shown({ n, at, tree, entries, metadata, pruned }: Snapshot): object {
  return { n, at, tree, entries, metadata, pruned }
}

function upstreamText({ upstream: { url, index, chain, trust } }: Config): string {
  if (trust === 'observed') return `${index}`
  return url === undefined ? 'none: filled by a directory or by bundles' : `${url} (${chain})`
}

function trustText({ trust, root }: Marker): string {
  return trust === 'observed' ? OBSERVED : `pinned root ${root ?? 'none'}`
}

function publishedLines(published: Snapshot | undefined, ageSeconds = 0): string[] {
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

function resetLines(reset: Book['reset']): string[] {
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

/** When the chain that is followed ends; a damaged one is for `verify` to judge. */
function expiresOf(root: string): Vouched['expires'] | undefined {
  try {
    const kept = readChain(root, 'upstream')
    return kept && vouchedByKept(kept)?.expires
  } catch (error) {
    if (error instanceof MirrorError) return undefined
    throw error
  }
}

/** How old what is published has grown: serving never stops for it, so it must be seen. */
function ageLines(
  published: Snapshot | undefined,
  expires: Vouched['expires'] | undefined,
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
  const { override } = published
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

function waitingLines(published: Snapshot | undefined): string[] {
  const held = Object.entries(published?.held ?? {}).map(
    ([path, { reason, since, tries }]) =>
      `held       ${path} since ${since}, tried ${tries} times: ${reason}`,
  )
  const absent = Object.values(published?.absent ?? {}).map(
    ({ crate, version, first, last, status }) =>
      `absent     ${crate}@${version}: status ${status}, first ${first}, last ${last}`,
  )
  return [...held, ...absent]
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

function withdrawnLines(withdrawn: ReadonlyMap<Checksum, Withdrawal>): string[] {
  return [...withdrawn].map(
    ([checksum, one]) => `withdrawn  ${withdrawalText(one)} (sha256 ${checksum})`,
  )
}

function runLine({ at, command, exit, seconds }: RunRecord): string {
  return `run        ${at} ${command}: exit ${exit} after ${seconds} s`
}

/** The site's own chain; an odd one is for `verify` to judge, and status goes on. */
function siteOf(root: string): SiteStatement | { readonly damaged: string } | undefined {
  try {
    return siteStatement(root)
  } catch (error) {
    if (error instanceof MirrorError) return { damaged: error.message }
    throw error
  }
}

function siteLines(site: ReturnType<typeof siteOf>, tree: string | undefined): string[] {
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
