interface NewVersion {
  readonly name: string
  readonly version: string
  readonly at: Date
}

/** `rss/updates.xml` as crates.io publishes it; the newest item first is the caller's business. */
export function updatesXml(items: readonly NewVersion[]): string {
  return feed('recent updates', 'updates', items.map(newVersion))
}

/** `rss/crates.xml` as crates.io publishes it. */
export function cratesXml(items: readonly { readonly name: string; readonly at: Date }[]): string {
  return feed('newest crates', 'crates', items.map(newCrate))
}

/**
 * RustSec's feed as its own program makes it, of removals of malware: the words of `title` are who
 * wrote the advisory's, and escaped twice; the rest follows from id, name and category.
 */
export function advisoriesXml(
  items: readonly { readonly id: string; readonly name: string; readonly title: string }[],
  at: Date,
): string {
  const day = `${at.toISOString().slice(0, 10)}T12:00:00+00:00`
  const entries = items.map(({ id, name, title }) => {
    const url = `https://rustsec.org/advisories/${id}.html`
    const made = `${id}: ${name} contained malicious code`
    return `<entry><title>${made}</title><id>${url}</id><updated>${day}</updated>
<category term="malicious"/><link href="${url}" rel="alternate" type="text/html" title="${made}"/>
<published>${day}</published><summary xml:lang="en">${escaped(escaped(title))}</summary>
<content xml:lang="en" type="html">${escaped(`<article><h1>${id}</h1></article>`)}</content></entry>`
  })
  return `<?xml version="1.0"?>
<feed xmlns="http://www.w3.org/2005/Atom"><title>RustSec Advisories</title>
<id>https://rustsec.org/feed.xml</id><updated>${day}</updated>${entries.join('')}</feed>
`
}

function newVersion({ name, version, at }: NewVersion): string {
  const title = `New crate version published: ${name} v${version}`
  const link = `https://crates.io/crates/${name}/${version}`
  return item({ title, link, at }, [element('name', name), element('version', version)])
}

function newCrate({ name, at }: { readonly name: string; readonly at: Date }): string {
  const link = `https://crates.io/crates/${name}`
  return item({ title: `New crate created: ${name}`, link, at }, [element('name', name)])
}

function item(
  { title, link, at }: { readonly title: string; readonly link: string; readonly at: Date },
  extensions: readonly string[],
): string {
  return `        <item>
            <title>${escaped(title)}</title>
            <link>${escaped(link)}</link>
            <description><![CDATA[it's <b>good</b> & new]]></description>
            <guid>${escaped(link)}</guid>
            <pubDate>${at.toUTCString().replace('GMT', '+0000')}</pubDate>
            ${extensions.join('\n            ')}
        </item>`
}

function element(name: string, text: string): string {
  return `<crates:${name}>${escaped(text)}</crates:${name}>`
}

function feed(title: string, file: string, items: readonly string[]): string {
  return [
    `<?xml version="1.0" encoding="utf-8"?>
<rss version="2.0" xmlns:atom="http://www.w3.org/2005/Atom" xmlns:crates="https://crates.io/">
    <channel>
        <title>crates.io: ${title}</title>
        <link>https://crates.io/</link>
        <description>${title} on the crates.io package registry</description>
        <language>en</language>
        <atom:link href="https://static.crates.io/rss/${file}.xml" rel="self" type="application/rss+xml"/>`,
    ...items,
    '    </channel>\n</rss>\n',
  ].join('\n')
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
