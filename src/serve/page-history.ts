import { bytesText, durationText } from '../units.ts'
import { type Html, html } from './html.ts'
import { tableOf, time } from './page-parts.ts'
import type { Status } from './status.ts'

/** Freshness over time, the last runs, and what media brought and took. */
export function historySection(status: Status): Html {
  const { runs, bundles } = status
  const runRows = runs.map(({ at, command, exit, seconds, outcome, artifacts, received }) => [
    time(at),
    command,
    exit,
    outcome ?? '',
    durationText(seconds),
    artifacts ?? '',
    received === null ? '' : bytesText(received),
  ])
  const heads = ['At', 'Command', 'Exit', 'Outcome', 'Took', 'Artifacts', 'Received']
  const bundleRows = bundles.map(({ at, direction, exit, outcome }) => [
    time(at),
    direction,
    exit,
    outcome ?? '',
  ])
  return html`<section aria-labelledby="freshness"><h2 id="freshness">Freshness</h2>
<p>${freshnessText(status)}</p>
<div id="chart" role="img" aria-labelledby="freshness" hidden></div></section>
<section aria-labelledby="runs"><h2 id="runs">Last runs</h2>
${runs.length === 0 ? html`<p>None.</p>` : tableOf(heads, runRows, 'runs')}</section>
<section aria-labelledby="bundles"><h2 id="bundles">Bundles in and out</h2>
${bundles.length === 0 ? html`<p>None.</p>` : tableOf(['At', 'Direction', 'Exit', 'Outcome'], bundleRows, 'bundles')}</section>`
}

/** What the chart shows, in words. */
function freshnessText({ at, fresh: { compared, withinHours } }: Status): string {
  if (compared.length === 0) return 'Not compared with its source in the last 30 days.'
  const times = [...compared, at].map(one => Date.parse(one))
  const gaps = times.slice(1).map((one, index) => one - (times[index] ?? one))
  const longest = durationText(Math.max(...gaps) / 1000)
  const count = `Comparisons with its source in the last 30 days: ${compared.length}`
  return `${count}; the longest time between two was ${longest}, wanted is at most ${withinHours} h.`
}
