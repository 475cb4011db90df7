import { parseXml, XmlElement, XmlError } from '@rgrove/parse-xml'
import { quoted } from '../error.ts'
import { FeedRefused } from './faults.ts'
import { LIMITS } from './limits.ts'

const DEPTH_MAX = 32
/** Tags, comments and the like: some fifteen for each of 10,000 items, and as many again. */
const MARKS_MAX = 300_000
const TAG_LENGTH_MAX = 65_536

/**
 * The root element of a feed: XML in UTF-8, without a document type, of modest depth and size. The
 * parser loads and expands no entities of a document's own, but it recurses, and makes an object of
 * each tag, so these are counted before.
 * @throws {FeedRefused}
 */
export function feedRoot(bytes: Uint8Array, name: string): XmlElement {
  if (bytes.length > LIMITS.feedBytes) {
    throw new FeedRefused(name, `is longer than ${LIMITS.feedBytes} bytes, the most for a feed`)
  }
  const text = decoded(bytes, name)
  if (text.trim() === '') throw new FeedRefused(name, 'is empty')
  assertModest(text, name)
  return parsed(text, name)
}

/** The elements right below `element` that have this name, prefix included. */
export function elementsIn(element: XmlElement, name: string): readonly XmlElement[] {
  return element.children.filter(
    child => child instanceof XmlElement && child.name === name,
  ) as XmlElement[]
}

/** The text of the one element of this name, without white space around it; undefined unless there is exactly one. */
export function textIn(element: XmlElement, name: string): string | undefined {
  const [only, another] = elementsIn(element, name)
  return another === undefined ? only?.text.trim() : undefined
}

function decoded(bytes: Uint8Array, name: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw new FeedRefused(name, 'is not UTF-8', error)
  }
}

/** Elements are counted as they open and close; what may hold any text is passed over. */
function assertModest(text: string, name: string): void {
  let depth = 0
  let marks = 0
  for (const mark of marksOf(text, name)) {
    marks += 1
    if (mark === 'opens') depth += 1
    if (mark === 'closes') depth -= 1
    if (depth > DEPTH_MAX) throw new FeedRefused(name, `is nested more than ${DEPTH_MAX} deep`)
    if (marks > MARKS_MAX) throw new FeedRefused(name, `has more than ${MARKS_MAX} tags`)
  }
}

const OPAQUE = [
  { begin: '<![CDATA[', end: ']]>' },
  { begin: '<!--', end: '-->' },
  { begin: '<?', end: '?>' },
] as const

/** What stands in angle brackets, one after the other, each looked at once. */
function* marksOf(text: string, name: string): Generator<'opens' | 'closes' | 'neither'> {
  for (let at = text.indexOf('<'); at >= 0; at = text.indexOf('<', at)) {
    const opaque = OPAQUE.find(({ begin }) => text.startsWith(begin, at))
    if (opaque === undefined && text.startsWith('<!', at)) {
      throw new FeedRefused(name, 'has a document type, as a page of a proxy has')
    }
    const end =
      opaque === undefined ? endOfTag(text, at) : endOf(text, at + opaque.begin.length, opaque.end)
    if (end === undefined) {
      const found = quoted(text.slice(at, at + 40))
      throw new FeedRefused(name, `is not XML, or cut (no end of ${found})`)
    }
    if (opaque !== undefined || text.startsWith('/>', end - 2)) yield 'neither'
    else yield text.startsWith('</', at) ? 'closes' : 'opens'
    at = end
  }
}

const IN_TAG = /["'<>]/g

/** Not one pattern for a whole tag: on a long one that never ends it would try for ever. */
function endOfTag(text: string, start: number): number | undefined {
  const last = start + TAG_LENGTH_MAX
  for (let at = start + 1; at <= last; ) {
    IN_TAG.lastIndex = at
    const found = IN_TAG.exec(text)
    if (found === null || found[0] === '<' || found.index > last) return undefined
    if (found[0] === '>') return found.index + 1
    at = endOf(text, found.index + 1, found[0]) ?? Number.POSITIVE_INFINITY
  }
  return undefined
}

function endOf(text: string, from: number, end: string): number | undefined {
  const at = text.indexOf(end, from)
  return at < 0 ? undefined : at + end.length
}

function parsed(text: string, name: string): XmlElement {
  try {
    const { root } = parseXml(text)
    if (root !== null) return root
  } catch (error) {
    if (!(error instanceof XmlError)) throw error
    // The lines that follow show the place; ours is one line.
    const [first = ''] = error.message.split('\n')
    throw new FeedRefused(name, `is not XML, or cut (${quoted(first)})`, error)
  }
  throw new FeedRefused(name, 'has no element')
}
