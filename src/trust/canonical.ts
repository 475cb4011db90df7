import type { Json, JsonObject } from './json.ts'

/**
 * OLPC canonical JSON, over which TUF key ids and signatures count: keys sorted by code point, no
 * white space, only `\` and `"` escaped, integers only. The values are ours or were scanned, so
 * their depth is bounded.
 */
export function canonicalJson(value: Json): Uint8Array {
  return Buffer.from(text(value, string))
}

/**
 * The same as a file: where a text has line ends, as the PEM of a key has, they are escaped, because
 * the canonical form is then no JSON. Without any, both are the same bytes.
 */
export function fileJson(value: Json): Uint8Array {
  return Buffer.from(text(value, JSON.stringify))
}

function text(value: Json, quote: (text: string) => string): string {
  if (typeof value === 'string') return quote(value)
  if (typeof value === 'number') return integer(value)
  if (value === null || typeof value === 'boolean') return String(value)
  if (isArray(value)) return `[${value.map(item => text(item, quote)).join(',')}]`
  const entries = Object.entries(value as JsonObject).sort(([a], [b]) => byCodePoint(a, b))
  const members = entries.map(([name, member]) => `${quote(name)}:${text(member, quote)}`)
  return `{${members.join(',')}}`
}

function isArray(value: Json): value is readonly Json[] {
  return Array.isArray(value)
}

function string(value: string): string {
  if (!value.isWellFormed()) throw new TypeError('half of a surrogate pair has no canonical form')
  return `"${value.replace(/["\\]/g, '\\$&')}"`
}

function integer(value: number): string {
  if (!Number.isSafeInteger(value)) throw new TypeError(`${value} has no canonical form`)
  return String(value)
}

/** JavaScript compares UTF-16 units, which puts the planes above U+FFFF before U+E000. */
function byCodePoint(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i += 1) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)]
    if (x !== y) return isSurrogate(x) === isSurrogate(y) ? x - y : isSurrogate(x) ? 1 : -1
  }
  return a.length - b.length
}

function isSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdfff
}
