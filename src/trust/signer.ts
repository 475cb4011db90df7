import type { Checksum } from '../registry/checksum.ts'

/** A signature as a metadata file lists it. */
export interface KeySignature {
  readonly keyid: string
  /** Hex. */
  readonly sig: string
}

/** Whoever signs for a role: a key here, or a program that has one. */
export interface Signer {
  /** Undefined of a program until it has signed. */
  readonly keyid: Checksum | undefined
  /** Whoever uses the signature verifies it first, by the key that the root lists. */
  signature(bytes: Uint8Array): Promise<KeySignature>
}
