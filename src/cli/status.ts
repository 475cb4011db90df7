import { statfsSync } from 'node:fs'
import { lastRuns } from '../store/runs.ts'
import { readNext, readPublished } from '../store/snapshot.ts'
import { type SelectionStatus, selectionStatus } from '../sync/selection-status.ts'
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
  const selection = await selectionStatus(root, published)

  const { url, chain } = config.upstream
  const lines = [
    `mirror     ${root} (${marker.uuid})`,
    `upstream   ${url === undefined ? 'none: filled by a directory or by bundles' : `${url} (${chain})`}`,
    `trust      pinned root ${marker.root ?? 'none'}`,
    published === undefined
      ? 'published  nothing yet; run sync'
      : `published  snapshot ${published.n} of ${published.at} (${durationText(ageSeconds ?? 0)} ago), ${published.entries} crates`,
  ]
  if (published !== undefined) {
    const { root: n, timestamp, snapshot, targets } = published.metadata
    lines.push(`tree       ${published.tree}`)
    lines.push(
      `metadata   root ${n}, targets ${targets}, snapshot ${snapshot}, timestamp ${timestamp}`,
    )
  }
  if (isNextOpen)
    lines.push('pending    a decided snapshot is not finished; the next sync finishes it')
  if (selection !== undefined) lines.push(`selection  ${selectionLine(selection)}`)
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
      ageSeconds,
      isNextOpen,
      selection,
      held,
      absent,
      freeBytes,
      runs,
    },
    lines,
  )
  return 0
}

function selectionLine({ summary, counts }: SelectionStatus): string {
  if (counts === undefined) return `${summary} (too many crates to count)`
  const { crates, listed, selected, here } = counts
  return `${summary}: ${selected} of the ${listed} versions that ${crates} crates list, ${here} of them here`
}
