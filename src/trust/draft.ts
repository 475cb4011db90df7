import { MirrorError, quoted } from '../error.ts'
import { type Checksum, isChecksum, sha256 } from '../registry/checksum.ts'
import { scanJson } from '../registry/strict-json.ts'
import { canonicalJson, fileJson } from './canonical.ts'
import type { Envelope } from './envelope.ts'
import { asInteger, asObject, asString, type Json, type JsonObject, member } from './json.ts'
import { LIMITS } from './limits.ts'
import type { KeySignature } from './signer.ts'

const DRAFT_FORMAT = 'crateferry-root-draft-1'
const SIGNATURE_FORMAT = 'crateferry-root-signature-1'

/** The root that follows another one, as members are asked to sign it; `before` is missing for a first. */
export interface Draft {
  readonly version: number
  readonly before: { readonly version: number; readonly digest: Checksum } | undefined
  readonly signed: JsonObject
  /** Key id → whose key it was said to be. Signed by nobody: for the eye only. */
  readonly owners: ReadonlyMap<string, string>
}

/** One member's signature of one draft, small enough for a QR code. */
export interface DraftSignature extends KeySignature {
  readonly version: number
  readonly digest: Checksum
}

/** SHA-256 of the canonical form: what members compare by voice, and what is signed. */
export function signedDigest(signed: JsonObject): Checksum {
  return sha256(canonicalJson(signed))
}

export function draftBytes({ version, before, signed, owners }: Draft): Uint8Array {
  return fileJson({
    format: DRAFT_FORMAT,
    version,
    ...(before !== undefined && { prevVersion: before.version, prevDigest: before.digest }),
    signed,
    owners: Object.fromEntries(owners),
  })
}

/** @throws {MirrorError} refused */
export function readDraft(bytes: Uint8Array, file: string): Draft {
  const object = parsed(bytes, file, DRAFT_FORMAT)
  const [before, digest] = [member(object, 'prevVersion'), member(object, 'prevDigest')]
  const owners = Object.entries(asObject(member(object, 'owners') ?? {}, `${file}: owners`))
  const hasBefore = before !== undefined || digest !== undefined
  return {
    version: asInteger(member(object, 'version'), `${file}: version`, 1),
    before: hasBefore
      ? {
          version: asInteger(before, `${file}: prevVersion`, 1),
          digest: asChecksum(digest, `${file}: prevDigest`),
        }
      : undefined,
    signed: asObject(member(object, 'signed'), `${file}: signed`),
    owners: new Map(owners.map(([keyid, owner]) => [keyid, asString(owner, `${file}: owners`)])),
  }
}

/** The draft as a file without signatures, so that it is read by the same rules as one that has some. */
export function envelopeOf({ signed }: Draft, file: string): Envelope {
  const canonical = canonicalJson(signed)
  return { file, bytes: canonical, signed, canonical, signatures: [] }
}

export function signatureBytes({ version, digest, keyid, sig }: DraftSignature): Uint8Array {
  return fileJson({ format: SIGNATURE_FORMAT, role: 'root', version, digest, keyid, sig })
}

/** @throws {MirrorError} refused */
export function readSignature(bytes: Uint8Array, file: string): DraftSignature {
  const object = parsed(bytes, file, SIGNATURE_FORMAT)
  return {
    version: asInteger(member(object, 'version'), `${file}: version`, 1),
    digest: asChecksum(member(object, 'digest'), `${file}: digest`),
    keyid: asString(member(object, 'keyid'), `${file}: keyid`),
    sig: asString(member(object, 'sig'), `${file}: sig`),
  }
}

function parsed(bytes: Uint8Array, file: string, format: string): JsonObject {
  try {
    scanJson(bytes, { depthMax: LIMITS.depth, integersOnly: true })
  } catch (error) {
    if (!(error instanceof MirrorError)) throw error
    throw new MirrorError('refused', `${file}: ${error.message}`, { cause: error })
  }
  const object = asObject(JSON.parse(Buffer.from(bytes).toString()) as Json, file)
  const found = member(object, 'format')
  if (found === format) return object
  const shown = typeof found === 'string' ? quoted(found) : 'nothing'
  throw new MirrorError('refused', `${file}: format ${shown}, expected "${format}"`)
}

function asChecksum(value: Json | undefined, where: string): Checksum {
  if (isChecksum(value)) return value
  throw new MirrorError('refused', `${where}: expected a SHA-256 in lower-case hex`)
}
