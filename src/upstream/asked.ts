import { WrongForm } from './faults.ts'
import { type Place, shown } from './url-policy.ts'

/** What comes whole and small: it has a deadline, and may travel as gzip. */
export type SmallKind = 'metadata' | 'tile' | 'index file' | 'config' | 'feed'

/** What a request wants, as far as its answer is judged by it. */
export interface Asked {
  readonly kind: SmallKind | 'artifact' | 'part'
  /** More than this is never read, counted after decoding; of a part, what is asked for. */
  readonly bytesMax: number
  /** The signed length, where the tree says one: then it decides, and nothing else. */
  readonly length: number | undefined
  /** The first byte wanted. Of a part always, of an artifact above 0, a range is asked for. */
  readonly offset: number
  /** The header, name and value, that lets "not modified" be an answer. */
  readonly condition?: readonly [name: string, value: string] | undefined
  /** Of a part: the ETag of the parts it will be put together with. */
  readonly etag?: string | undefined
}

/** The head of an HTTP answer. */
export interface Head {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}

/** Bulk comes at a rate and as it is; everything else is small. */
export function isBulk({ kind }: Asked): boolean {
  return kind === 'artifact' || kind === 'part'
}

/** Of metadata a refused coding or size ends the refresh; of the rest it only keeps a crate waiting. */
export function codeOf({ kind }: Asked): 'refused' | 'incomplete' {
  return kind === 'metadata' ? 'refused' : 'incomplete'
}

/** More came, or is announced, than may come. */
export function tooLong(asked: Asked, place: Place): WrongForm {
  const { kind, bytesMax, length } = asked
  if (length !== undefined) return wrongLength(asked, place, { expected: length, found: 'more' })
  const message = `${shown(place)}: longer than ${bytesMax} bytes, the most for this ${kind}`
  return new WrongForm(codeOf(asked), message)
}

/** Where a length is known another one is a wrong answer, which another try may better. */
export function wrongLength(
  { length }: Asked,
  place: Place,
  { expected, found }: { readonly expected: number; readonly found: number | 'more' },
): WrongForm {
  const signed = length === undefined ? '' : ' as signed'
  return wrongAnswer(place, { expected: `${expected} bytes${signed}`, found: `${found}` })
}

/** An answer to something else than was asked: passing, as far as one answer can tell. */
export function wrongAnswer(
  place: Place,
  { expected, found }: { readonly expected: string; readonly found: string },
): WrongForm {
  const message = `${shown(place)}: expected ${expected}, found ${found}`
  return new WrongForm('incomplete', message, { transient: true })
}
