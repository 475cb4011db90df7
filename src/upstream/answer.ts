import { quoted } from '../error.ts'
import { NotThere, TransferCut, Unavailable, WrongForm } from './faults.ts'
import { retryAfter } from './retry.ts'
import { type Place, shown } from './url-policy.ts'

/** What a request wants, as far as its answer is judged by it. */
export interface Asked {
  readonly kind: 'metadata' | 'tile' | 'index file' | 'artifact'
  /** More than this is never read. */
  readonly bytesMax: number
  /** The signed length, where the tree says one: then it decides, and nothing else. */
  readonly length: number | undefined
  /** The first byte wanted; above 0 a range is asked for. */
  readonly offset: number
}

/** The head of an HTTP answer. */
export interface Head {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}

/** A body worth reading. `length` is what the server promises; without one, chunks or the end say. */
export interface Taken {
  readonly next: 'take'
  readonly offset: number
  readonly length: number | undefined
  readonly isFramed: boolean
}

/** What an answer leads to. A `restart` is a range that cannot be had: from 0 then. */
export type Verdict =
  | Taken
  | { readonly next: 'follow'; readonly location: string }
  | { readonly next: 'wait'; readonly ms: number; readonly why: string }
  | { readonly next: 'restart' }

/** Judges the head of an answer: what to do with it, or an error that says whether to ask again. */
export function judge(head: Head, asked: Asked, place: Place, now: Date): Verdict {
  const { status, headers } = head
  if (status === 200) return taken(head, asked, place, { offset: 0, total: undefined })
  if (status === 206) return ranged(head, asked, place)
  if (status === 416 && asked.offset > 0) return { next: 'restart' }
  if ([301, 302, 303, 307, 308].includes(status)) return redirect(head, place)
  if ([403, 404, 410, 451].includes(status)) throw new NotThere(shown(place), status)
  const ms = retryAfter(headers['retry-after'], now)
  if (status === 429 || (status === 503 && ms !== undefined)) {
    return { next: 'wait', ms: ms ?? 0, why: `${shown(place)}: status ${status}` }
  }
  if (status === 408 || status === 425 || (status >= 500 && status <= 599)) {
    throw new Unavailable(`${shown(place)}: status ${status}`)
  }
  throw new WrongForm('incomplete', `${shown(place)}: expected status 200, found ${status}`)
}

/** More came, or is announced, than may come. */
export function tooLong(asked: Asked, place: Place): WrongForm {
  if (asked.length !== undefined) return wrongLength(asked, place, 'more')
  const message = `${shown(place)}: longer than ${asked.bytesMax} bytes, the most for this ${asked.kind}`
  return new WrongForm(codeOf(asked), message)
}

/** Where a length is signed another one is a wrong answer, which another try may better. */
export function wrongLength(asked: Asked, place: Place, found: number | 'more'): WrongForm {
  const message = `${shown(place)}: expected ${asked.length} bytes as signed, found ${found}`
  return new WrongForm('incomplete', message, { transient: true })
}

/** Of metadata a refused coding or size ends the refresh; of the rest it only keeps a crate waiting. */
export function codeOf(asked: Asked): 'refused' | 'incomplete' {
  return asked.kind === 'metadata' ? 'refused' : 'incomplete'
}

function taken(
  { headers }: Head,
  asked: Asked,
  place: Place,
  part: { readonly offset: number; readonly total: number | undefined },
): Taken {
  refuseCoding(headers, asked, place)
  const length = contentLength(headers, asked, place)
  const isFramed = length !== undefined || headers['transfer-encoding'] !== undefined
  if (!isFramed && asked.length === undefined) {
    throw new TransferCut(`${shown(place)}: came without a length, so a cut could not be seen`)
  }
  if (length !== undefined && asked.length !== undefined && length !== asked.length) {
    throw wrongLength(asked, place, length)
  }
  if (part.offset + (length ?? 0) > asked.bytesMax) throw tooLong(asked, place)
  if (part.total !== undefined && length !== undefined && length !== part.total - part.offset) {
    throw strike(place, `a range of ${part.total - part.offset} bytes`, `${length} bytes`)
  }
  return { next: 'take', offset: part.offset, length, isFramed }
}

/** Exactly the range asked for and to the end, or none: a shifted one would be hashed as ours. */
function ranged(head: Head, asked: Asked, place: Place): Verdict {
  const found = head.headers['content-range']
  if (asked.offset === 0) throw strike(place, 'status 200', '206, which was not asked for')
  const match =
    typeof found === 'string' ? /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(found) : null
  const [first, last, total] = (match ?? []).slice(1).map(Number)
  if (first !== asked.offset || total === undefined || last !== total - 1)
    return { next: 'restart' }
  return taken(head, asked, place, { offset: asked.offset, total })
}

function redirect({ status, headers }: Head, place: Place): Verdict {
  const { location } = headers
  if (typeof location === 'string') return { next: 'follow', location }
  throw new WrongForm('incomplete', `${shown(place)}: status ${status} without one location`)
}

/** We ask for identity; a body in any other coding could grow without bound, or hide a cut. */
function refuseCoding(headers: Head['headers'], asked: Asked, place: Place): void {
  const content = String(headers['content-encoding'] ?? 'identity')
  const transfer = String(headers['transfer-encoding'] ?? 'chunked')
  if (/^identity$/i.test(content) && /^chunked$/i.test(transfer)) return
  const found = /^identity$/i.test(content) ? transfer : content
  throw new WrongForm(
    codeOf(asked),
    `${shown(place)}: encoded as ${quoted(found)}, which was not asked for`,
  )
}

function contentLength(headers: Head['headers'], asked: Asked, place: Place): number | undefined {
  const text = headers['content-length']
  if (text === undefined) return undefined
  if (typeof text === 'string' && /^\d{1,15}$/.test(text)) return Number(text)
  throw new WrongForm(codeOf(asked), `${shown(place)}: content-length ${quoted(String(text))}`, {
    transient: true,
  })
}

function strike(place: Place, expected: string, found: string): WrongForm {
  const message = `${shown(place)}: expected ${expected}, found ${found}`
  return new WrongForm('incomplete', message, { transient: true })
}
