import { quoted } from '../error.ts'
import type { Envelope } from './envelope.ts'
import { type Hashes, readHashes } from './hashes.ts'
import { asInteger, asObject, FormRefused, type Json, type JsonObject, member } from './json.ts'
import { type Metadata, readMetadata } from './metadata.ts'

/** What timestamp and snapshot say of the file below them (METAFILES, TUF 4.4). */
export interface MetaFile {
  readonly version: number
  readonly length?: number
  readonly hashes?: Hashes
}

export interface Timestamp extends Metadata {
  readonly snapshot: MetaFile
}

export interface Snapshot extends Metadata {
  /** `targets.json` and every delegated role's file. */
  readonly files: ReadonlyMap<string, MetaFile>
  readonly targets: MetaFile
}

export function readTimestamp(envelope: Envelope): Timestamp {
  const { file, signed } = envelope
  const metadata = readMetadata(envelope, 'timestamp')
  const meta = asObject(member(signed, 'meta'), `${file}: meta`)
  const strangers = Object.keys(meta).filter(name => name !== 'snapshot.json')
  if (strangers[0] !== undefined) {
    throw new FormRefused(`${file}: meta lists ${quoted(strangers[0])} beside snapshot.json`)
  }
  return { ...metadata, snapshot: readMetaFile(meta, 'snapshot.json', file) }
}

export function readSnapshot(envelope: Envelope): Snapshot {
  const { file, signed } = envelope
  const metadata = readMetadata(envelope, 'snapshot')
  const meta = asObject(member(signed, 'meta'), `${file}: meta`)
  const targets = readMetaFile(meta, 'targets.json', file)
  const files = new Map(Object.keys(meta).map(name => [name, readMetaFile(meta, name, file)]))
  return { ...metadata, files, targets }
}

function readMetaFile(meta: JsonObject, name: string, file: string): MetaFile {
  const where = `${file}: meta of ${quoted(name)}`
  const object = asObject(member(meta, name), where)
  const version = asInteger(member(object, 'version'), `${where}: version`, 1)
  const length: Json | undefined = member(object, 'length')
  const hashes: Json | undefined = member(object, 'hashes')
  return {
    version,
    ...(length !== undefined && { length: asInteger(length, `${where}: length`, 1) }),
    ...(hashes !== undefined && { hashes: readHashes(hashes, `${where}: hashes`) }),
  }
}
