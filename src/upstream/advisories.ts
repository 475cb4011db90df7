import { type CrateName, parseCrateName } from '../registry/crate-name.ts'
import { children, textOf, topElement } from './xml.ts'

/** RustSec says that this crate, or versions of it, were malware and are gone from crates.io. */
export interface Advisory {
  readonly id: string
  readonly crate: CrateName
  readonly title: string
}

/**
 * The malware among RustSec's Atom feed. An entry's `id` is the advisory's page, its `summary` the
 * advisory's title; for malware that is "`name` was removed from crates.io for malicious code", in
 * older ones "malicious crate `name`". A text that only speaks of malicious input says neither. Not
 * sure is no: whoever acts on it asks besides that the index has lost the crate or versions of it.
 */
export function readAdvisories(bytes: Uint8Array): readonly Advisory[] {
  const entries = children(topElement(bytes, 'of advisories', 'feed'), 'entry')
  return entries.flatMap(entry => {
    const id = /\b(RUSTSEC-\d{4}-\d{4,6})\b/.exec(textOf(entry, 'id') ?? '')?.[1]
    const title = unescaped(textOf(entry, 'summary') ?? '')
    const crate = malwareIn(title)
    return id === undefined || crate === undefined ? [] : [{ id, crate, title }]
  })
}

function malwareIn(title: string): CrateName | undefined {
  const isRemoved = /removed from crates\.io/i.test(title) && /\bmal(?:icious|ware)\b/i.test(title)
  if (!isRemoved && !/^malicious crate\b/i.test(title)) return undefined
  return parseCrateName(/`([^`]+)`/.exec(title)?.[1] ?? /^(\S+) was removed/.exec(title)?.[1])
}

/** The feed's titles are escaped twice. */
function unescaped(text: string): string {
  return text.replaceAll('&#x27;', "'").replaceAll('&quot;', '"').replaceAll('&#96;', '`')
}
