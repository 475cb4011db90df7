import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { createOnce } from '../store/durable.ts'
import type { Context } from './context.ts'

/** A file of the ceremony: never replaced; the same again is done already. */
export async function writeOnce(
  { cwd }: Pick<Context, 'cwd'>,
  out: string,
  bytes: Uint8Array,
): Promise<void> {
  const file = resolve(cwd, out)
  if (existsSync(file) && Buffer.compare(readFileSync(file), bytes) === 0) return
  await createOnce(file, bytes, { mode: 0o644 })
}
