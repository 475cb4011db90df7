import { MirrorError, quoted } from '../error.ts'
import type { Checksum } from '../registry/checksum.ts'
import { fileJson } from './canonical.ts'
import { type Draft, type DraftSignature, envelopeOf, signedDigest } from './draft.ts'
import { digestOf, openEnvelope } from './envelope.ts'
import { type Instant, instantOf, secondsAfter } from './instant.ts'
import { type Root, readRoot } from './root.ts'
import type { KeySignature } from './signer.ts'
import { countedKeys, verifiesHex } from './threshold.ts'
import { TrustedSet } from './trusted.ts'

/** A draft and the root before it, found to belong together. */
export interface RootStep {
  readonly draft: Draft
  readonly digest: Checksum
  readonly next: Root
  /** Undefined where the draft is a first root. */
  readonly previous: Root | undefined
}

interface Given {
  readonly bytes: Uint8Array
  readonly file: string
}

/**
 * Refuses a draft that does not follow the root its signer knows: another root before it, another
 * version, a previous root that nobody signed.
 * @throws {MirrorError} signature, refused
 */
export function rootStep(draft: Draft, file: string, previous: Given | undefined): RootStep {
  const next = readRoot(envelopeOf(draft, file))
  const digest = signedDigest(draft.signed)
  const wrong = (why: string): MirrorError => new MirrorError('signature', `${file}: ${why}`)
  if (next.version !== draft.version) {
    throw wrong(`says version ${draft.version}, and what is to be signed says ${next.version}`)
  }
  if (draft.before === undefined) {
    if (draft.version !== 1) throw wrong(`is version ${draft.version} and names no root before it`)
    if (previous !== undefined) throw wrong('is a first root, which follows no other')
    return { draft, digest, next, previous: undefined }
  }
  if (previous === undefined) {
    throw new MirrorError(
      'usage',
      `${file} follows root ${draft.before.version}: give it with --prev FILE`,
    )
  }
  const { root } = new TrustedSet(previous.bytes, previous.file)
  const found = digestOf(openEnvelope(previous.bytes, previous.file))
  if (found !== draft.before.digest) {
    throw wrong(`follows a root with digest ${draft.before.digest}, ${previous.file} has ${found}`)
  }
  if (draft.version !== root.version + 1 || draft.before.version !== root.version) {
    throw wrong(`is version ${draft.version}, and ${previous.file} is version ${root.version}`)
  }
  return { draft, digest, next, previous: root }
}

const EXPIRY_SECONDS_MAX = 2 * 366 * 86_400

/**
 * What no member should sign, whoever asks.
 * @throws {MirrorError} signature where one key stands under two ids, refused for the rest
 */
export function requireSignable(
  { next }: RootStep,
  { now, acceptSingle }: { readonly now: Date; readonly acceptSingle: boolean },
): void {
  const { file, expires } = next
  const refuse = (why: string): MirrorError => new MirrorError('refused', `${file}: ${why}`)
  for (const { name, keys, threshold } of Object.values(next.roles)) {
    const identities = new Set([...keys.values()].map(({ identity }) => identity))
    if (identities.size < keys.size) {
      throw new MirrorError(
        'signature',
        `${file}: one key stands under two key ids in role ${name}`,
      )
    }
    if (threshold > keys.size) {
      throw refuse(`role ${name} needs ${threshold} of ${keys.size} usable keys`)
    }
  }
  const today: Instant = instantOf(now)
  if (expires <= today) throw refuse(`it ends at ${expires}, which is past`)
  if (expires > secondsAfter(today, EXPIRY_SECONDS_MAX)) {
    throw refuse(`it ends at ${expires}, more than two years ahead`)
  }
  if (next.roles.root.threshold < 2 && !acceptSingle) {
    throw refuse('one key alone would sign the next root; --accept-single takes that')
  }
}

/**
 * Refuses a signature that is not one of this draft by a key of the old or the new root.
 * @throws {MirrorError} signature
 */
export function requireMember(
  { draft, next, previous }: RootStep,
  { keyid, sig }: KeySignature,
  file: string,
): void {
  const key = previous?.roles.root.keys.get(keyid) ?? next.roles.root.keys.get(keyid)
  const wrong = (why: string): MirrorError => new MirrorError('signature', `${file}: ${why}`)
  if (key === undefined) {
    const roots =
      previous === undefined
        ? `root ${next.version}`
        : `root ${previous.version} or ${next.version}`
    throw wrong(`key ${quoted(keyid)} is no root key of ${roots}`)
  }
  const { canonical } = envelopeOf(draft, file)
  if (!verifiesHex(key, canonical, sig)) throw wrong(`the signature of ${keyid} does not verify`)
}

/** How far a root is signed. */
export interface Count {
  readonly have: number
  readonly need: number
}

export interface Merged {
  /** The root with all signatures, in one order whatever theirs was. */
  readonly bytes: Uint8Array
  /** By the keys of the root before; undefined for a first root. */
  readonly old: Count | undefined
  readonly new: Count
  readonly isWhole: boolean
}

/** Puts signatures and draft together. Each signature is verified; the same one twice counts once. */
export function merged(
  step: RootStep,
  signatures: readonly (DraftSignature & { readonly file: string })[],
): Merged {
  const { draft, digest, next, previous } = step
  const byKey = new Map<string, string>()
  for (const { file, version, digest: of, keyid, sig } of signatures) {
    if (version !== draft.version || of !== digest) {
      throw new MirrorError(
        'signature',
        `${file}: signs version ${version} with digest ${of}, not this draft (${digest})`,
      )
    }
    requireMember(step, { keyid, sig }, file)
    byKey.set(keyid, sig.toLowerCase())
  }
  const list = [...byKey]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([keyid, sig]) => ({ keyid, sig }))
  const bytes = fileJson({ signatures: list, signed: draft.signed })
  const envelope = openEnvelope(bytes, `${draft.version}.root.json`)
  const count = ({ roles }: Root): Count => ({
    have: countedKeys(envelope, roles.root).size,
    need: roles.root.threshold,
  })
  const counts = { old: previous && count(previous), new: count(next) }
  const isWhole = [counts.old, counts.new].every(one => one === undefined || one.have >= one.need)
  return { bytes, ...counts, isWhole }
}
