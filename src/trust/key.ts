import { type Checksum, sha256 } from '../registry/checksum.ts'
import { canonicalJson } from './canonical.ts'
import { isSoundPoint, verifiesEd25519 } from './ed25519.ts'
import { isObject, type JsonObject, member } from './json.ts'
import { ecdsaKey, rsaKey } from './pem-key.ts'
import type { PublicKey } from './public-key.ts'

/** The SHA-256 of the canonical form of the whole key object, unknown fields included (TUF 4.3). */
export function keyidOf(key: JsonObject): Checksum {
  return sha256(canonicalJson(key))
}

/** Undefined where type, scheme or value are unknown or weak: such a key is no error, it never counts. */
export function readKey(key: JsonObject): PublicKey | undefined {
  const value = member(key, 'keyval')
  const text = isObject(value) ? member(value, 'public') : undefined
  if (typeof text !== 'string') return undefined
  switch (`${String(member(key, 'keytype'))} ${String(member(key, 'scheme'))}`) {
    case 'ed25519 ed25519':
      return ed25519Key(text)
    case 'ecdsa ecdsa-sha2-nistp256':
    case 'ecdsa-sha2-nistp256 ecdsa-sha2-nistp256':
      return ecdsaKey(text)
    case 'rsa rsassa-pss-sha256':
      return rsaKey(text)
    default:
      return undefined
  }
}

function ed25519Key(hex: string): PublicKey | undefined {
  if (!/^[0-9A-Fa-f]{64}$/.test(hex)) return undefined
  const bytes = Uint8Array.fromHex(hex)
  if (!isSoundPoint(bytes)) return undefined
  return {
    identity: `ed25519:${bytes.toHex()}`,
    verifies: (message, signature, how) => verifiesEd25519(bytes, message, signature, how),
  }
}
