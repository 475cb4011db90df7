import type { XmlElement } from '@rgrove/parse-xml'
import { quoted } from '../error.ts'
import { type CrateName, parseCrateName } from '../registry/crate-name.ts'
import { parseVersion, type Version } from '../registry/version.ts'
import { FeedRefused } from './faults.ts'
import { elementsIn, feedRoot, textIn } from './feed-document.ts'

/** A version, or in the feed of new crates a crate, that was published. A hint where to look, no more. */
interface FeedItem {
  /** Names the item for good, so that a reader knows how far it had come: the page of the version. */
  readonly guid: string
  readonly crate: CrateName
  /** Undefined in the feed of new crates, and where it is not a version. */
  readonly version: Version | undefined
  /** As `YYYY-MM-DDTHH:MM:SSZ`; undefined where it cannot be told. */
  readonly published: string | undefined
}

/** What crates.io published last, in the feed's order, which is newest first. Nothing in it is believed. */
export interface Feed {
  readonly items: readonly FeedItem[]
  /** Items without a crate's name or a guid. */
  readonly skipped: number
}

const ITEMS_MAX = 10_000
const GUID_LENGTH_MAX = 1_000
const CRATES_NAMESPACE = 'https://crates.io/'

/**
 * Reads `rss/updates.xml` or `rss/crates.xml` of crates.io. An item that cannot be read is skipped,
 * since anyone can publish; only a document that is not such a feed at all is refused.
 * @throws {FeedRefused}
 */
export function readFeed(bytes: Uint8Array, name: string): Feed {
  const channel = channelOf(feedRoot(bytes, name), name)
  const elements = elementsIn(channel, 'item')
  if (elements.length > ITEMS_MAX) {
    throw new FeedRefused(name, `has ${elements.length} items, at most ${ITEMS_MAX} are read`)
  }
  const items = elements.map(itemOf).filter(item => item !== undefined)
  return { items, skipped: elements.length - items.length }
}

function channelOf(root: XmlElement, name: string): XmlElement {
  if (root.name !== 'rss' || root.attributes['version'] !== '2.0') {
    const hint = /^html$/i.test(root.name) ? '; a proxy may be in between' : ''
    throw new FeedRefused(name, `is not RSS 2.0 (starts with ${quoted(`<${root.name}>`)})${hint}`)
  }
  if (root.attributes['xmlns:crates'] !== CRATES_NAMESPACE) {
    throw new FeedRefused(name, 'is RSS, but no feed of crates.io (has no elements of its own)')
  }
  const [channel, another] = elementsIn(root, 'channel')
  if (channel === undefined || another !== undefined) {
    throw new FeedRefused(name, 'is RSS without exactly one channel')
  }
  return channel
}

function itemOf(element: XmlElement): FeedItem | undefined {
  const crate = parseCrateName(textIn(element, 'crates:name'))
  const guid = textIn(element, 'guid')
  if (crate === undefined || guid === undefined) return undefined
  if (guid === '' || guid.length > GUID_LENGTH_MAX) return undefined
  return {
    guid,
    crate,
    version: parseVersion(textIn(element, 'crates:version')),
    published: instantOf(textIn(element, 'pubDate')),
  }
}

const RFC_2822 = /^[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d (?:[+-]\d{4}|GMT)$/

function instantOf(text: string | undefined): string | undefined {
  if (text === undefined || !RFC_2822.test(text)) return undefined
  const ms = Date.parse(text)
  if (Number.isNaN(ms)) return undefined
  return Temporal.Instant.fromEpochMilliseconds(ms).toString()
}
