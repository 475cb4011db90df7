import { MirrorError, quoted } from '../error.ts'
import type { Checksum } from '../registry/checksum.ts'
import { digestOf, type Envelope } from './envelope.ts'
import { type Instant, parseInstant } from './instant.ts'
import { asInteger, asString, FormRefused, member } from './json.ts'

/** What every role's file has (TUF 4.3), with the bytes as they came. */
export interface Metadata {
  readonly file: string
  readonly bytes: Uint8Array
  /** Of the canonical `signed`: ECDSA signatures differ at each signing, contents do not. */
  readonly digest: Checksum
  readonly version: number
  readonly expires: Instant
}

export type RoleType = 'root' | 'timestamp' | 'snapshot' | 'targets'

export function readMetadata(envelope: Envelope, type: RoleType): Metadata {
  const { file, signed, bytes } = envelope
  const found = asString(member(signed, '_type'), `${file}: _type`)
  if (found !== type) {
    throw new MirrorError('signature', `${file}: _type ${quoted(found)}, expected "${type}"`)
  }
  const specification = asString(member(signed, 'spec_version'), `${file}: spec_version`)
  if (!/^1(\.\d+){1,2}$/.test(specification)) {
    throw new FormRefused(`${file}: spec_version ${quoted(specification)}, expected 1.x`)
  }
  const version = asInteger(member(signed, 'version'), `${file}: version`, 1)
  const text = asString(member(signed, 'expires'), `${file}: expires`)
  const expires = parseInstant(text)
  if (expires === undefined) {
    throw new FormRefused(`${file}: expires ${quoted(text)}, expected YYYY-MM-DDTHH:MM:SSZ`)
  }
  return { file, bytes, digest: digestOf(envelope), version, expires }
}
