import { quoted } from '../error.ts'
import {
  type Asked,
  codeOf,
  type Head,
  isBulk,
  tooLong,
  wrongAnswer,
  wrongLength,
} from './asked.ts'
import { NotThere, TransferCut, Unavailable, WrongForm } from './faults.ts'
import { gzipBytesMax } from './gzip.ts'
import { partOf, type Range, restOf } from './range.ts'
import { retryAfter } from './retry.ts'
import { type Place, shown } from './url-policy.ts'

/** A body worth reading. `length` is what the server promises; without one, chunks or the end say. */
export interface Taken {
  readonly next: 'take'
  readonly offset: number
  readonly length: number | undefined
  readonly isFramed: boolean
  readonly isGzip: boolean
  /** Exactly so many bytes must come, whatever their frame; undefined where nothing says how many. */
  readonly exact: number | undefined
  /** More than this is never taken from the wire. */
  readonly wireBytesMax: number
  /** The length of the whole file, where a range of it comes. */
  readonly total: number | undefined
  readonly headers: Head['headers']
}

/** What an answer leads to. A `restart` is a range that cannot be had: from 0 then. */
export type Verdict =
  | Taken
  | { readonly next: 'follow'; readonly location: string }
  | { readonly next: 'wait'; readonly ms: number; readonly why: string }
  | { readonly next: 'restart' }
  | { readonly next: 'unchanged' }

/** Judges the head of an answer: what to do with it, or an error that says whether to ask again. */
export function judge(head: Head, asked: Asked, place: Place, now: Date): Verdict {
  const { status, headers } = head
  if (status === 200) return whole(head, asked, place)
  if (status === 206) return ranged(head, asked, place)
  if (status === 304 && asked.condition !== undefined) return { next: 'unchanged' }
  if (status === 416 && asked.kind === 'artifact' && asked.offset > 0) return { next: 'restart' }
  if ([301, 302, 303, 307, 308].includes(status)) return redirect(head, place)
  if ([403, 404, 410, 451].includes(status)) throw new NotThere(shown(place), status)
  const ms = retryAfter(headers['retry-after'], now)
  if (status === 429 || (status === 503 && ms !== undefined)) {
    return { next: 'wait', ms: ms ?? 0, why: `${shown(place)}: status ${status}` }
  }
  if (status === 408 || status === 425 || (status >= 500 && status <= 599)) {
    throw new Unavailable(`${shown(place)}: status ${status}`)
  }
  if (status === 401) {
    const what = 'status 401: it wants a token (upstream.token-file), or another one'
    throw new WrongForm('incomplete', `${shown(place)}: ${what}`)
  }
  const expected = asked.kind === 'part' ? 206 : 200
  throw new WrongForm('incomplete', `${shown(place)}: expected status ${expected}, found ${status}`)
}

function whole(head: Head, asked: Asked, place: Place): Taken {
  if (asked.kind === 'part') {
    // nothing of it is read: the whole may be a thousand times as long
    throw new WrongForm('incomplete', `${shown(place)} does not serve ranges`)
  }
  const isGzip = isGzipped(head, asked, place)
  const limit = asked.length ?? asked.bytesMax
  return taken(head, asked, place, {
    isGzip,
    exact: isGzip ? undefined : asked.length,
    wireBytesMax: isGzip ? gzipBytesMax(limit) : limit,
  })
}

function ranged(head: Head, asked: Asked, place: Place): Verdict {
  if (asked.kind === 'part') return rangeTaken(head, asked, place, partOf(head, asked, place))
  if (asked.offset === 0) {
    throw wrongAnswer(place, { expected: 'status 200', found: '206, which was not asked for' })
  }
  const range = restOf(head, asked)
  if (range === undefined) return { next: 'restart' }
  if (range.total > asked.bytesMax) throw tooLong(asked, place)
  return rangeTaken(head, asked, place, range)
}

/** Whatever their frame says, exactly the bytes of the range must come. */
function rangeTaken(head: Head, asked: Asked, place: Place, range: Range): Taken {
  const { offset, end, total } = range
  const isGzip = isGzipped(head, asked, place)
  const length = end - offset
  return taken(head, asked, place, { isGzip, exact: length, wireBytesMax: length, offset, total })
}

function taken(
  { headers }: Head,
  asked: Asked,
  place: Place,
  body: Pick<Taken, 'isGzip' | 'exact' | 'wireBytesMax'> & Partial<Pick<Taken, 'offset' | 'total'>>,
): Taken {
  const length = contentLength(headers, asked, place)
  const isFramed = length !== undefined || headers['transfer-encoding'] !== undefined
  const { isGzip, exact, wireBytesMax, offset = 0, total } = body
  if (!isFramed && exact === undefined && asked.length === undefined) {
    throw new TransferCut(`${shown(place)}: came without a length, so a cut could not be seen`)
  }
  if (length !== undefined && exact !== undefined && length !== exact) {
    throw wrongLength(asked, place, { expected: exact, found: length })
  }
  if (length !== undefined && length > wireBytesMax) throw tooLong(asked, place)
  return { next: 'take', offset, length, isFramed, isGzip, exact, wireBytesMax, total, headers }
}

function redirect({ status, headers }: Head, place: Place): Verdict {
  const { location } = headers
  if (typeof location === 'string') return { next: 'follow', location }
  throw new WrongForm('incomplete', `${shown(place)}: status ${status} without one location`)
}

/**
 * Small things may come as gzip, once: it says itself where it ends. Any other coding could hide a
 * cut, and bulk is hashed and continued as it is.
 */
function isGzipped({ headers }: Head, asked: Asked, place: Place): boolean {
  const content = String(headers['content-encoding'] ?? 'identity')
  const transfer = String(headers['transfer-encoding'] ?? 'chunked')
  if (/^chunked$/i.test(transfer)) {
    if (/^identity$/i.test(content)) return false
    if (/^gzip$/i.test(content) && !isBulk(asked)) return true
  }
  const found = /^chunked$/i.test(transfer) ? content : transfer
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
