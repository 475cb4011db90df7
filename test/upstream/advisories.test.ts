import { expect, test } from 'vitest'
import { readAdvisories } from '../../src/upstream/advisories.ts'
import { FeedRefused } from '../../src/upstream/faults.ts'

interface Entry {
  readonly id: string
  readonly title: string
  readonly summary: string
  readonly categories: readonly string[]
  readonly page?: string
}

const MALWARE: Entry = {
  id: 'RUSTSEC-2026-0259',
  title: 'RUSTSEC-2026-0259: lazystatic contained malicious code',
  summary: '`lazystatic` was removed from crates.io for malicious code',
  categories: ['malicious'],
}

/** One entry in the form that RustSec's own program gives it. */
function entry({ id, title, summary, categories, page = pageOf(id) }: Entry): string {
  const url = `https://rustsec.org/advisories/${id}.html`
  return `<entry><title>${escaped(title)}</title><id>${url}</id>
<updated>2026-08-21T12:00:00+00:00</updated>
${categories.map(term => `<category term="${term}"/>`).join('')}
<link href="${url}" rel="alternate" type="text/html" title="${escaped(title)}"/>
<published>2026-08-20T12:00:00+00:00</published>
<summary xml:lang="en">${escaped(summary)}</summary>
<content xml:lang="en" type="html">${escaped(page)}</content></entry>`
}

function pageOf(id: string, kind = ''): string {
  return `<article><header><h1><span class="${kind}">${id}</span></h1></header></article>`
}

function feed(...entries: readonly Entry[]): string {
  return `<?xml version="1.0"?>
<feed xmlns="http://www.w3.org/2005/Atom"><title>RustSec Advisories</title>
<id>https://rustsec.org/feed.xml</id><updated>2026-08-20T12:00:00+00:00</updated>
<subtitle xml:lang="en">Security advisories</subtitle>${entries.map(entry).join('')}</feed>`
}

function escaped(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}

function read(text: string): ReturnType<typeof readAdvisories> {
  return readAdvisories(new TextEncoder().encode(text))
}

test('a crate that was removed as malware is told with its advisory', () => {
  expect(read(feed(MALWARE))).toEqual([
    {
      id: 'RUSTSEC-2026-0259',
      crate: 'lazystatic',
      version: undefined,
      title: '`lazystatic` was removed from crates.io for malicious code',
      at: '2026-08-20T12:00:00Z',
    },
  ])
})

test('of a good crate only the version that was malware is told', () => {
  const advisory = {
    id: 'RUSTSEC-2026-0260',
    title: 'RUSTSEC-2026-0260: arrayref contained malicious code',
    summary: '`arrayref` 0.3.10 was removed from crates.io due to a malicious dependency',
    categories: ['code-execution', 'malicious'],
  }
  expect(read(feed(advisory))).toMatchObject([{ crate: 'arrayref', version: '0.3.10' }])
})

test.for<[string, Partial<Entry>]>([
  [
    'a flaw that malicious input triggers',
    {
      title: 'RUSTSEC-2026-0259: Vulnerability in lazystatic',
      summary: 'Malicious input could cause uninitialized memory to be exposed',
      categories: ['memory-exposure'],
    },
  ],
  [
    'a flaw whose author imitates the words',
    { title: 'RUSTSEC-2026-0259: Vulnerability in lazystatic', categories: ['code-execution'] },
  ],
  ['a removal without the category', { categories: [] }],
  ['a category that only sounds like it', { categories: ['malicious-input'] }],
  ['an unmaintained crate', { title: 'RUSTSEC-2026-0259: lazystatic is unmaintained' }],
  ['an advisory that was withdrawn', { page: pageOf('RUSTSEC-2026-0259', 'withdrawn') }],
  ['one of another crate than its title', { summary: '`serde` was removed from crates.io' }],
  ['one of another id than its link', { id: 'RUSTSEC-2026-0001' }],
  ['a name that is none', { title: 'RUSTSEC-2026-0259: ../x contained malicious code' }],
  ['malware that is still there', { summary: 'malicious crate `lazystatic`' }],
  [
    'a removal of what we do not understand',
    { summary: '`lazystatic` before-2.0 was removed from crates.io for malicious code' },
  ],
])('%s is not told as malware', ([, change]) => {
  expect(read(feed({ ...MALWARE, ...change }))).toEqual([])
  const other = {
    id: 'RUSTSEC-2026-0300',
    title: 'RUSTSEC-2026-0300: if-cfg contained malicious code',
    summary: '`if-cfg` was removed from crates.io for malicious code',
    categories: ['malicious'],
  }
  expect(read(feed({ ...MALWARE, ...change }, other))).toMatchObject([{ crate: 'if-cfg' }])
})

test.for(['content', 'published', 'summary', 'title', 'id'])(
  'an entry without its %s is not told as malware',
  name => {
    const [before, after] = feed(MALWARE).split('<entry>')
    const cut = after?.replace(new RegExp(`<${name}[ >].*?</${name}>`), '')
    expect(cut).not.toBe(after)
    expect(read(`${before}<entry>${cut}`)).toEqual([])
  },
)

test.for([
  ['a page of a proxy', '<html><body>Log in</body></html>', 'is not Atom (starts with "<html>")'],
  ['RSS', '<rss version="2.0"><channel/></rss>', 'is not Atom (starts with "<rss>")'],
  ['a document type', `<!DOCTYPE feed>${feed(MALWARE)}`, 'has a document type'],
  ['a cut feed', feed(MALWARE).slice(0, -1), 'is not XML'],
] as const)('%s is refused as a feed of advisories', ([, text, fault]) => {
  expect(() => read(text)).toThrow(FeedRefused)
  expect(() => read(text)).toThrow(`https://rustsec.org/feed.xml: ${fault}`)
})
