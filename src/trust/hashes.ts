import { hash } from 'node:crypto'
import { MirrorError, quoted } from '../error.ts'
import { asObject, asString, FormRefused, type Json } from './json.ts'

type Algorithm = 'sha256' | 'sha384' | 'sha512'
const DIGITS: ReadonlyMap<string, number> = new Map([
  ['sha256', 64],
  ['sha384', 96],
  ['sha512', 128],
])

/** The hashes that count, at least one; those of other algorithms say nothing. */
export type Hashes = ReadonlyMap<Algorithm, string>

export function readHashes(value: Json | undefined, where: string): Hashes {
  const hashes = new Map<Algorithm, string>()
  for (const [algorithm, item] of Object.entries(asObject(value, where))) {
    const digits = DIGITS.get(algorithm)
    if (digits === undefined) continue
    const hex = asString(item, `${where}: ${algorithm}`)
    if (hex.length !== digits || !/^[0-9a-f]+$/.test(hex)) {
      throw new FormRefused(`${where}: ${algorithm} ${quoted(hex)}, expected lower-case hex`)
    }
    hashes.set(algorithm as Algorithm, hex)
  }
  if (hashes.size === 0) throw new FormRefused(`${where}: none of ${[...DIGITS.keys()].join(', ')}`)
  return hashes
}

/** Each listed hash must match (TUF 5.5.2, 5.6.2). */
export function requireHashes(bytes: Uint8Array, hashes: Hashes, file: string): void {
  for (const [algorithm, expected] of hashes) {
    const found = hash(algorithm, bytes, 'hex')
    if (found !== expected) {
      throw new MirrorError('signature', `${file}: ${algorithm} ${found}, expected ${expected}`)
    }
  }
}
