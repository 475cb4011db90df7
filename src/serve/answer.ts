import { sha256 } from '../registry/checksum.ts'
import type { OpenFile } from './files.ts'

/** A body with what is said about it. A file is closed by whoever sends it. */
export interface Found {
  readonly status: 200
  readonly type: string
  readonly cache: string
  readonly etag: string
  readonly body: Uint8Array | OpenFile
  readonly hasRanges: boolean
  /** A browser is to run nothing with it that does not come from here. */
  readonly isPage?: boolean
}

/** One line for the client, which says nothing of what was asked; `fault` is for the log. */
export interface Refused {
  readonly status: 400 | 404 | 500 | 503
  readonly line: string
  readonly fault?: string
}

export type Answer = Found | Refused

/** How a kind of file is told to clients. */
export interface Look {
  readonly type: string
  readonly cache: string
  readonly hasRanges?: boolean
}

export const IMMUTABLE = 'public, max-age=31536000, immutable'
/** cargo revalidates by ETag; a minute spares a mirror the storm of one build farm. */
export const SHORT = 'public, max-age=60'
export const NEVER = 'no-cache'
export const TEXT = 'text/plain; charset=utf-8'
export const JSON_TYPE = 'application/json'

export const NOT_HERE: Refused = {
  status: 404,
  line: 'not here: this mirror has nothing of that name',
}

export function found(body: OpenFile, { type, cache, hasRanges = false }: Look): Found {
  return { status: 200, type, cache, etag: `"${body.checksum}"`, body, hasRanges }
}

export function whole(body: Uint8Array, { type, cache }: Look): Found {
  return { status: 200, type, cache, etag: `"${sha256(body)}"`, body, hasRanges: false }
}
