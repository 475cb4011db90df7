import { type CrateName, parseCrateName } from '../registry/crate-name.ts'
import { parseVersion, type Version } from '../registry/version.ts'
import { children, FeedRefused, textOf, topElement } from './xml.ts'

/** One piece of news: a new version, or (without one) a new crate. */
interface FeedItem {
  readonly guid: string
  readonly crate: CrateName
  readonly version: Version | undefined
}

/** The newest first, as they stand there. */
export interface Feed {
  readonly items: readonly FeedItem[]
}

const ITEMS_MAX = 100_000

/**
 * The feeds of crates.io, RSS 2.0: `updates.xml` (new versions) and `crates.xml` (new crates). Each
 * item has a guid, its crate's URL, and says crate and version in elements `crates:name` and
 * `crates:version`. An item about what nobody could mirror is left out.
 */
export function readFeed(bytes: Uint8Array, name: string): Feed {
  const [channel] = children(topElement(bytes, name, 'rss'), 'channel')
  if (channel === undefined) throw new FeedRefused(name, 'has no channel')
  const items = children(channel, 'item')
  if (items.length > ITEMS_MAX) throw new FeedRefused(name, `has more than ${ITEMS_MAX} items`)
  return {
    items: items.flatMap(item => {
      const guid = textOf(item, 'guid')
      const crate = parseCrateName(textOf(item, 'crates:name'))
      if (guid === undefined || guid.length > 512 || crate === undefined) return []
      return [{ guid, crate, version: parseVersion(textOf(item, 'crates:version')) }]
    }),
  }
}
