import { parseXml, XmlCdata, XmlElement, XmlText } from '@rgrove/parse-xml'
import { MirrorError, quoted } from '../error.ts'

/** What came is not the feed that was asked for; a proxy's page passes, so it may be asked for again. */
export class FeedRefused extends MirrorError {
  constructor(name: string, fault: string, cause?: unknown) {
    super('incomplete', `the feed ${name} ${fault}`, { cause, transient: true })
  }
}

/** No feed of ours is deeper; a parser that recurses must not be led down. */
const DEPTH_MAX = 64
const strictUtf8 = new TextDecoder('utf-8', { fatal: true })

/**
 * The top element of an XML document, which must have this name. A document type is refused before
 * anything is parsed: entities of its own are what makes XML dangerous, and no feed needs them.
 */
export function topElement(bytes: Uint8Array, name: string, top: string): XmlElement {
  const text = decoded(bytes, name)
  if (/<!DOCTYPE/i.test(text)) throw new FeedRefused(name, startOf(text, 'has a document type'))
  if (depthOf(text) > DEPTH_MAX) throw new FeedRefused(name, `is nested deeper than ${DEPTH_MAX}`)
  let element: XmlElement | null
  try {
    element = parseXml(text).root
  } catch (error) {
    throw new FeedRefused(name, startOf(text, 'is not XML'), error)
  }
  if (element?.name === top) return element
  throw new FeedRefused(name, `begins with ${quoted(element?.name ?? '')}, expected ${top}`)
}

export function children(element: XmlElement, name: string): XmlElement[] {
  return element.children.filter(
    (child): child is XmlElement => child instanceof XmlElement && child.name === name,
  )
}

/** The text directly in the first child of that name. */
export function textOf(element: XmlElement, name: string): string | undefined {
  const [child] = children(element, name)
  const texts = child?.children.filter(one => one instanceof XmlText || one instanceof XmlCdata)
  return texts
    ?.map(one => (one as XmlText).text)
    .join('')
    .trim()
}

function decoded(bytes: Uint8Array, name: string): string {
  try {
    return strictUtf8.decode(bytes)
  } catch (error) {
    throw new FeedRefused(name, 'is not UTF-8', error)
  }
}

/** Never too small: what looks like a tag in a comment counts too. */
function depthOf(text: string): number {
  let depth = 0
  let deepest = 0
  for (const [, slash, end] of text.matchAll(/<(\/?)[A-Za-z_][^<>]*?(\/?)>/g)) {
    if (slash === '/') depth -= 1
    else if (end === '') depth += 1
    deepest = Math.max(deepest, depth)
  }
  return deepest
}

function startOf(text: string, fault: string): string {
  return `${fault} (starts with ${quoted(text.slice(0, 24))}); a proxy may be in between`
}
