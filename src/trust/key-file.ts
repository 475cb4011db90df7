import { MirrorError } from '../error.ts'
import type { Checksum } from '../registry/checksum.ts'
import { canonicalJson } from './canonical.ts'
import { ed25519PublicKey, signEd25519, verifiesEd25519 } from './ed25519.ts'
import { isObject, type Json, type JsonObject } from './json.ts'
import { keyidOf, readKey } from './key.ts'

/** What a root lists of a key; nothing in it is secret. */
export interface PublicHalf {
  readonly keyid: Checksum
  /** The TUF key object. */
  readonly public: JsonObject
}

/** A key that signs here, in memory only as long as it is needed. */
export interface SigningKey extends PublicHalf {
  /** Verified before it is returned. */
  sign(bytes: Uint8Array): Uint8Array
}

const FORMAT = 'crateferry-key-1'
const PUBLIC_FORMAT = 'crateferry-public-key-1'

/** The text of a plain key file, mode 0600: one canonical line. Sealed ones will have `kdf` instead. */
export function plainKeyFile(seed: Uint8Array): Uint8Array {
  const key = signingKey(seed)
  return canonicalJson({
    format: FORMAT,
    scheme: 'ed25519',
    keyid: key.keyid,
    public: key.public,
    seed: seed.toHex(),
  })
}

/** What may travel to whoever makes the root, while the key file stays where it signs. */
export function publicHalf({ keyid, public: object }: PublicHalf): JsonObject {
  return { format: PUBLIC_FORMAT, scheme: 'ed25519', keyid, public: object }
}

/** @throws {MirrorError} usage, without a word of the secret */
export function readKeyFile(bytes: Uint8Array, file: string): SigningKey {
  const refuse = refusal(file)
  const { format, scheme, seed, keyid } = parsed(bytes, file)
  if (format !== FORMAT || scheme !== 'ed25519') throw refuse(`is not a key file of ${FORMAT}`)
  if (typeof seed !== 'string') throw refuse('is sealed, which this version does not read')
  if (!/^[0-9a-f]{64}$/.test(seed)) throw refuse('has no seed of 64 hex digits')
  const key = signingKey(Uint8Array.fromHex(seed))
  if (key.keyid !== keyid) throw refuse('its keyid is not that of its seed')
  return key
}

/** The public half of a key, from its key file or from what `key show --json` printed of it. */
export function readPublicHalf(bytes: Uint8Array, file: string): PublicHalf {
  const { format, scheme, keyid, public: object } = parsed(bytes, file)
  if (format !== PUBLIC_FORMAT) return readKeyFile(bytes, file)
  const refuse = refusal(file)
  // a key that could never count would make a root that nobody can sign under
  const isUsable = isObject(object as Json | undefined) && readKey(object as JsonObject)
  if (scheme !== 'ed25519' || !isUsable) throw refuse('has no ed25519 key that can be used')
  const half = { keyid: keyidOf(object as JsonObject), public: object as JsonObject }
  if (half.keyid !== keyid) throw refuse('its keyid is not that of its public key')
  return half
}

/** @public */
export function signingKey(seed: Uint8Array): SigningKey {
  const publicKey = ed25519PublicKey(seed)
  const object = { keytype: 'ed25519', keyval: { public: publicKey.toHex() }, scheme: 'ed25519' }
  return {
    keyid: keyidOf(object),
    public: object,
    sign: bytes => {
      const signature = signEd25519(seed, bytes)
      if (verifiesEd25519(publicKey, bytes, signature)) return signature
      throw new Error('a new signature does not verify')
    },
  }
}

function parsed(bytes: Uint8Array, file: string): Record<string, unknown> {
  try {
    return (JSON.parse(Buffer.from(bytes).toString()) ?? {}) as Record<string, unknown>
  } catch {
    // the parser's own words would quote the secret
    throw refusal(file)('is not a key file')
  }
}

function refusal(file: string): (why: string) => MirrorError {
  return why => new MirrorError('usage', `${file}: ${why}`)
}
