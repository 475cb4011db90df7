import { statfsSync } from 'node:fs'
import { MirrorError } from '../error.ts'
import { lastRuns } from '../store/runs.ts'
import { type MetadataVersions, readNext, readPublished } from '../store/snapshot.ts'
import { type SiteStatement, siteStatement } from '../sync/show-site.ts'
import { type Context, mirrorFolder, openConfigured } from './context.ts'
import { bytesText, durationText } from './report.ts'

/** `crateferry status`: what is published, its age and trust, and what waits with which reason. */
export async function statusCommand(context: Context): Promise<number> {
  const { mirror, config } = await openConfigured(mirrorFolder(context))
  const { root, marker } = mirror
  const published = readPublished(root)
  const runs = lastRuns(root, 5)
  const { bavail, bsize } = statfsSync(root)
  const freeBytes = bavail * bsize
  const held = published?.held ?? {}
  const absent = published?.absent ?? {}
  const ageSeconds =
    published === undefined
      ? undefined
      : (context.now().getTime() - Date.parse(published.at)) / 1000
  const trust = { kind: marker.trust, root: marker.root, uuid: marker.uuid }
  const isNextOpen = readNext(root) !== undefined

  const { url, chain } = config.upstream
  const lines = [
    `mirror     ${root} (${marker.uuid})`,
    `upstream   ${url === undefined ? 'none: filled by a directory or by bundles' : `${url} (${chain})`}`,
    marker.trust === 'observed'
      ? 'trust      observed over TLS, not signed upstream'
      : `trust      pinned root ${marker.root}`,
    published === undefined
      ? 'published  nothing yet; run sync'
      : `published  snapshot ${published.n} of ${published.at} (${durationText(ageSeconds ?? 0)} ago), ${published.entries} crates`,
  ]
  if (published !== undefined) {
    lines.push(`tree       ${published.tree}`)
    if (published.metadata !== null) lines.push(`metadata   ${versionsText(published.metadata)}`)
  }
  const site = siteOf(root)
  lines.push(...siteLines(site, published?.tree))
  if (isNextOpen)
    lines.push('pending    a decided snapshot is not finished; the next sync finishes it')
  lines.push(`disk       ${bytesText(freeBytes)} free`)
  for (const [path, { reason, since, tries }] of Object.entries(held)) {
    lines.push(`held       ${path} since ${since}, tried ${tries} times: ${reason}`)
  }
  for (const { crate, version, first, last, status } of Object.values(absent)) {
    lines.push(`absent     ${crate}@${version}: status ${status}, first ${first}, last ${last}`)
  }
  for (const { at, command, exit, seconds } of runs) {
    lines.push(`run        ${at} ${command}: exit ${exit} after ${seconds} s`)
  }
  const snapshot = published && {
    n: published.n,
    at: published.at,
    tree: published.tree,
    entries: published.entries,
    metadata: published.metadata,
  }
  context.out.result(
    {
      mirror: root,
      trust,
      upstream: { url, chain },
      published: snapshot,
      site,
      ageSeconds,
      isNextOpen,
      held,
      absent,
      freeBytes,
      runs,
    },
    lines,
  )
  return 0
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
