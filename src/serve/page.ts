import { scrubText } from '../store/scrub.ts'
import { bytesText, durationText } from '../units.ts'
import { type Html, html } from './html.ts'
import { historySection } from './page-history.ts'
import { type Cell, tableOf, time } from './page-parts.ts'
import type { Listed, Status } from './status.ts'

const ROWS_MAX = 100

/** The page at `/`: all of the status, whole without a script, which only draws the chart. */
export function statusPage(status: Status): string {
  const verdict = verdictOf(status)
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${verdict.word}: crateferry at ${hostOf(status.url)}</title>
<link rel="icon" href="assets/icon.svg">
<link rel="stylesheet" href="assets/uplot.css">
<link rel="stylesheet" href="assets/page.css">
<script src="assets/uplot.js" defer></script>
<script src="assets/page.js" type="module"></script>
</head>
<body>
<header>
<h1>crateferry <span class="host">${hostOf(status.url)}</span></h1>
<p class="verdict ${verdict.look}"><strong>${verdict.word}</strong> ${verdict.why}</p>
</header>
<main>
${publishedSection(status)}
${clientSection(status)}
${historySection(status)}
${waitingSections(status)}
</main>
<footer><p>As of ${time(status.at)}, crateferry ${status.version}. The same for machines:
<a href="api/status">api/status</a></p></footer>
</body>
</html>
`.text
}

interface Verdict {
  readonly word: string
  readonly look: 'good' | 'warn' | 'bad'
  readonly why: string
}

/** The worst that is true of it, in a word and a line. */
function verdictOf({ at, published, fresh, held, pending }: Status): Verdict {
  if (published === null) {
    return { word: 'Empty', look: 'bad', why: 'Nothing is published yet.' }
  }
  const { checkedAt, isFresh, withinHours } = fresh
  const age = checkedAt === null ? '' : `compared with its source ${ago(checkedAt, at)}`
  if (checkedAt !== null && !isFresh) {
    return { word: 'Stale', look: 'bad', why: `${age}, wanted within ${withinHours} h.` }
  }
  if (pending !== null) {
    const why = `A bundle is not whole; files missing: ${pending.missing}.`
    return { word: 'Waiting', look: 'warn', why }
  }
  if (held.total > 0) {
    return {
      word: 'Held',
      look: 'warn',
      why: `Crates that wait for what they lack: ${held.total}.`,
    }
  }
  if (checkedAt === null) return { word: 'Published', look: 'good', why: 'Never compared.' }
  return { word: 'Fresh', look: 'good', why: `${age}.` }
}

function publishedSection(status: Status): Html {
  const { published, expires, site, selection, trust, upstream, scrub, disk } = status
  const facts: (readonly [string, string | Html])[] = []
  if (published !== null) {
    facts.push(
      ['Snapshot', html`${published.n}, of ${time(published.at)}`],
      ['Age', durationText(published.ageSeconds)],
      ['Crates', grouped(published.crates)],
      ['Tree', html`<code>${published.tree}</code>`],
    )
  }
  facts.push(['Upstream', upstream ?? 'none: filled by bundles, or signed here'])
  facts.push(['Trust', trustText(trust)])
  if (published?.metadata) {
    const { root, targets, snapshot, timestamp } = published.metadata
    const versions = `root ${root}, targets ${targets}, snapshot ${snapshot}, timestamp ${timestamp}`
    facts.push(['Metadata', versions])
  }
  if (expires !== null) {
    const ends = Object.entries(expires).map(([role, end]) => html`${role} ${time(end)}<br>`)
    facts.push(['Valid until', html`${ends}`])
  }
  if (site !== null) {
    facts.push(['Signed here', html`<code>${site.tree}</code>, until ${time(site.until)}`])
  }
  if (selection !== null) {
    const { summary, versions, here } = selection
    const counted = versions === null ? '' : `: ${here} of ${versions} versions are here`
    facts.push(['Selection', `${summary}${counted}`])
  }
  if (scrub !== null) facts.push(['Read back', scrubText(scrub)])
  facts.push(['Disk', `${bytesText(disk.freeBytes)} free of ${bytesText(disk.sizeBytes)}`])
  facts.push(...daemonFacts(status))
  const rows = facts.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>\n`)
  return html`<section aria-labelledby="published"><h2 id="published">Published</h2>
<dl>${rows}</dl></section>`
}

function trustText({ kind, root }: Status['trust']): string {
  if (kind === 'observed') return 'observed over TLS, not signed upstream'
  return root === null ? 'no pinned root' : `verified from the pinned root ${root}`
}

function daemonFacts({ daemon }: Status): (readonly [string, string | Html])[] {
  if (daemon === null) return [['Daemon', 'none: this mirror is only served']]
  const { running, nextSync, isPaused, failures, isConfigBroken } = daemon
  const facts: (readonly [string, string | Html])[] = []
  if (running !== undefined) {
    const { job, since, phase, artifacts = 0, artifactsDone = 0 } = running
    const doing =
      phase === undefined ? '' : `: ${phase}, ${artifactsDone} of ${artifacts} artifacts`
    facts.push(['Running', html`${job} since ${time(since)}${doing}`])
  }
  if (isPaused) facts.push(['Daemon', 'paused'])
  else if (nextSync !== undefined) facts.push(['Next sync', time(nextSync)])
  if (failures > 0) facts.push(['Failures in a row', String(failures)])
  if (isConfigBroken)
    facts.push(['Configuration', 'the file is broken; the one before is in force'])
  return facts
}

function clientSection({ cargoConfig }: Status): Html {
  return html`<section aria-labelledby="client"><h2 id="client">For cargo</h2>
<pre id="cargo-config" tabindex="0">${cargoConfig}</pre>
<button id="copy" type="button" hidden>Copy</button> <span id="copied" role="status"></span></section>`
}

function waitingSections({ pending, held, absent, kept, withdrawn }: Status): Html[] {
  const waiting = held.first.map(({ crate, reason, since, tries }) => [
    crate,
    reason,
    time(since),
    tries,
  ])
  const gone = absent.first.map(({ crate, version, status, first, last }) => {
    return [`${crate}@${version}`, status, time(first), time(last)]
  })
  const lost = kept.first.map(({ crate, versions, first, last }) => {
    return [crate, versions === null ? 'all' : versions.join(', '), time(first), time(last)]
  })
  const taken = withdrawn.first.map(({ crate, version, why, at }) => {
    return [`${crate}@${version}`, why, time(at)]
  })
  return [
    ...(pending === null ? [] : [pendingSection(pending)]),
    table('Held', ['Crate', 'Reason', 'Since', 'Tries'], held, waiting),
    table('Absent at the origin', ['Version', 'Status', 'First', 'Last'], absent, gone),
    table('Gone upstream, kept here', ['Crate', 'Versions', 'First', 'Last'], kept, lost),
    table('Quarantined', ['Version', 'Reason', 'At'], withdrawn, taken),
  ]
}

function pendingSection(pending: NonNullable<Status['pending']>): Html {
  const { bundleId, targets, missing, volumesNotSeen, at } = pending
  return html`<section aria-labelledby="waits"><h2 id="waits">Import that waits</h2>
<p>Bundle <code>${bundleId.slice(0, 8)}</code> with targets ${targets}, since ${time(at)}: ${missing} files are
missing, ${volumesNotSeen} volumes were not seen.</p></section>`
}

function table(
  title: string,
  heads: readonly string[],
  { total }: Listed<unknown>,
  rows: readonly (readonly Cell[])[],
): Html {
  const id = title.toLowerCase().replaceAll(/[^a-z]+/g, '-')
  const heading = html`<h2 id="${id}">${title} <span class="count">${grouped(total)}</span></h2>`
  if (total === 0) return html`<section aria-labelledby="${id}">${heading}<p>None.</p></section>`
  const shown = rows.slice(0, ROWS_MAX)
  const more = total - shown.length
  return html`<section aria-labelledby="${id}">${heading}
${tableOf(heads, shown, id)}
${more > 0 ? html`<p>And ${grouped(more)} more; see <a href="api/status">api/status</a>.</p>` : ''}</section>`
}

function ago(at: string, now: string): string {
  return `${durationText((Date.parse(now) - Date.parse(at)) / 1000)} ago`
}

function hostOf(url: string): string {
  return URL.parse(url)?.host ?? url
}

const grouped = (count: number): string => count.toLocaleString('en')
