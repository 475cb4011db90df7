import { createCipheriv, createDecipheriv, randomBytes, scrypt } from 'node:crypto'
import type { MirrorError } from '../error.ts'
import { canonicalJson } from './canonical.ts'
import { isObject, type JsonObject, member } from './json.ts'

/** What a passphrase is stretched with: about half a second and 128 MiB for each guess. */
const COST = { n: 131_072, r: 8, p: 1 }
/** A file must not choose how much memory we take, nor how cheap a guess is. */
const LIMITS = { nLeast: 131_072, nMost: 1_048_576, r: 8, pMost: 4 }
const SALT_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16

/**
 * The seed under a passphrase: scrypt, then AES-256-GCM over the seed, with all other members of the
 * file bound to it. The salt is fresh each time and so is the key, so that no nonce repeats under one.
 */
export async function sealed(
  head: JsonObject,
  seed: Uint8Array,
  passphrase: string,
): Promise<JsonObject> {
  const [salt, nonce] = [randomBytes(SALT_BYTES), randomBytes(NONCE_BYTES)]
  const open = {
    ...head,
    kdf: { name: 'scrypt', ...COST, salt: salt.toHex() },
    cipher: { name: 'aes-256-gcm', nonce: nonce.toHex() },
  }
  const cipher = createCipheriv('aes-256-gcm', await stretched(passphrase, salt, COST), nonce)
  cipher.setAAD(canonicalJson(open))
  const secret = Buffer.concat([cipher.update(seed), cipher.final(), cipher.getAuthTag()])
  return { ...open, sealed: secret.toHex() }
}

/** @throws {MirrorError} usage, where the passphrase is another one or the file was changed */
export async function unsealed(
  file: JsonObject,
  passphrase: string,
  refuse: (why: string) => MirrorError,
): Promise<Uint8Array> {
  const { sealed: _, ...open } = file
  const [kdf, cipher] = [member(file, 'kdf'), member(file, 'cipher')]
  const cost = isObject(kdf) ? costOf(kdf) : undefined
  const salt = isObject(kdf) ? hexOf(member(kdf, 'salt')) : undefined
  const nonce = isObject(cipher) ? hexOf(member(cipher, 'nonce')) : undefined
  const secret = hexOf(member(file, 'sealed'))
  if (isObject(cipher) && member(cipher, 'name') !== 'aes-256-gcm')
    throw refuse('has another cipher')
  if (cost === undefined)
    throw refuse('its scrypt parameters are not between 2^17,8,1 and 2^20,8,4')
  if (salt?.length !== SALT_BYTES || nonce?.length !== NONCE_BYTES) {
    throw refuse('its salt or nonce has another length')
  }
  if (secret === undefined || secret.length <= TAG_BYTES) throw refuse('is cut')
  const decipher = createDecipheriv('aes-256-gcm', await stretched(passphrase, salt, cost), nonce, {
    authTagLength: TAG_BYTES,
  })
  decipher.setAAD(canonicalJson(open))
  decipher.setAuthTag(secret.subarray(-TAG_BYTES))
  try {
    return Buffer.concat([decipher.update(secret.subarray(0, -TAG_BYTES)), decipher.final()])
  } catch {
    throw refuse('the passphrase does not open it, or the file was changed')
  }
}

interface Cost {
  readonly n: number
  readonly r: number
  readonly p: number
}

function costOf(kdf: JsonObject): Cost | undefined {
  const [n, r, p] = ['n', 'r', 'p'].map(name => Number(member(kdf, name))) as [
    number,
    number,
    number,
  ]
  const isPower = Number.isSafeInteger(n) && 2 ** Math.round(Math.log2(n)) === n
  const isAllowed =
    isPower &&
    n >= LIMITS.nLeast &&
    n <= LIMITS.nMost &&
    r === LIMITS.r &&
    p >= 1 &&
    p <= LIMITS.pMost
  return member(kdf, 'name') === 'scrypt' && isAllowed && Number.isInteger(p)
    ? { n, r, p }
    : undefined
}

/** One spelling of a passphrase, whatever keyboard it was typed on. */
async function stretched(passphrase: string, salt: Uint8Array, cost: Cost): Promise<Uint8Array> {
  const { n: N, r, p } = cost
  const maxmem = 128 * r * (N + p) + 64 * 1024 * 1024
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
  scrypt(passphrase.normalize('NFC'), salt, 32, { N, r, p, maxmem }, (error, key) =>
    error === null ? resolve(key) : reject(error),
  )
  return await promise
}

function hexOf(value: unknown): Buffer | undefined {
  const isHex = typeof value === 'string' && /^(?:[0-9a-f]{2})+$/.test(value)
  return isHex ? Buffer.from(value, 'hex') : undefined
}
