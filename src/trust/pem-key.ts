import { constants, createPublicKey, type KeyObject, verify } from 'node:crypto'
import type { JsonObject } from './json.ts'
import type { PublicKey } from './public-key.ts'

/** A P-256 key, or undefined where the text is none. */
export function ecdsaKey(pem: string): PublicKey | undefined {
  const key = readPem(pem)
  if (key?.asymmetricKeyDetails?.namedCurve !== 'prime256v1') return undefined
  // Not the exported DER: a compressed point exports to other bytes and is the same key.
  const { x, y } = key.export({ format: 'jwk' })
  return {
    identity: `ecdsa:${x}:${y}`,
    verifies: (message, signature) =>
      verify('sha256', message, { key, dsaEncoding: 'der' }, signature),
  }
}

const RSA_BITS = { least: 2048, most: 8192 }
/** The length of the hash, as securesystemslib signs; node's automatic mode takes any. */
const SALT_LENGTH = 32

/** An RSA key for PSS, or undefined where the text is none or one too weak. */
export function rsaKey(pem: string): PublicKey | undefined {
  const key = readPem(pem)
  if (key?.asymmetricKeyType !== 'rsa') return undefined
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {}
  if (modulusLength < RSA_BITS.least || modulusLength > RSA_BITS.most) return undefined
  // With an exponent of 1 the signature is the padded message, which anybody can write.
  if (publicExponent < 3n) return undefined
  const { n, e } = key.export({ format: 'jwk' })
  const padding = constants.RSA_PKCS1_PSS_PADDING
  return {
    identity: `rsa:${n}:${e}`,
    verifies: (message, signature) =>
      verify('sha256', message, { key, padding, saltLength: SALT_LENGTH }, signature),
  }
}

const PEM =
  /^-----BEGIN PUBLIC KEY-----\r?\n((?:[A-Za-z0-9+/]+={0,2}\r?\n)+)-----END PUBLIC KEY-----\s*$/

/**
 * By pattern first: `createPublicKey` also takes private keys, certificates, PKCS#1, text around
 * the block and bytes after the DER. The last are what the round trip refuses.
 */
function readPem(pem: string): KeyObject | undefined {
  const [, base64] = PEM.exec(pem) ?? []
  if (base64 === undefined) return undefined
  const der = Buffer.from(base64, 'base64')
  try {
    const key = createPublicKey({ key: der, format: 'der', type: 'spki' })
    return key.export({ format: 'der', type: 'spki' }).equals(der) ? key : undefined
  } catch {
    return undefined
  }
}

/** The TUF key object of a public key in PEM that can be used here; undefined where the text is none. */
export function keyOfPem(text: string): JsonObject | undefined {
  const isRsa = readPem(text)?.asymmetricKeyType === 'rsa'
  const [keytype, scheme] = isRsa ? ['rsa', 'rsassa-pss-sha256'] : ['ecdsa', 'ecdsa-sha2-nistp256']
  const isUsable = (isRsa ? rsaKey(text) : ecdsaKey(text)) !== undefined
  return isUsable ? { keytype, scheme, keyval: { public: text } } : undefined
}
