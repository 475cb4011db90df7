/** A key that can count towards a threshold. */
export interface PublicKey {
  /**
   * The key's mathematics, whatever its spelling: one more field or upper-case hex gives the same
   * key a second valid key id, so thresholds count these.
   */
  readonly identity: string
  /** May throw where the signature is no signature at all. */
  readonly verifies: (message: Uint8Array, signature: Uint8Array, how: How) => boolean
}

export interface How {
  /**
   * The bytes are the ones that were kept after they had been verified in full; this time it is the
   * disk that is in doubt, and one engine of two is enough.
   */
  readonly isKept: boolean
}
