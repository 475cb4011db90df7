import { parseXml, XmlElement, XmlError } from '@rgrove/parse-xml'
import { quoted } from '../error.ts'
import { FeedRefused } from './faults.ts'
import { LIMITS } from './limits.ts'

const DEPTH_MAX = 32

/**
 * The root element of a feed: XML in UTF-8, without a document type, not nested deeply. The parser
 * loads and expands no entities of a document's own, but it recurses, so depth is looked at before.
 * @throws {FeedRefused}
 */
export function feedRoot(bytes: Uint8Array, name: string): XmlElement {
  if (bytes.length > LIMITS.feedBytes) {
    throw new FeedRefused(name, `is longer than ${LIMITS.feedBytes} bytes, the most for a feed`)
  }
  const text = decoded(bytes, name)
  if (text.trim() === '') throw new FeedRefused(name, 'is empty')
  assertShallow(text, name)
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

const TAG = /<(\/?)[^\s<>"'/!?]+(?:[^<>"']|"[^<"]*"|'[^<']*')*>/y

/** Elements are counted as they open and close; what may hold any text is passed over. */
function assertShallow(text: string, name: string): void {
  let depth = 0
  for (let at = text.indexOf('<'); at >= 0; at = text.indexOf('<', at)) {
    const opaque = OPAQUE.find(({ begin }) => text.startsWith(begin, at))
    if (opaque !== undefined) {
      at = endOf(text, at + opaque.begin.length, opaque.end, name)
      continue
    }
    if (text.startsWith('<!', at))
      throw new FeedRefused(name, 'has a document type, as a page of a proxy has')
    TAG.lastIndex = at
    const tag = TAG.exec(text)
    if (tag === null)
      throw new FeedRefused(name, `is not XML (broken tag ${quoted(text.slice(at, at + 40))})`)
    at = TAG.lastIndex
    if (tag[1] === '/') depth -= 1
    else if (!tag[0].endsWith('/>')) depth += 1
    if (depth > DEPTH_MAX) throw new FeedRefused(name, `is nested more than ${DEPTH_MAX} deep`)
  }
}

const OPAQUE = [
  { begin: '<![CDATA[', end: ']]>' },
  { begin: '<!--', end: '-->' },
  { begin: '<?', end: '?>' },
] as const

function endOf(text: string, from: number, end: string, name: string): number {
  const at = text.indexOf(end, from)
  if (at < 0) throw new FeedRefused(name, `is cut: no ${quoted(end)} follows`)
  return at + end.length
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
