import { MirrorError, quoted } from '../error.ts'
import { type Checksum, sha256 } from '../registry/checksum.ts'
import { type JsonShape, scanJson } from '../registry/strict-json.ts'
import { canonicalJson } from './canonical.ts'
import {
  asArray,
  asObject,
  asString,
  FormRefused,
  type Json,
  type JsonObject,
  member,
} from './json.ts'
import { LIMITS } from './limits.ts'

interface Signature {
  readonly keyid: string
  /** As it came: whether it is hex at all is judged where it is counted. */
  readonly sig: string
}

/** A metadata file taken apart, nothing in it believed yet (TUF 4.2.1). */
export interface Envelope {
  readonly file: string
  readonly bytes: Uint8Array
  readonly signed: JsonObject
  /** The canonical form of `signed`, unknown fields included: all that a signature counts over. */
  readonly canonical: Uint8Array
  readonly signatures: readonly Signature[]
}

/**
 * Scans the bytes, then parses the two members from their own slices: what is verified and what is
 * read come from the same parsed value. Other members of the file are unsigned and never used.
 */
export function openEnvelope(bytes: Uint8Array, file: string): Envelope {
  const { members } = scanned(bytes, file)
  const span = members.get('signed')
  const parsed = (name: string): Json | undefined => {
    const span = members.get(name)
    if (span === undefined) return undefined
    return JSON.parse(Buffer.from(bytes.subarray(span.start, span.end)).toString()) as Json
  }
  const signed = asObject(parsed('signed'), `${file}: signed`)
  const signatures = readSignatures(parsed('signatures'), `${file}: signatures`)
  // of large files to write the canonical form costs more than all the rest
  const isCanonical = span?.isCanonical === true
  const canonical = isCanonical ? bytes.subarray(span.start, span.end) : canonicalJson(signed)
  return { file, bytes, signed, canonical, signatures }
}

/** The hash of what is signed: people compare it by voice, and equal ones have equal content. */
export function digestOf(envelope: Envelope): Checksum {
  return sha256(envelope.canonical)
}

function scanned(bytes: Uint8Array, file: string): JsonShape {
  try {
    return scanJson(bytes, { depthMax: LIMITS.depth, integersOnly: true })
  } catch (error) {
    if (!(error instanceof MirrorError)) throw error
    const head = Buffer.from(bytes.subarray(0, 60)).toString()
    throw new FormRefused(`${file}: ${error.message}; it begins ${quoted(head)}`, { cause: error })
  }
}

function readSignatures(value: Json | undefined, where: string): Signature[] {
  const list = asArray(value, where)
  if (list.length > LIMITS.signatures) {
    throw new FormRefused(`${where}: ${list.length}, at most ${LIMITS.signatures} allowed`)
  }
  const seen = new Set<string>()
  return list.map(item => {
    const object = asObject(item, where)
    const keyid = asString(member(object, 'keyid'), `${where}: keyid`)
    const sig = asString(member(object, 'sig'), `${where}: sig`)
    if (seen.has(keyid)) {
      throw new MirrorError('signature', `${where}: key id ${quoted(keyid)} twice`)
    }
    seen.add(keyid)
    return { keyid, sig }
  })
}
