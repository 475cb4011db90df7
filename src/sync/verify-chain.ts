import { MirrorError } from '../error.ts'
import { type Checksum, sha256 } from '../registry/checksum.ts'
import type { Chain } from '../store/chain-files.ts'
import { SITE, TRUST, TUF } from '../store/layout.ts'
import type { Snapshot } from '../store/snapshot.ts'
import { readBook } from '../trust/book.ts'
import { type Envelope, openEnvelope } from '../trust/envelope.ts'
import { instantOf } from '../trust/instant.ts'
import type { Metadata } from '../trust/metadata.ts'
import type { Root } from '../trust/root.ts'
import { type MetaFile, readSnapshot, readTimestamp } from '../trust/snapshot.ts'
import { indexTreeOf, readTargets } from '../trust/targets.ts'
import { requireThreshold } from '../trust/threshold.ts'
import { requireMeta, TrustedSet } from '../trust/trusted.ts'
import { entriesIn, readRegular } from './verify-files.ts'
import { type Fault, type Finding, fault, warning } from './verify-finding.ts'

const METADATA_BYTES_MAX = 64_000_000

/** Where others read a chain. */
const SHOWN_IN: Readonly<Record<Chain, string>> = { upstream: TUF, site: SITE }

/** What a chain has to agree with. */
export interface ChainExpectation {
  /** The fingerprint of the pinned root; null: the first root kept is the one believed. */
  readonly pinned: Checksum | null
  /** The published snapshot and, while one is being published, the next: readers may see either. */
  readonly snapshots: readonly Snapshot[]
  readonly now: Date
}

type RoleType = 'timestamp' | 'snapshot' | 'targets'
interface Reads {
  readonly timestamp: ReturnType<typeof readTimestamp>
  readonly snapshot: ReturnType<typeof readSnapshot>
  readonly targets: ReturnType<typeof readTargets>
}
type Read<Type extends RoleType> = Reads[Type]
const READ: { readonly [Type in RoleType]: (envelope: Envelope) => Reads[Type] } = {
  timestamp: readTimestamp,
  snapshot: readSnapshot,
  targets: readTargets,
}

/**
 * Verifies a chain where others read it and where we keep it, from the pinned root to the tree.
 * Each file but the ones of a refresh that was not published yet stands in both places, so that one
 * vouches for the bytes of the other, and mends it. Expiry is told and no fault (TUF 5.3.10 and its
 * kin are for those who follow a chain).
 */
export function* chainFindings(
  root: string,
  chain: Chain,
  expected: ChainExpectation,
): Generator<Finding> {
  const walk = new ChainWalk(root, chain, expected)
  yield* walk.roots()
  yield* walk.roles()
  yield* walk.superseded()
}

/** Metadata under any of these roots: an older file was signed by the keys of its time. */
function readSigned<Type extends RoleType>(
  type: Type,
  { bytes, file }: { readonly bytes: Uint8Array; readonly file: string },
  roots: readonly Root[],
): Read<Type> {
  const envelope = openEnvelope(bytes, file)
  for (const [index, root] of roots.toReversed().entries()) {
    try {
      requireThreshold(envelope, root.roles[type], `root ${root.version}`)
      break
    } catch (error) {
      if (index === roots.length - 1) throw error
    }
  }
  return READ[type](envelope) as Read<Type>
}

interface Copy {
  readonly file: string
  readonly bytes: Uint8Array
}

class ChainWalk {
  readonly right: Root[] = []
  readonly #rightBytes: Uint8Array[] = []
  readonly #root: string
  readonly #chain: Chain
  readonly #expected: ChainExpectation
  readonly #shown: string
  readonly #kept: string
  readonly #current = new Set<string>()

  constructor(root: string, chain: Chain, expected: ChainExpectation) {
    this.#root = root
    this.#chain = chain
    this.#expected = expected
    this.#shown = SHOWN_IN[chain]
    this.#kept = TRUST[chain]
  }

  /** TUF 5.3: one after the other, and nothing after the first that is lost. */
  *roots(): Generator<Finding> {
    const kept = this.#numbersIn(`${this.#kept}/root_history`)
    const shown = this.#numbersIn(this.#shown)
    const last = Math.max(0, ...kept, ...shown)
    const lastShown = Math.max(this.#expected.snapshots[0]?.metadata?.root ?? 0, ...shown)
    for (let n = this.#firstRoot([...kept, ...shown]); n <= last; n += 1) {
      const files = [`${this.#kept}/root_history/${n}.root.json`]
      if (n <= lastShown) files.push(`${this.#shown}/${n}.root.json`)
      const bytes = yield* this.#judge(files, copy => this.#nextRoot(copy))
      if (bytes === undefined) return
      this.right.push(this.#nextRoot({ file: files[0] ?? '', bytes }))
      this.#rightBytes.push(bytes)
    }
    yield* this.#newestRoot()
  }

  /** Verifies against the pinned fingerprint, or against the root before it (TUF 5.3.4, 5.3.5). */
  #nextRoot({ file, bytes }: Copy): Root {
    const before = this.#rightBytes.at(-1)
    if (before !== undefined) {
      const trusted = new TrustedSet(before, file)
      trusted.updateRoot(bytes, file)
      return trusted.root
    }
    const { pinned } = this.#expected
    const found = sha256(bytes)
    if (pinned !== null && found !== pinned) {
      throw new MirrorError('damaged', `${file}: sha256 ${found}, but ${pinned} is pinned`)
    }
    return new TrustedSet(bytes, file).root
  }

  /** `root.json` is a copy of one that is right: of the last but one where a run was killed. */
  *#newestRoot(): Generator<Finding> {
    const file = `${this.#kept}/root.json`
    const bytes = this.#read(file)
    if (bytes === undefined) return
    if (this.#rightBytes.some(right => Buffer.compare(right, bytes) === 0)) return
    yield this.#fault('damaged', file, 'is none of the roots kept', this.#rightBytes.at(-1))
  }

  *roles(): Generator<Finding> {
    if (this.right.length === 0) return
    const timestamp = yield* this.#role('timestamp', undefined)
    const snapshot = yield* this.#role('snapshot', timestamp?.snapshot)
    const targets = yield* this.#role('targets', snapshot?.targets)
    if (targets !== undefined) yield* this.#tree(targets.bytes, targets.file)
    for (const metadata of [this.right.at(-1), timestamp, snapshot, targets]) {
      if (metadata !== undefined && metadata.expires <= instantOf(this.#expected.now)) {
        yield warning(`${metadata.file} expired at ${metadata.expires}`)
      }
    }
  }

  /** The file that others read; the one we keep is compared where it is of the same version. */
  *#role<Type extends RoleType>(
    type: Type,
    stated: MetaFile | undefined,
  ): Generator<Finding, Read<Type> | undefined> {
    const kept = this.#copy(`${this.#kept}/${type}.json`)
    const version = stated?.version ?? this.#expectedVersion(type)
    const shown = this.#copy(`${this.#shown}/${this.#nameOf(type, version)}`)
    this.#current.add(shown.file)
    const keptRight = kept.bytes && this.#tried(() => this.#readRole(type, kept as Copy))
    const isTwin = keptRight?.value?.version === version || keptRight?.value === undefined

    if (shown.bytes === undefined && version === undefined) {
      if (keptRight?.value === undefined && kept.bytes !== undefined) {
        yield this.#fault('damaged', kept.file, keptRight?.reason ?? 'unreadable', undefined)
      }
      return undefined
    }
    const files = [shown.file, ...(isTwin && this.#isDue(type, kept) ? [kept.file] : [])]
    const bytes = yield* this.#judge(files, copy => {
      const metadata = this.#readRole(type, copy)
      this.#requireVersion(metadata, version, type)
      if (stated !== undefined) requireMeta(copy.bytes, stated, copy.file)
      return metadata
    })
    if (!isTwin && (keptRight?.value?.version ?? 0) < (version ?? 0)) {
      yield this.#fault('damaged', kept.file, `older than version ${version}, published`, bytes)
    }
    return bytes && this.#readRole(type, { file: shown.file, bytes })
  }

  #readRole<Type extends RoleType>(type: Type, copy: Copy): Read<Type> {
    return readSigned(type, copy, this.right)
  }

  /** A rotated root voids what we keep (TUF 5.3.11); else it is there once something is shown. */
  #isDue(type: RoleType, kept: { readonly bytes: Uint8Array | undefined }): boolean {
    if (kept.bytes !== undefined) return true
    if (type === 'targets') return true
    const book = readBook(this.#read(`${this.#kept}/book.json`))
    return book.dropped.at(-1)?.root !== this.right.at(-1)?.version
  }

  #requireVersion(metadata: Metadata, stated: number | undefined, type: RoleType): void {
    const allowed = this.#expected.snapshots.map(({ metadata }) => metadata?.[type])
    const versions = this.#chain === 'upstream' && allowed.length > 0 ? allowed : [stated]
    const isRight = versions.some(version => version === undefined || version === metadata.version)
    if (isRight && (stated === undefined || stated === metadata.version)) return
    throw new MirrorError(
      'damaged',
      `${metadata.file}: version ${metadata.version}, expected ${stated ?? versions[0]}`,
    )
  }

  #expectedVersion(type: RoleType): number | undefined {
    if (type === 'timestamp' && this.#expected.snapshots.length > 1) {
      const shown = this.#copy(`${this.#shown}/timestamp.json`)
      const found = shown.bytes && this.#tried(() => this.#readRole('timestamp', shown as Copy))
      return found?.value?.version ?? this.#expected.snapshots[0]?.metadata?.timestamp
    }
    const [published] = this.#expected.snapshots
    if (this.#chain === 'upstream') return published?.metadata?.[type]
    const shown = this.#copy(`${this.#shown}/${this.#nameOf(type, undefined)}`)
    return shown.bytes && this.#tried(() => this.#readRole(type, shown as Copy)).value?.version
  }

  #nameOf(type: RoleType, version: number | undefined): string {
    return type === 'timestamp' ? 'timestamp.json' : `${version}.${type}.json`
  }

  *#tree(bytes: Uint8Array, file: string): Generator<Finding> {
    const { tree } = indexTreeOf(readTargets(openEnvelope(bytes, file)))
    const named = this.#expected.snapshots.map(snapshot => snapshot.tree)
    // what a site signs may lag behind what it mirrors
    if (this.#chain === 'site' || named.length === 0 || named.includes(tree)) return
    yield this.#fault(
      'damaged',
      file,
      `signs tree ${tree}, but ${named[0]} is published`,
      undefined,
    )
  }

  /** Files of earlier versions, kept for readers on the way; each is signed by the keys of its time. */
  *superseded(): Generator<Finding> {
    for (const { name } of entriesIn(this.#root, this.#shown)) {
      const [, version, type] = /^([1-9][0-9]*)\.(snapshot|targets)\.json$/.exec(name) ?? []
      const copy = this.#copy(`${this.#shown}/${name}`)
      if (type === undefined || this.#current.has(copy.file) || copy.bytes === undefined) continue
      const found = this.#tried(() => this.#readRole(type as RoleType, copy as Copy))
      if (found.value?.version === Number(version)) continue
      const reason = found.reason ?? `version ${found.value?.version} under this name`
      yield fault('damaged', copy.file, reason)
    }
  }

  /**
   * One file in several places: what is wrong, or not there, is told. Where copies differ and all
   * verify, the one whose every signature stands as it was made is right.
   */
  *#judge(
    files: readonly string[],
    check: (copy: Copy) => unknown,
  ): Generator<Fault, Uint8Array | undefined> {
    const copies = files.map(file => this.#copy(file))
    const tried = copies.map(copy => ({
      ...copy,
      ...(copy.bytes && this.#tried(() => check(copy as Copy))),
    }))
    const right = tried.filter(({ value }) => value !== undefined) as (Copy & { value: unknown })[]
    right.sort((a, b) => this.#flaws(a) - this.#flaws(b))
    const best = right[0]
    for (const { file, bytes, reason } of tried) {
      if (bytes === undefined) yield this.#missing(file, best?.bytes)
      else if (reason !== undefined) yield this.#fault('damaged', file, reason, best?.bytes)
      else if (best !== undefined && Buffer.compare(bytes, best.bytes) !== 0) {
        yield this.#fault('damaged', file, `differs from ${best.file}`, best.bytes)
      }
    }
    return best?.bytes
  }

  /** Signatures that count for nothing: TUF allows them, but a flipped bit makes them too. */
  #flaws({ bytes, file }: Copy): number {
    const envelope = openEnvelope(bytes, file)
    const roles = this.right.flatMap(root => Object.values(root.roles))
    return envelope.signatures.filter(signature => {
      if (/[^0-9a-f]/.test(signature.sig)) return true
      return !roles.some(role => {
        const alone = { ...envelope, signatures: [signature] }
        return (
          this.#tried(() => requireThreshold(alone, { ...role, threshold: 1 }, '')).reason ===
          undefined
        )
      })
    }).length
  }

  #missing(file: string, right: Uint8Array | undefined): Fault {
    return this.#fault('missing', file, 'missing', right)
  }

  #fault(kind: Fault['kind'], file: string, found: string, right: Uint8Array | undefined): Fault {
    const what = found.startsWith(file) ? found.slice(file.length + 2) : found
    return fault(kind, file, what, { named: { kind: 'metadata', chain: this.#chain, right } })
  }

  #tried<T>(work: () => T): { readonly value?: T; readonly reason?: string } {
    try {
      return { value: work() }
    } catch (error) {
      if (error instanceof MirrorError) return { reason: error.message }
      throw error
    }
  }

  #copy(file: string): { readonly file: string; readonly bytes: Uint8Array | undefined } {
    return { file, bytes: this.#read(file) }
  }

  #read(file: string): Uint8Array | undefined {
    return readRegular(this.#root, file, METADATA_BYTES_MAX)
  }

  #numbersIn(folder: string): number[] {
    const names = entriesIn(this.#root, folder).map(({ name }) => name)
    const versions = names.flatMap(name => /^([1-9][0-9]{0,15})\.root\.json$/.exec(name)?.[1] ?? [])
    return versions.map(Number)
  }

  /** The one that is pinned, else the lowest. */
  #firstRoot(numbers: readonly number[]): number {
    const isPinned = (n: number): boolean =>
      [`${this.#kept}/root_history`, this.#shown].some(folder => {
        const bytes = this.#read(`${folder}/${n}.root.json`)
        return bytes !== undefined && sha256(bytes) === this.#expected.pinned
      })
    return numbers.find(isPinned) ?? Math.min(...numbers, Number.MAX_SAFE_INTEGER)
  }
}
