import {
  constants,
  createPublicKey,
  createSign,
  generateKeyPairSync,
  type KeyObject,
  sign as signWith,
} from 'node:crypto'
import { sha256 } from '../../src/registry/checksum.ts'
import { canonicalJson, fileJson } from '../../src/trust/canonical.ts'
import type { JsonObject } from '../../src/trust/json.ts'
import { signingKey } from '../../src/trust/key-file.ts'
import { percentEncoded } from '../../src/trust/role-file.ts'

/** Whoever signs: a key object as a root lists it, and a hand that signs bytes. */
export interface Signer {
  readonly keyid: string
  readonly public: JsonObject
  sign(bytes: Uint8Array): Uint8Array
}

/** The same key each time, for a number. */
export const key = (n: number): Signer => signingKey(Buffer.alloc(32, n))

/** The same key and hand under another key object, and so another key id. */
export function alias(signer: Signer, object: JsonObject): Signer {
  return { keyid: sha256(canonicalJson(object)), public: object, sign: bytes => signer.sign(bytes) }
}

export function ecdsaSigner(): Signer & { readonly pair: KeyObject } {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return { ...pemSigner(privateKey, 'ecdsa', 'ecdsa-sha2-nistp256'), pair: privateKey }
}

export function rsaSigner(modulusLength = 2048): Signer {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength })
  return pemSigner(privateKey, 'rsa', 'rsassa-pss-sha256')
}

export function pemSigner(privateKey: KeyObject, keytype: string, scheme: string): Signer {
  const pem = createPublicKey(privateKey).export({ type: 'spki', format: 'pem' }).toString()
  const object = { keytype, scheme, keyval: { public: pem } }
  return {
    keyid: sha256(canonicalJson(object)),
    public: object,
    sign: bytes =>
      keytype === 'rsa'
        ? createSign('sha256')
            .update(bytes)
            .sign({ key: privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 })
        : signWith('sha256', bytes, privateKey),
  }
}

export type Files = Record<string, Uint8Array>
// biome-ignore lint/suspicious/noExplicitAny: what is signed here is made wrong in every way
type Signed = Record<string, any>

export function signedFile(signed: object, signers: readonly Signer[]): Uint8Array {
  const bytes = canonicalJson(signed as JsonObject)
  const signatures = signers.map(one => ({ keyid: one.keyid, sig: one.sign(bytes).toHex() }))
  return fileJson({ signatures, signed: signed as JsonObject })
}

/** A role as a root or a delegator names it. */
export function roleOf(signers: readonly Signer[], threshold = 1): Signed {
  return { keyids: signers.map(({ keyid }) => keyid), threshold }
}

export function keysOf(signers: readonly Signer[]): Signed {
  return Object.fromEntries(signers.map(one => [one.keyid, one.public]))
}

const EXPIRES = '2030-01-01T00:00:00Z'

/**
 * A repository of our own making, every version of every file kept: what is signed is plain objects
 * that a test edits, right or wrong, before `publish`.
 */
export class Repository {
  readonly files: Files = {}
  // without a prototype: a role may be called `__proto__`
  readonly signers: Record<string, readonly Signer[]> = Object.assign(Object.create(null), {
    root: [key(1), key(2), key(3)],
    targets: [key(4)],
    snapshot: [key(5)],
    timestamp: [key(6)],
  })
  readonly root: Signed
  readonly timestamp: Signed = this.#head('timestamp', { meta: {} })
  readonly snapshot: Signed = this.#head('snapshot', { meta: {} })
  readonly targets: Signed = this.#head('targets', { targets: {} })
  readonly delegated: Record<string, Signed> = Object.create(null)

  constructor({ isConsistent = true }: { readonly isConsistent?: boolean } = {}) {
    const { root, targets, snapshot, timestamp } = this.signers as Record<string, Signer[]>
    this.root = this.#head('root', {
      consistent_snapshot: isConsistent,
      keys: keysOf(Object.values(this.signers).flat()),
      roles: {
        root: roleOf(root ?? [], 2),
        targets: roleOf(targets ?? []),
        snapshot: roleOf(snapshot ?? []),
        timestamp: roleOf(timestamp ?? []),
      },
    })
    this.list('index-tree', 'one')
    this.publishRoot()
    this.publish()
  }

  get firstRoot(): Uint8Array {
    return this.files['1.root.json'] ?? new Uint8Array()
  }

  list(path: string, content: string, role = 'targets'): void {
    const target = { length: Buffer.byteLength(content), hashes: { sha256: sha256(content) } }
    this.#role(role)['targets'][path] = target
  }

  /** Trusts a role, made where there is none yet, with some paths. */
  delegate(
    delegator: string,
    name: string,
    how: Signed = {},
    signers: readonly Signer[] = [key(7)],
  ): void {
    const from = this.#role(delegator)
    from['delegations'] ??= { keys: {}, roles: [] }
    from['delegations'].roles ??= []
    Object.assign(from['delegations'].keys, keysOf(signers))
    const paths = how['path_hash_prefixes'] === undefined ? { paths: ['*', '*/*', '*/*/*'] } : {}
    from['delegations'].roles.push({
      name,
      terminating: false,
      ...roleOf(signers),
      ...paths,
      ...how,
    })
    this.#made(name, signers)
  }

  /** TAP 15. */
  divide(delegator: string, prefix: string, bitLength: number, signers = [key(7)]): void {
    this.#role(delegator)['delegations'] = {
      keys: keysOf(signers),
      succinct_roles: { ...roleOf(signers), bit_length: bitLength, name_prefix: prefix },
    }
    const width = Math.ceil(bitLength / 4)
    for (let n = 0; n < 2 ** bitLength; n += 1) {
      this.#made(`${prefix}-${n.toString(16).padStart(width, '0')}`, signers)
    }
  }

  /** The next root, signed by these. */
  publishRoot(signers: readonly Signer[] = this.signers['root'] ?? []): void {
    this.files[`${this.root['version']}.root.json`] = signedFile(this.root, signers)
  }

  rotate(change: (root: Signed) => void, signers?: readonly Signer[]): void {
    this.root['version'] += 1
    change(this.root)
    this.publishRoot(signers)
  }

  /** Signs all that is below root, with the versions as they stand. */
  publish(): void {
    const meta: Signed = {}
    for (const [name, signed] of [['targets', this.targets], ...Object.entries(this.delegated)] as [
      string,
      Signed,
    ][]) {
      this.#put(`${percentEncoded(name)}.json`, signed, name)
      meta[`${name}.json`] = { version: signed['version'] }
    }
    this.snapshot['meta'] = { ...meta, ...this.snapshot['extraMeta'] }
    this.#put('snapshot.json', this.snapshot, 'snapshot')
    this.signTimestamp({ version: this.snapshot['version'] })
  }

  signTimestamp(meta: Signed): void {
    this.timestamp['meta'] = { 'snapshot.json': meta }
    this.files['timestamp.json'] = signedFile(this.timestamp, this.signers['timestamp'] ?? [])
  }

  /** All versions below root one higher, then signed. */
  next(): void {
    for (const signed of [
      this.timestamp,
      this.snapshot,
      this.targets,
      ...Object.values(this.delegated),
    ]) {
      signed['version'] += 1
    }
    this.publish()
  }

  #put(file: string, signed: Signed, role: string): void {
    const name = this.root['consistent_snapshot'] ? `${signed['version']}.${file}` : file
    this.files[name] = signedFile(signed, this.signers[role] ?? [])
  }

  #role(name: string): Signed {
    return name === 'targets' ? this.targets : this.#made(name, [key(7)])
  }

  #made(name: string, signers: readonly Signer[]): Signed {
    this.signers[name] ??= signers
    this.delegated[name] ??= this.#head('targets', { targets: {} })
    return this.delegated[name]
  }

  #head(type: string, body: object): Signed {
    return { _type: type, spec_version: '1.0.34', version: 1, expires: EXPIRES, ...body }
  }
}
