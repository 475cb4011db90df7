/** The part of a body that is asked for; `end` is not part of it. */
export interface Part {
  readonly start: number
  readonly end: number
}

/** Whether the client has it already: If-None-Match, by weak comparison (RFC 9110 13.1.2). */
export function isNotModified(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false
  if (ifNoneMatch.trim() === '*') return true
  return ifNoneMatch.split(',').some(tag => tag.trim().replace(/^W\//, '') === etag)
}

/**
 * One range (RFC 9110 14.2), of numbers up to 15 digits. `whole` where none is asked for, where
 * several are, where the header is none we know, or where If-Range is not this strong ETag.
 */
export function partOf(
  size: number,
  etag: string,
  headers: { readonly range: string | undefined; readonly ifRange: string | undefined },
): Part | 'whole' | 'unsatisfiable' {
  const { range, ifRange } = headers
  if (range === undefined || (ifRange !== undefined && ifRange !== etag)) return 'whole'
  const [, first = '', last = ''] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(range.trim()) ?? []
  if (first === '' && last === '') return 'whole'
  if (first === '') {
    const length = Math.min(Number(last), size)
    return length === 0 ? 'unsatisfiable' : { start: size - length, end: size }
  }
  const start = Number(first)
  if (last !== '' && Number(last) < start) return 'whole'
  if (start >= size) return 'unsatisfiable'
  return { start, end: last === '' ? size : Math.min(Number(last) + 1, size) }
}
