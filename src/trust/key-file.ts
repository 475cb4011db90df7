import { MirrorError } from '../error.ts'
import type { Checksum } from '../registry/checksum.ts'
import { canonicalJson } from './canonical.ts'
import { ed25519PublicKey, signEd25519, verifiesEd25519 } from './ed25519.ts'
import type { JsonObject } from './json.ts'
import { keyidOf } from './key.ts'

/** A key that signs here, in memory only as long as it is needed. */
export interface SigningKey {
  readonly keyid: Checksum
  /** The TUF key object. */
  readonly public: JsonObject
  /** Verified before it is returned. */
  sign(bytes: Uint8Array): Uint8Array
}

const FORMAT = 'crateferry-key-1'

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

/** @throws {MirrorError} usage, without a word of the secret */
export function readKeyFile(bytes: Uint8Array, file: string): SigningKey {
  const refuse = (why: string): MirrorError => new MirrorError('usage', `${file}: ${why}`)
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(bytes).toString())
  } catch {
    throw refuse('is not a key file')
  }
  const { format, scheme, seed, keyid } = (value ?? {}) as Record<string, unknown>
  if (format !== FORMAT || scheme !== 'ed25519') throw refuse(`is not a key file of ${FORMAT}`)
  if (typeof seed !== 'string') throw refuse('is sealed, which this version does not read')
  if (!/^[0-9a-f]{64}$/.test(seed)) throw refuse('has no seed of 64 hex digits')
  const key = signingKey(Uint8Array.fromHex(seed))
  if (key.keyid !== keyid) throw refuse('its keyid is not that of its seed')
  return key
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
