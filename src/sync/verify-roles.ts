import { MirrorError } from '../error.ts'
import type { MetadataVersions } from '../store/snapshot.ts'
import { readBook } from '../trust/book.ts'
import { type Envelope, openEnvelope } from '../trust/envelope.ts'
import type { Metadata } from '../trust/metadata.ts'
import type { Root } from '../trust/root.ts'
import { type MetaFile, readSnapshot, readTimestamp } from '../trust/snapshot.ts'
import { readTargets } from '../trust/targets.ts'
import { requireThreshold } from '../trust/threshold.ts'
import { requireMeta } from '../trust/trusted.ts'
import { type ChainCopies, type Copy, tried } from './chain-copies.ts'
import { type Fault, type Finding, fault, warning } from './verify-finding.ts'

type OnlineRole = 'timestamp' | 'snapshot' | 'targets'
interface Reads {
  readonly timestamp: ReturnType<typeof readTimestamp>
  readonly snapshot: ReturnType<typeof readSnapshot>
  readonly targets: ReturnType<typeof readTargets>
}
type Read<Type extends OnlineRole> = Reads[Type]
const READ: { readonly [Type in OnlineRole]: (envelope: Envelope) => Reads[Type] } = {
  timestamp: readTimestamp,
  snapshot: readSnapshot,
  targets: readTargets,
}

/** The three files that others read, as far as they are right. */
type Shown = { readonly [Type in OnlineRole]?: Reads[Type] | undefined }

/** Timestamp, snapshot and targets of one chain, under the roots of it that are right. */
export class RoleFiles {
  readonly #copies: ChainCopies
  readonly #roots: readonly Root[]
  /** What is published and, while one is being published, what is next; none: the chain's own word. */
  readonly #versions: readonly MetadataVersions[]
  readonly #current = new Set<string>()

  constructor(copies: ChainCopies, roots: readonly Root[], versions: readonly MetadataVersions[]) {
    this.#copies = copies
    this.#roots = roots
    this.#versions = versions
  }

  *current(): Generator<Finding, Shown> {
    const timestamp = yield* this.#role('timestamp', undefined)
    const snapshot = yield* this.#role('snapshot', timestamp?.snapshot)
    const targets = yield* this.#role('targets', snapshot?.targets)
    return { timestamp, snapshot, targets }
  }

  /** Files of earlier versions, kept for readers on the way; each is signed by the keys of its time. */
  *superseded(): Generator<Fault> {
    for (const name of this.#copies.namesIn(this.#copies.shown)) {
      const [, version, type] = /^([1-9][0-9]*)\.(snapshot|targets)\.json$/.exec(name) ?? []
      const copy = this.#copies.copy(`${this.#copies.shown}/${name}`)
      if (type === undefined || copy === undefined || this.#current.has(copy.file)) continue
      const { value, reason } = tried(() => this.#read(type as OnlineRole, copy))
      if (value?.version === Number(version)) continue
      yield fault('damaged', copy.file, reason ?? `version ${value?.version} under this name`)
    }
  }

  /** The file that others read; the one we keep is compared where it is of the same version. */
  *#role<Type extends OnlineRole>(
    type: Type,
    stated: MetaFile | undefined,
  ): Generator<Finding, Read<Type> | undefined> {
    const { shown, kept } = this.#copies
    const keptFile = `${kept}/${type}.json`
    const keptCopy = this.#copies.copy(keptFile)
    const own = keptCopy && tried(() => this.#read(type, keptCopy))
    const version = stated?.version ?? this.#expectedVersion(type, own?.value)
    if (version === undefined) {
      if (own?.reason !== undefined) {
        yield this.#copies.fault('damaged', keptFile, own.reason, undefined)
      }
      return undefined
    }
    const file = `${shown}/${nameOf(type, version)}`
    this.#current.add(file)
    const isTwin = own?.value === undefined || own.value.version === version
    const files = isTwin && this.#isDue(type, keptCopy) ? [file, keptFile] : [file]
    const check = (copy: Copy): void => {
      const metadata = this.#read(type, copy)
      this.#requireVersion(metadata, stated?.version, type)
      if (stated !== undefined) requireMeta(copy.bytes, stated, copy.file)
    }
    const bytes = yield* this.#copies.judge(files, check, this.#roots)
    if (!isTwin)
      yield* this.#apart(type, { keptFile, own: own?.value?.version ?? 0, version, bytes })
    return bytes && this.#read(type, { file, bytes })
  }

  /** What we keep may be newer: a refresh not published yet, or a signature of a killed `sign`. */
  *#apart(
    type: OnlineRole,
    at: {
      readonly keptFile: string
      readonly own: number
      readonly version: number
      readonly bytes: Uint8Array | undefined
    },
  ): Generator<Finding> {
    const { keptFile, own, version, bytes } = at
    if (own < version) {
      const found = `version ${own}, older than ${version}, which is published`
      yield this.#copies.fault('damaged', keptFile, found, bytes)
    } else if (this.#versions.length === 0 && type === 'timestamp') {
      yield warning(`${keptFile}: version ${own} is not shown yet: the next writer shows it`)
    }
  }

  /** Metadata under any of the roots: an older file was signed by the keys of its time. */
  #read<Type extends OnlineRole>(type: Type, { bytes, file }: Copy): Read<Type> {
    const envelope = openEnvelope(bytes, file)
    const isSigned = (root: Root): boolean =>
      tried(() => requireThreshold(envelope, root.roles[type], '')).reason === undefined
    const newest = this.#roots.at(-1)
    if (newest !== undefined && !this.#roots.some(isSigned)) {
      requireThreshold(envelope, newest.roles[type], `root ${newest.version}`)
    }
    return READ[type](envelope) as Read<Type>
  }

  /** A rotated root voids what we keep (TUF 5.3.11); else it is there once something is shown. */
  #isDue(type: OnlineRole, kept: Copy | undefined): boolean {
    if (kept !== undefined || type === 'targets') return true
    const book = readBook(this.#copies.copy(`${this.#copies.kept}/book.json`)?.bytes)
    return book.dropped.at(-1)?.root !== this.#roots.at(-1)?.version
  }

  #requireVersion(metadata: Metadata, stated: number | undefined, type: OnlineRole): void {
    const allowed = this.#versions.map(versions => versions[type])
    const isAllowed = allowed.length === 0 || allowed.includes(metadata.version)
    if (isAllowed && (stated === undefined || stated === metadata.version)) return
    throw new MirrorError(
      'damaged',
      `${metadata.file}: version ${metadata.version}, expected ${stated ?? allowed[0]}`,
    )
  }

  /** Where no file above states it. While one is being published the timestamp may be either. */
  #expectedVersion(type: OnlineRole, kept: Metadata | undefined): number | undefined {
    const published = this.#versions[0]?.[type]
    if (type !== 'timestamp' || this.#versions.length === 1) return published
    const shown = this.#copies.copy(`${this.#copies.shown}/timestamp.json`)
    const found = shown && tried(() => this.#read(type, shown)).value
    return found?.version ?? published ?? kept?.version
  }
}

function nameOf(type: OnlineRole, version: number): string {
  return type === 'timestamp' ? 'timestamp.json' : `${version}.${type}.json`
}
