import { readFileSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { MirrorError } from '../error.ts'
import type { Context } from './context.ts'

/** More than any root or key is: a file that was meant is not this long. */
const BYTES_MAX = 512_000

/** A small file that an operator named on the command line; `what` is what it should be. */
export function readGiven({ cwd }: Pick<Context, 'cwd'>, file: string, what: string): Uint8Array {
  const path = resolve(cwd, file)
  let bytes: Uint8Array
  try {
    if (statSync(path).size > BYTES_MAX) {
      throw new MirrorError('refused', `${file}: longer than ${BYTES_MAX} bytes`)
    }
    bytes = readFileSync(path)
  } catch (error) {
    if (error instanceof MirrorError) throw error
    throw new MirrorError('usage', `cannot read ${what} ${file}`, { cause: error })
  }
  return bytes
}
