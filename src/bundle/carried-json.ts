import { MirrorError } from '../error.ts'
import { JsonRefused, scanJson } from '../registry/strict-json.ts'
import { canonicalJson } from '../trust/canonical.ts'
import type { Json } from '../trust/json.ts'

/**
 * The JSON that travels: canonical, printable ASCII that needs no escape, integers, one newline at
 * the end. Who reads it writes the value again and compares bytes, so that nothing has two readings.
 */
const DEPTH_MAX = 16

export function carriedBytes(value: object): Buffer {
  return Buffer.concat([canonicalJson(value as unknown as Json), Buffer.of(0x0a)])
}

/** The object in bytes from outside, before anybody has looked at its form. @throws {MirrorError} refused */
export function parseCarried(
  bytes: Uint8Array,
  { name, bytesMax }: { readonly name: string; readonly bytesMax: number },
): Record<string, unknown> {
  const refused = (why: string): MirrorError => new MirrorError('refused', `${name}: ${why}`)
  if (bytes.length > bytesMax) throw refused(`longer than ${bytesMax} bytes`)
  try {
    scanJson(bytes, { depthMax: DEPTH_MAX, integersOnly: true })
  } catch (error) {
    if (error instanceof JsonRefused) throw refused(error.message)
    throw error
  }
  const value: unknown = JSON.parse(Buffer.from(bytes).toString('latin1'))
  if (isRecord(value)) return value
  throw refused('is not an object')
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function hasOnly(value: object, keys: readonly string[]): boolean {
  const found = Object.keys(value)
  return found.length === keys.length && keys.every(key => found.includes(key))
}

export function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}

/** What needs no escape. */
export function isText(value: unknown, most: number): value is string {
  return (
    typeof value === 'string' &&
    value.length <= most &&
    /^[\x20\x21\x23-\x5b\x5d-\x7e]*$/.test(value)
  )
}

const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/

export function isInstantText(value: unknown): value is string {
  return typeof value === 'string' && INSTANT.test(value)
}
