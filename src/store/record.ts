import { readFileSync } from 'node:fs'
import { MirrorError } from '../error.ts'

/** One of our own records: JSON with sorted keys, one line, so that equal records are equal bytes. */
export function recordBytes(value: object): Uint8Array {
  return Buffer.from(`${JSON.stringify(sorted(value))}\n`)
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(entries.map(([key, member]) => [key, sorted(member)]))
}

/**
 * A record as it was written, or undefined where there is none. Ours were written whole by rename,
 * so one that does not parse is damage, never a torn write; `fits` says whether its form is right.
 */
export function readRecord<T>(file: string, fits: (value: unknown) => value is T): T | undefined {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new MirrorError('io', `cannot read ${file}`, { cause: error })
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new MirrorError('damaged', `${file} is not the JSON we wrote`, { cause: error })
  }
  if (!fits(value)) throw new MirrorError('damaged', `${file} has not the form of its kind`)
  return value
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
