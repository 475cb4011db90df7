import { quoted } from '../error.ts'
import { type Asked, type Head, wrongAnswer } from './asked.ts'
import { WrongForm } from './faults.ts'
import { type Place, shown } from './url-policy.ts'
import { isEtag } from './validators.ts'

/** The part of a file that an answer says it brings; `end` is the first byte after it. */
export interface Range {
  readonly offset: number
  readonly end: number
  /** The length of the whole file. */
  readonly total: number
}

/** What the request says, where it does not want the whole. */
export function rangeHeader({ kind, offset, bytesMax }: Asked): string | undefined {
  if (kind === 'part') return `bytes=${offset}-${offset + bytesMax - 1}`
  return offset === 0 ? undefined : `bytes=${offset}-`
}

/** The rest of a file from the offset on, or nothing: a shifted range would be hashed as ours. */
export function restOf({ headers }: Head, { offset }: Asked): Range | undefined {
  const range = contentRange(headers)
  return range?.offset === offset && range.end === range.total ? range : undefined
}

/** Exactly the part that was asked for, as far as the file goes, and of the same file. */
export function partOf({ headers }: Head, asked: Asked, place: Place): Range {
  const { offset, bytesMax } = asked
  const range = contentRange(headers)
  const end = Math.min(offset + bytesMax, range?.total ?? Number.POSITIVE_INFINITY)
  if (range?.offset !== offset || range.end !== end || end <= offset) {
    const found = quoted(String(headers['content-range'] ?? 'no range'))
    throw wrongAnswer(place, { expected: `bytes ${offset}-${end - 1}`, found })
  }
  refuseOtherFile(headers['etag'], asked, place)
  return range
}

/** Parts of two files must never be put together, so a file that no longer has an ETag is another. */
function refuseOtherFile(found: unknown, { etag }: Asked, place: Place): void {
  if (etag === undefined || found === etag) return
  const other = isEtag(found) ? quoted(found) : 'none'
  const message = `${shown(place)}: changed while it was read: expected etag ${quoted(etag)}, found ${other}`
  throw new WrongForm('incomplete', message)
}

function contentRange(headers: Head['headers']): Range | undefined {
  const text = headers['content-range']
  const match =
    typeof text === 'string' ? /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/.exec(text) : null
  const [offset, last, total] = (match ?? []).slice(1).map(Number)
  if (offset === undefined || last === undefined || total === undefined) return undefined
  return { offset, end: last + 1, total }
}
