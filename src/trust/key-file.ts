import { MirrorError } from '../error.ts'
import type { Checksum } from '../registry/checksum.ts'
import { canonicalJson, fileJson } from './canonical.ts'
import { ed25519PublicKey, signEd25519, verifiesEd25519 } from './ed25519.ts'
import { isObject, type Json, type JsonObject, member } from './json.ts'
import { keyidOf, readKey } from './key.ts'
import { keyOfPem } from './pem-key.ts'
import { sealed, unsealed } from './sealed-key.ts'
import type { KeySignature, Signer } from './signer.ts'

/** What a root lists of a key; nothing in it is secret. */
export interface PublicHalf {
  readonly keyid: Checksum
  /** The TUF key object. */
  readonly public: JsonObject
  /** Whose key it says it is. Never in the key object: that would make it another key. */
  readonly owner?: string | undefined
}

/** A key that signs here, in memory only as long as it is needed. */
export interface SigningKey extends PublicHalf, Signer {
  readonly keyid: Checksum
  /** Verified before it is returned. */
  sign(bytes: Uint8Array): Uint8Array
}

const FORMAT = 'crateferry-key-1'
const PUBLIC_FORMAT = 'crateferry-public-key-1'

/** The text of a key file, one line: sealed by a passphrase, or plain where there is none. */
export async function keyFile(
  seed: Uint8Array,
  {
    owner,
    passphrase,
  }: { readonly owner?: string | undefined; readonly passphrase?: string | undefined },
): Promise<Uint8Array> {
  const key = signingKey(seed)
  const head = {
    format: FORMAT,
    scheme: 'ed25519',
    keyid: key.keyid,
    public: key.public,
    ...(owner !== undefined && { owner }),
  }
  if (passphrase === undefined) return canonicalJson({ ...head, seed: seed.toHex() })
  return canonicalJson(await sealed(head, seed, passphrase))
}

/** What may travel to whoever makes the root, while the key file stays where it signs. */
export function publicHalf({ keyid, public: object, owner }: PublicHalf): JsonObject {
  const scheme = member(object, 'scheme') as string
  return {
    format: PUBLIC_FORMAT,
    scheme,
    keyid,
    public: object,
    ...(owner !== undefined && { owner }),
  }
}

/** @public */
export function publicHalfBytes(half: PublicHalf): Uint8Array {
  return fileJson(publicHalf(half))
}

/**
 * A key that signs; `passphrase` is asked for only where the file is sealed.
 * @throws {MirrorError} usage, without a word of the secret
 */
export async function openKeyFile(
  bytes: Uint8Array,
  file: string,
  passphrase: () => Promise<string>,
): Promise<SigningKey> {
  const refuse = refusal(file)
  const object = readHead(bytes, file)
  const isSealed = member(object, 'sealed') !== undefined
  const seed = isSealed
    ? await unsealed(object, await passphrase(), refuse)
    : plainSeed(object, refuse)
  if (seed.length !== 32) throw refuse('has no seed of 32 bytes')
  const key = signingKey(seed)
  if (key.keyid !== member(object, 'keyid')) throw refuse('its keyid is not that of its seed')
  return { ...key, owner: ownerOf(object) }
}

/** The public half of a key, from its key file, from what `key show --json` printed of it, or a PEM. */
export function readPublicHalf(bytes: Uint8Array, file: string): PublicHalf {
  const refuse = refusal(file)
  const pem = keyOfPem(Buffer.from(bytes).toString())
  if (pem !== undefined) return { keyid: keyidOf(pem), public: pem }
  const object = parsed(bytes, file)
  const format = member(object, 'format')
  if (format !== FORMAT && format !== PUBLIC_FORMAT) throw refuse('is not a key file')
  const key = member(object, 'public')
  // a key that could never count would make a root that nobody can sign under
  if (!isObject(key) || readKey(key) === undefined) throw refuse('has no key that can be used')
  const keyid = keyidOf(key)
  if (keyid !== member(object, 'keyid')) throw refuse('its keyid is not that of its public key')
  return { keyid, public: key, owner: ownerOf(object) }
}

/** @public */
export function signingKey(seed: Uint8Array): SigningKey {
  const publicKey = ed25519PublicKey(seed)
  const object = { keytype: 'ed25519', keyval: { public: publicKey.toHex() }, scheme: 'ed25519' }
  const keyid = keyidOf(object)
  const sign = (bytes: Uint8Array): Uint8Array => {
    const signature = signEd25519(seed, bytes)
    if (verifiesEd25519(publicKey, bytes, signature)) return signature
    throw new Error('a new signature does not verify')
  }
  const signature = async (bytes: Uint8Array): Promise<KeySignature> => ({
    keyid,
    sig: sign(bytes).toHex(),
  })
  return { keyid, public: object, sign, signature }
}

function readHead(bytes: Uint8Array, file: string): JsonObject {
  const object = parsed(bytes, file)
  if (member(object, 'format') === FORMAT && member(object, 'scheme') === 'ed25519') return object
  throw refusal(file)(`is not a key file of ${FORMAT}`)
}

function plainSeed(object: JsonObject, refuse: (why: string) => MirrorError): Uint8Array {
  const seed = member(object, 'seed')
  if (typeof seed === 'string' && /^[0-9a-f]{64}$/.test(seed)) return Uint8Array.fromHex(seed)
  throw refuse('has no seed of 64 hex digits')
}

function ownerOf(object: JsonObject): string | undefined {
  const owner = member(object, 'owner')
  return typeof owner === 'string' ? owner : undefined
}

function parsed(bytes: Uint8Array, file: string): JsonObject {
  const refuse = refusal(file)
  let value: Json
  try {
    value = JSON.parse(Buffer.from(bytes).toString()) as Json
  } catch {
    // the parser's own words would quote the secret
    throw refuse('is not a key file')
  }
  if (isObject(value)) return value
  throw refuse('is not a key file')
}

function refusal(file: string): (why: string) => MirrorError {
  return why => new MirrorError('usage', `${file}: ${why}`)
}
