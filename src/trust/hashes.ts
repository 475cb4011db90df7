import { hash } from 'node:crypto'
import { MirrorError, quoted } from '../error.ts'
import { asObject, asString, FormRefused, type Json, member } from './json.ts'

const ALGORITHMS = ['sha256', 'sha384', 'sha512'] as const
type Algorithm = (typeof ALGORITHMS)[number]
const DIGITS: Readonly<Record<Algorithm, number>> = { sha256: 64, sha384: 96, sha512: 128 }

/** The hashes that count, at least one; those of other algorithms say nothing. */
export type Hashes = Readonly<Partial<Record<Algorithm, string>>>

export function readHashes(value: Json | undefined, where: string): Hashes {
  const object = asObject(value, where)
  const hashes: Partial<Record<Algorithm, string>> = {}
  for (const algorithm of ALGORITHMS) {
    const item = member(object, algorithm)
    if (item === undefined) continue
    const hex = asString(item, `${where}: ${algorithm}`)
    if (hex.length !== DIGITS[algorithm] || !/^[0-9a-f]+$/.test(hex)) {
      throw new FormRefused(`${where}: ${algorithm} ${quoted(hex)}, expected lower-case hex`)
    }
    hashes[algorithm] = hex
  }
  if (hashes.sha256 ?? hashes.sha384 ?? hashes.sha512) return hashes
  throw new FormRefused(`${where}: none of ${ALGORITHMS.join(', ')}`)
}

/** Each listed hash must match (TUF 5.5.2, 5.6.2). */
export function requireHashes(bytes: Uint8Array, hashes: Hashes, file: string): void {
  for (const [algorithm, expected] of Object.entries(hashes)) {
    const found = hash(algorithm, bytes, 'hex')
    if (found !== expected) {
      throw new MirrorError('signature', `${file}: ${algorithm} ${found}, expected ${expected}`)
    }
  }
}
