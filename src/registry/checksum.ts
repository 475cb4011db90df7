import { hash } from 'node:crypto'

/** A SHA-256 as 64 lower-case hex digits: the identity of an artifact, an index file, a tile. */
export type Checksum = string & { readonly __brand: 'Checksum' }

const CHECKSUM = /^[0-9a-f]{64}$/

export function isChecksum(text: unknown): text is Checksum {
  return typeof text === 'string' && CHECKSUM.test(text)
}

/** Bulk bytes are hashed by node:crypto, three times as fast as the noble packages. */
export function sha256(bytes: Uint8Array | string): Checksum {
  return hash('sha256', bytes, 'hex') as Checksum
}
