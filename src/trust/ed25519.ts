import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'
import { hashes, verify as nobleVerify, Point } from '@noble/ed25519'
import { sha512 } from '@noble/hashes/sha2.js'
import type { How } from './public-key.ts'

hashes.sha512 = sha512

/**
 * Whether two engines accept the signature. RFC 8032 leaves open which equation a verifier checks:
 * noble checks the cofactored one, OpenSSL the cofactorless; what both accept has one meaning.
 * Never noble's default, ZIP 215, under which small-order keys sign anything. The
 * second engine takes tens of milliseconds to warm up, so what is only read back goes without.
 */
export function verifiesEd25519(
  publicKey: Uint8Array,
  message: Uint8Array,
  signature: Uint8Array,
  { isKept }: How = { isKept: false },
): boolean {
  if (signature.length !== 64 || !isSoundPoint(publicKey)) return false
  const key = createPublicKey({
    key: publicKey,
    format: 'raw-public',
    asymmetricKeyType: 'ed25519',
  })
  return (
    verify(null, message, key, signature) &&
    (isKept || nobleVerify(signature, message, publicKey, { zip215: false }))
  )
}

/**
 * A point on the curve, canonically encoded, and not of order 1, 2, 4 or 8: under those anybody can
 * sign. Our own rule, because OpenSSL 3.0 and 4.0 accept signatures under the identity.
 */
export function isSoundPoint(publicKey: Uint8Array): boolean {
  try {
    return !Point.fromBytes(publicKey, false).isSmallOrder()
  } catch {
    return false
  }
}

export function ed25519PublicKey(seed: Uint8Array): Uint8Array {
  return createPublicKey(privateKey(seed)).export({ format: 'raw-public' })
}

export function signEd25519(seed: Uint8Array, message: Uint8Array): Uint8Array {
  return sign(null, message, privateKey(seed))
}

function privateKey(seed: Uint8Array): ReturnType<typeof createPrivateKey> {
  return createPrivateKey({ key: seed, format: 'raw-private', asymmetricKeyType: 'ed25519' })
}
