import { expect, test } from 'vitest'
import { FeedRefused } from '../../src/upstream/faults.ts'
import { type Feed, readFeed } from '../../src/upstream/feed.ts'
import { cratesXml, updatesXml } from '../feeds.ts'

const NAME = 'https://static.crates.io/rss/updates.xml'
const AT = new Date('2026-08-20T09:12:33.456Z')

function read(text: string): Feed {
  return readFeed(new TextEncoder().encode(text), NAME)
}

function refusal(text: string | Uint8Array): string {
  const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text
  try {
    readFeed(bytes, NAME)
  } catch (error) {
    if (!(error instanceof FeedRefused)) throw error
    expect(error).toMatchObject({ code: 'incomplete', transient: true })
    expect(error.message).not.toContain('\n')
    return error.message
  }
  return expect.unreachable('the feed was taken')
}

const UPDATES = updatesXml([
  { name: 'serde', version: '1.0.300', at: AT },
  { name: 'openssl-src', version: '110.0.0+1.1.0f', at: new Date('2026-08-20T08:00:00Z') },
])

test('new versions are read in the order of the feed, newest first', () => {
  expect(read(UPDATES)).toEqual({
    items: [
      {
        guid: 'https://crates.io/crates/serde/1.0.300',
        crate: 'serde',
        version: '1.0.300',
        published: '2026-08-20T09:12:33Z',
      },
      {
        guid: 'https://crates.io/crates/openssl-src/110.0.0+1.1.0f',
        crate: 'openssl-src',
        version: '110.0.0+1.1.0f',
        published: '2026-08-20T08:00:00Z',
      },
    ],
    skipped: 0,
  })
})

test('new crates are read, which have no version yet', () => {
  expect(read(cratesXml([{ name: 'Inflector', at: AT }])).items).toEqual([
    {
      guid: 'https://crates.io/crates/Inflector',
      crate: 'Inflector',
      version: undefined,
      published: '2026-08-20T09:12:33Z',
    },
  ])
})

test('a feed without items is a feed', () => {
  expect(read(updatesXml([]))).toEqual({ items: [], skipped: 0 })
})

test.for([
  ['a name that leads out of a folder', '../../etc/passwd'],
  ['the name of a device', 'con'],
  ['no name', ''],
])('%s is skipped and counted, and the rest is read', ([, name = '']) => {
  const feed = read(
    updatesXml([
      { name, version: '1.0.0', at: AT },
      { name: 'serde', version: '1.0.0', at: AT },
    ]),
  )
  expect(feed.items.map(({ crate }) => crate)).toEqual(['serde'])
  expect(feed.skipped).toBe(1)
})

test.for([
  ['without a guid', '<guid>https://crates.io/crates/serde/1.0.300</guid>', ''],
  ['with an endless guid', '1.0.300</guid>', `${'1'.repeat(2_000)}</guid>`],
  ['with two names', '<crates:name>serde<', '<crates:name>tokio</crates:name><crates:name>serde<'],
  ['with a name of another vocabulary', /crates:name>serde<\/crates:name/, 'name>serde</name'],
] as const)('an item %s is skipped and counted', ([, from, to]) => {
  const feed = read(UPDATES.replace(from, to))
  expect(feed.items.map(({ crate }) => crate)).toEqual(['openssl-src'])
  expect(feed.skipped).toBe(1)
})

test.for([
  ['a version that is none', '<crates:version>1.0.300<', '<crates:version>latest<', 'version'],
  ['no date', /<pubDate>.*<\/pubDate>/, '', 'published'],
  ['a date that is none', /<pubDate>.*<\/pubDate>/, '<pubDate>yesterday</pubDate>', 'published'],
  ['a day that is none', /\d\d Aug 2026/, '99 Aug 2026', 'published'],
] as const)('an item with %s still names its crate', ([, from, to, field]) => {
  const [first] = read(UPDATES.replace(from, to)).items
  expect(first).toMatchObject({ crate: 'serde', [field]: undefined })
})

test.for([
  '<!DOCTYPE rss [<!ENTITY a "b">]> &a; <item><item><item>',
  ']]]]><![CDATA[>',
  '<!-- <a> --> <? <b> ?>',
  '\u{1f980} ünïcode \u202e',
])('whatever a description of anyone says, the feed is read: %j', description => {
  const feed = read(UPDATES.replaceAll("it's <b>good</b> & new", () => description))
  expect(feed.items).toHaveLength(2)
})

test('a name in a CDATA section, or as character references, is a name', () => {
  const feed = read(
    UPDATES.replace(':name>serde<', ':name><![CDATA[serde]]><').replace(
      ':version>1.0.300<',
      ':version>1&#46;0.300<',
    ),
  )
  expect(feed.items[0]).toMatchObject({ crate: 'serde', version: '1.0.300' })
})

const HTML = '<html><head><title>Hotel Wi-Fi</title></head><body>Please log in</body></html>'

test.for([
  ['nothing', '', 'is empty'],
  ['white space', ' \n ', 'is empty'],
  ['a page of a proxy', HTML, 'is not RSS 2.0 (starts with "<html>"); a proxy may be in between'],
  ['a page with a document type', `<!DOCTYPE html>\n${HTML}`, 'has a document type'],
  ['a page with an unclosed element', '<html><p>Log in<p></html>', 'is not XML, or cut'],
  ['text', 'too many requests', 'is not XML, or cut'],
  ['JSON', '{"errors":[{"detail":"not found"}]}', 'is not XML, or cut'],
  ['an older RSS', UPDATES.replace('version="2.0"', 'version="0.91"'), 'is not RSS 2.0'],
  ['Atom', '<feed xmlns="http://www.w3.org/2005/Atom"></feed>', 'is not RSS 2.0'],
  ['the news', '<rss version="2.0"><channel/></rss>', 'is RSS, but no feed of crates.io'],
  [
    'two channels',
    UPDATES.replace('</rss>', '<channel/></rss>'),
    'is RSS without exactly one channel',
  ],
  [
    'no channel',
    UPDATES.replace(/<channel>.*<\/channel>/s, ''),
    'is RSS without exactly one channel',
  ],
  ['a second root', `${UPDATES}<rss/>`, 'is not XML, or cut'],
  [
    'a tag that never ends',
    UPDATES.replace('</item>', '</item'),
    'is not XML, or cut (no end of "</item',
  ],
  ['a NUL', UPDATES.replace('serde', 'ser\0de'), 'is not XML, or cut'],
] as const)('%s is refused as a feed', ([, text, fault]) => {
  expect(refusal(text)).toContain(`${NAME}: ${fault}`)
})

test('a feed cut anywhere is refused', () => {
  const end = UPDATES.trimEnd().length
  for (let length = 0; length < end; length += 7) refusal(UPDATES.slice(0, length))
  refusal(UPDATES.slice(0, end - 1))
})

test('a feed that is not UTF-8 is refused', () => {
  expect(refusal(Buffer.from(UPDATES.replace('new', 'né'), 'latin1'))).toContain('is not UTF-8')
  expect(refusal(Buffer.from(UPDATES, 'utf16le'))).toMatch(/is not (UTF-8|XML)/)
})

test.for([
  ['<!DOCTYPE rss [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;&x;&x;&x;&x;&x;">]>', '&y;'],
  ['<!DOCTYPE rss SYSTEM "file:///etc/hostname">', 'x'],
  ['<!DOCTYPE rss [<!ENTITY x SYSTEM "file:///etc/hostname">]>', '&x;'],
  ['<!doctype rss>', 'x'],
  ['<!-- a comment --> <!DOCTYPE rss>', 'x'],
])('a document type is refused before anything of it is read: %s', ([type = '', text = '']) => {
  const feed = UPDATES.replace('<rss', `${type}<rss`).replace('serde', text)
  expect(refusal(feed)).toContain('has a document type')
})

test('an entity that nobody declared is refused', () => {
  expect(refusal(UPDATES.replace('serde', '&nbsp;'))).toContain('is not XML')
})

test('a feed of a million elements in each other is refused, not a full stack (P15)', () => {
  const deep = UPDATES.replace('<item>', `${'<a>'.repeat(1_000_000)}<item>`)
  expect(refusal(deep)).toContain('is nested more than 32 deep')
  const hidden = UPDATES.replace('<item>', `${'<a b="/>">'.repeat(100_000)}<item>`)
  expect(refusal(hidden)).toContain('is nested more than 32 deep')
})

test.for([
  ['comments', '<!--', 'no end of "<!--'],
  ['tags', '<a ', 'no end of "<a <a '],
  ['quotes', `<a b="'`, 'no end of "<a b='],
  ['attributes', '="" b', 'no end of "<item='],
  ['letters of one tag', 'aaa', 'no end of "<itemaaa'],
  ['elements', '<a/>', 'has more than 300000 tags'],
  ['instructions', '<?a?>', 'has more than 300000 tags'],
] as const)('a feed of millions of %s is refused in no time (P15)', ([, text, fault]) => {
  const started = performance.now()
  const within = text.startsWith('<') ? '<item>' : '<item'
  const feed = UPDATES.replace(within, within + text.repeat(2_500_000).slice(0, 15_000_000))
  expect(refusal(feed)).toContain(fault)
  expect(performance.now() - started).toBeLessThan(5_000)
})

test('more items than crates.io publishes in a week are refused (P15)', () => {
  const items = Array.from({ length: 10_001 }, () => ({ name: 'serde', version: '1.0.0', at: AT }))
  expect(refusal(updatesXml(items))).toContain('has 10001 items, at most 10000 are read')
})

test('a feed longer than 16 MiB is refused unread (P15)', () => {
  expect(refusal(new Uint8Array(16 * 1_048_576 + 1))).toContain('is longer than 16777216 bytes')
})

test('a message carries no control codes of the feed', () => {
  const message = refusal('<\u001b]0;owned\u0007 \u202e>')
  expect(message).not.toMatch(/[\p{Cc}\u202e]/u)
})
