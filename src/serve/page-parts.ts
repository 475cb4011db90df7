import { type Html, html } from './html.ts'

export type Cell = string | number | Html

/** It scrolls by itself where it is wider than the screen, by keyboard too. */
export function tableOf(
  heads: readonly string[],
  rows: readonly (readonly Cell[])[],
  labelledBy: string,
): Html {
  const head = heads.map(one => html`<th scope="col">${one}</th>`)
  const body = rows.map(row => html`<tr>${row.map(cell => html`<td>${cell}</td>`)}</tr>\n`)
  return html`<div class="wide" tabindex="0" role="region" aria-labelledby="${labelledBy}"><table>
<thead><tr>${head}</tr></thead>
<tbody>${body}</tbody></table></div>`
}

export function time(at: string): Html {
  return html`<time datetime="${at}">${at.slice(0, 10)} ${at.slice(11, 16)} UTC</time>`
}
