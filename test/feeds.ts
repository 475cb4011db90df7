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
