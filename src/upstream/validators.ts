import { isHttpDate } from './http-date.ts'

/** What an earlier answer said of itself, to be said back: "only if it is no longer this". */
export interface Validators {
  readonly etag: string | undefined
  readonly lastModified: string | undefined
}

const ETAG = /^(?:W\/)?"[\x21\x23-\x7e]*"$/
const ETAG_CHARACTERS_MAX = 256

/**
 * Whether this is an ETag that we keep and send (RFC 9110 8.8.3): it goes back byte for byte, so it
 * must neither end a header line nor grow what a mirror remembers without bound. Weak ones count:
 * servers weaken an ETag where they compress.
 */
export function isEtag(value: unknown): value is string {
  return typeof value === 'string' && value.length <= ETAG_CHARACTERS_MAX && ETAG.test(value)
}

/** What may be remembered of an answer; anything malformed is as if it were not there. */
export function validatorsOf(headers: Readonly<Record<string, unknown>>): Validators {
  const { etag, 'last-modified': lastModified } = headers
  return {
    etag: isEtag(etag) ? etag : undefined,
    lastModified: isHttpDate(lastModified) ? lastModified : undefined,
  }
}

/** The one header that makes a request conditional: an ETag, where known, is the finer of the two. */
export function conditionFor({
  etag,
  lastModified,
}: Partial<Validators>): [string, string] | undefined {
  if (isEtag(etag)) return ['if-none-match', etag]
  if (isHttpDate(lastModified)) return ['if-modified-since', lastModified]
  return undefined
}
