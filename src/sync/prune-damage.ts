import { MirrorError } from '../error.ts'

/** What cannot be read could name anything: so nothing is removed. */
export function damaged(file: string, what: string, cause?: unknown): MirrorError {
  const why = 'nothing was removed, since it is not known what it names'
  return new MirrorError('damaged', `${file} ${what}; ${why}; run verify --repair`, { cause })
}
