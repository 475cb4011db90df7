import type { XmlElement } from '@rgrove/parse-xml'
import { quoted } from '../error.ts'
import { type CrateName, parseCrateName } from '../registry/crate-name.ts'
import { parseVersion, type Version } from '../registry/version.ts'
import { FeedRefused } from './faults.ts'
import { elementsIn, feedRoot, textIn } from './feed-document.ts'

/** Malware that the crates.io team removed, as RustSec tells it. */
export interface Advisory {
  /** As in `RUSTSEC-2026-0259`. */
  readonly id: string
  readonly crate: CrateName
  /** The one version that was malware, where the crate as such was not; undefined: all of it. */
  readonly version: Version | undefined
  readonly title: string
  /** When it was issued, to the day: `YYYY-MM-DDT12:00:00Z`. */
  readonly at: string
}

const ENTRIES_MAX = 10_000
const ATOM = 'http://www.w3.org/2005/Atom'

/**
 * Reads RustSec's Atom feed (the last week, at least ten) and keeps the removals of malware. One is
 * told by all of: the category `malicious`, which RustSec gives to malware and never to a flaw that
 * malicious input triggers; the title that its program makes for that category alone, `ID: CRATE
 * contained malicious code`, with the id that the link has; the words `CRATE was removed from
 * crates.io`, with or without a version, of whoever wrote it; and no sign that it was withdrawn.
 * What lacks one is left out, so a removal that was written up otherwise goes unnoticed here.
 * @throws {FeedRefused}
 */
export function readAdvisories(
  bytes: Uint8Array,
  name: string = 'https://rustsec.org/feed.xml',
): readonly Advisory[] {
  const root = feedRoot(bytes, name)
  if (root.name !== 'feed' || root.attributes['xmlns'] !== ATOM) {
    throw new FeedRefused(name, `is not Atom (starts with ${quoted(`<${root.name}>`)})`)
  }
  const entries = elementsIn(root, 'entry')
  if (entries.length > ENTRIES_MAX) {
    throw new FeedRefused(name, `has ${entries.length} entries, at most ${ENTRIES_MAX} are read`)
  }
  return entries.map(malwareOf).filter(advisory => advisory !== undefined)
}

const LINK = /^https:\/\/rustsec\.org\/advisories\/(RUSTSEC-\d{4}-\d{4,})\.html$/
const MADE_TITLE = /^(RUSTSEC-\d{4}-\d{4,}): (\S+) contained malicious code$/
const WRITTEN_TITLE = /^`([^`\s]+)`(?: (\S+))? was removed from crates\.io\b/
const ISSUED = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:Z|\+00:00)$/

function malwareOf(entry: XmlElement): Advisory | undefined {
  if (!hasCategory(entry, 'malicious') || isWithdrawn(entry)) return undefined
  const id = LINK.exec(textIn(entry, 'id') ?? '')?.[1]
  const [, titleId, titleCrate] = MADE_TITLE.exec(textIn(entry, 'title') ?? '') ?? []
  const title = textIn(entry, 'summary') ?? ''
  const [, name, versionText] = WRITTEN_TITLE.exec(title) ?? []
  const at = ISSUED.exec(textIn(entry, 'published') ?? '')?.[1]
  if (id === undefined || id !== titleId || at === undefined) return undefined
  const crate = parseCrateName(name)
  if (crate === undefined || crate !== titleCrate) return undefined
  const version = parseVersion(versionText)
  // Words in the place of a version could narrow the removal in a way that we do not understand.
  if (version === undefined && versionText !== undefined) return undefined
  return { id, crate, version, title, at: `${at}Z` }
}

function hasCategory(entry: XmlElement, term: string): boolean {
  return elementsIn(entry, 'category').some(({ attributes }) => attributes['term'] === term)
}

/** Only the page of an advisory, which the entry carries as HTML, says so; without it we cannot tell. */
function isWithdrawn(entry: XmlElement): boolean {
  const page = textIn(entry, 'content')
  return page === undefined || /class="withdrawn"|has been withdrawn/.test(page)
}
