/** The feeds of crates.io and of RustSec, in the form that they have there. */

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

function rss(title: string, items: readonly string[]): string {
  return `<?xml version="1.0" encoding="utf-8"?>
<rss version="2.0" xmlns:atom="http://www.w3.org/2005/Atom" xmlns:crates="https://crates.io/"><channel><title>${title}</title><link>https://crates.io/</link><description>News</description>
${items.join('\n')}
</channel></rss>
`
}

export function updatesXml(
  items: readonly { readonly name: string; readonly version?: string; readonly at: Date }[],
): string {
  const shown = items.map(({ name, version = '', at }) => {
    const url = `https://crates.io/crates/${name}/${version}`
    return `<item><title>New crate version published: ${escaped(`${name} v${version}`)}</title><link>${url}</link><guid>${url}</guid><pubDate>${at.toUTCString()}</pubDate><crates:name>${name}</crates:name><crates:version>${version}</crates:version></item>`
  })
  return rss('crates.io: recent updates', shown)
}

export function cratesXml(items: readonly { readonly name: string; readonly at: Date }[]): string {
  const shown = items.map(({ name, at }) => {
    const url = `https://crates.io/crates/${name}`
    return `<item><title>New crate created: ${name}</title><link>${url}</link><guid>${url}</guid><pubDate>${at.toUTCString()}</pubDate><crates:name>${name}</crates:name></item>`
  })
  return rss('crates.io: newest crates', shown)
}

export function advisoriesXml(
  items: readonly { readonly id: string; readonly name: string; readonly title: string }[],
  at: Date,
): string {
  const entries = items.map(({ id, name, title }) => {
    const url = `https://rustsec.org/advisories/${id}.html`
    return `<entry><title>${id}: Security advisory for ${name}</title><id>${url}</id><updated>${at.toISOString()}</updated><link href="${url}" rel="alternate"/><summary xml:lang="en">${escaped(title)}</summary><content type="html">&lt;p&gt;${escaped(escaped(title))}&lt;/p&gt;</content></entry>`
  })
  return `<?xml version="1.0"?>
<feed xmlns="http://www.w3.org/2005/Atom"><title>RustSec Advisories</title><id>https://rustsec.org/feed.xml</id><updated>${at.toISOString()}</updated>${entries.join('')}</feed>
`
}
