import { MirrorError } from '../error.ts'
import type { Checksum } from '../registry/checksum.ts'
import { type Book, bookBytes, isClockDue, readBook, requireClock } from './book.ts'
import { openEnvelope } from './envelope.ts'
import { type Freshness, ONLINE, requireFresh } from './freshness.ts'
import { type Instant, instantOf } from './instant.ts'
import { bytesMax, LIMITS } from './limits.ts'
import type { Metadata, RoleType } from './metadata.ts'
import type { Role } from './role.ts'
import { type Root, readRoot } from './root.ts'
import { readSnapshot, readTimestamp, type Snapshot, type Timestamp } from './snapshot.ts'
import { indexTreeOf, readTargets } from './targets.ts'
import { requireMeta, TrustedSet } from './trusted.ts'

/** The files of a chain as they were kept; `roots` from the pinned one up, `root` the newest. */
export interface KeptChain {
  readonly root: Uint8Array
  readonly roots: readonly Uint8Array[]
  readonly timestamp?: Uint8Array
  readonly snapshot?: Uint8Array
  readonly targets?: Uint8Array
  readonly book?: Uint8Array
}

/** How the workflow reaches the outside; each `keep` is durable when it resolves. */
export interface ChainIo {
  /** Undefined: the upstream has no such file. */
  fetch(file: string, bytesMax: number): Promise<Uint8Array | undefined>
  keep(file: string, bytes: Uint8Array): Promise<void>
  drop(files: readonly string[]): Promise<void>
  /** Bytes that contradict others of the same version, both signed: for whoever has to judge. */
  accuse(file: string, contents: readonly Uint8Array[]): Promise<void>
}

/** The seam to the rest of the product: root hash, version, until. */
export interface Vouched {
  readonly tree: Checksum
  /** Of the root tile, in bytes. */
  readonly treeLength: number
  readonly versions: {
    readonly root: number
    readonly timestamp: number
    readonly snapshot: number
    readonly targets: number
  }
  /** The end of each of the four. */
  readonly expires: Readonly<Record<RoleType, Instant>>
  /** The earliest of them. */
  readonly until: Instant
  readonly consistentSnapshot: boolean
  readonly warnings: readonly string[]
}

/**
 * The client workflow of TUF 1.0.34, section 5, for the four top-level roles. Nothing changed: two
 * requests. Each file is kept before the next is asked for, so a crash anywhere keeps every floor:
 *
 *   a root kept        the next cycle goes on from it; the rotation rule still sees the change
 *   timestamp kept     an equal version is no error: goes on to the snapshot it names
 *   snapshot kept      the targets it names are asked for; floors hold
 */
export async function refresh(
  kept: KeptChain,
  io: ChainIo,
  {
    now,
    acceptClock,
    freshness = ONLINE,
  }: { readonly now: Date; readonly acceptClock: boolean; readonly freshness?: Freshness },
): Promise<Vouched> {
  return await new Cycle(kept, io, instantOf(now), freshness).run(acceptClock)
}

class Cycle {
  readonly #kept: KeptChain
  readonly #io: ChainIo
  /** TUF 5.1: fixed once for the whole cycle. */
  readonly #start: Instant
  readonly #freshness: Freshness
  readonly #trusted: TrustedSet
  readonly #warnings: string[] = []
  #book: Book

  constructor(kept: KeptChain, io: ChainIo, start: Instant, freshness: Freshness) {
    this.#kept = kept
    this.#io = io
    this.#start = start
    this.#freshness = freshness
    this.#book = readBook(kept.book)
    this.#trusted = new TrustedSet(kept.root, 'the root kept here', { isKept: true })
  }

  async run(acceptClock: boolean): Promise<Vouched> {
    if (acceptClock) this.#book = { ...this.#book, clock: undefined }
    requireClock(this.#book, this.#start)
    await this.#roots()
    const isRotated = await this.#dropRotated()
    await this.#timestamp(isRotated ? undefined : this.#kept.timestamp)
    await this.#snapshot(isRotated ? undefined : this.#kept.snapshot)
    await this.#targets()
    if (isClockDue(this.#book, this.#start)) await this.#note({ clock: this.#start })
    return this.#vouched()
  }

  /** TUF 5.3: one root after the other, each kept at once, until there is none. */
  async #roots(): Promise<void> {
    for (let count = 0; ; count += 1) {
      if (count === LIMITS.rootsPerCycle) {
        this.#warnings.push(`more than ${count} new roots; the next run goes on from there`)
        break
      }
      const file = `${this.#trusted.root.version + 1}.root.json`
      const bytes = await this.#obtain(file, LIMITS.root, bytes => {
        this.#trusted.updateRoot(bytes, file)
        return bytes
      })
      if (bytes === undefined) break
      await this.#io.keep(`root_history/${file}`, bytes)
      await this.#io.keep('root.json', bytes)
    }
    this.#requireFresh('root', this.#trusted.root)
  }

  /**
   * TUF 5.3.11: a stored timestamp and snapshot are void when a key of either role was removed, or
   * a threshold changed, since they were accepted: whoever held such a key may have pushed their
   * versions up.
   */
  async #dropRotated(): Promise<boolean> {
    const { timestamp } = this.#kept
    const { root } = this.#trusted
    const { acceptedUnder } = this.#book
    if (timestamp === undefined || acceptedUnder === undefined || acceptedUnder === root.version) {
      return false
    }
    const before = this.#rootKept(acceptedUnder)
    if (before !== undefined && !isRotated(before, root)) return false
    const dropped = {
      root: root.version,
      timestamp: readTimestamp(openEnvelope(timestamp, 'timestamp.json')).version,
    }
    await this.#note({ dropped: [...this.#book.dropped, dropped] })
    await this.#io.drop(['timestamp.json', 'snapshot.json'])
    return true
  }

  #rootKept(version: number): Root | undefined {
    for (const bytes of [...this.#kept.roots, this.#kept.root]) {
      const root = readRoot(openEnvelope(bytes, 'a root kept here'))
      if (root.version === version) return root
    }
    return undefined
  }

  /** TUF 5.4. An equal version keeps the stored one: stopping there would wedge a killed client. */
  async #timestamp(kept: Uint8Array | undefined): Promise<void> {
    const file = 'timestamp.json'
    const stored = kept && readTimestamp(openEnvelope(kept, file))
    const found = await this.#demand(file, LIMITS.timestamp, bytes => {
      const isKept = kept !== undefined && Buffer.compare(kept, bytes) === 0
      return this.#trusted.readTimestamp(bytes, file, { isKept })
    })
    const isSame = stored?.version === found.version
    if (isSame && stored.digest !== found.digest) {
      if (this.#freshness.isCarried) await this.#requireOneContent(found, stored)
      this.#warnings.push(
        `${file}: version ${found.version} has other content than before; the first one counts`,
      )
    }
    const timestamp = isSame ? stored : found
    if (stored !== undefined) requireNotOlder(found, stored)
    this.#requireFresh('timestamp', timestamp)
    const { version: acceptedUnder } = this.#trusted.root
    if (this.#book.acceptedUnder !== acceptedUnder) await this.#note({ acceptedUnder })
    if (!isSame) await this.#io.keep(file, found.bytes)
    this.#trusted.setTimestamp(timestamp)
  }

  /** TUF 5.5. The stored snapshot is the floor even where it is not the one that is wanted. */
  async #snapshot(kept: Uint8Array | undefined): Promise<void> {
    const meta = this.#trusted.timestamp.snapshot
    const stored = kept && readSnapshot(openEnvelope(kept, 'snapshot.json'))
    if (kept !== undefined && stored?.version === meta.version && matches(kept, meta)) {
      this.#requireFresh('snapshot', stored)
      this.#trusted.setSnapshot(this.#trusted.readSnapshot(kept, 'snapshot.json', { isKept: true }))
      return
    }
    const file = this.#versioned('snapshot.json', meta.version)
    const limit = bytesMax(file, meta.length, LIMITS.snapshot)
    const snapshot = await this.#demand(file, limit, bytes =>
      this.#trusted.readSnapshot(bytes, file),
    )
    if (stored !== undefined) {
      await this.#requireOneContent(snapshot, stored)
      requireNoneOlder(snapshot, stored)
    }
    this.#requireFresh('snapshot', snapshot)
    await this.#io.keep('snapshot.json', snapshot.bytes)
    this.#trusted.setSnapshot(snapshot)
  }

  /** TUF 5.6. Floors come from snapshots only: the stored targets are a cache. */
  async #targets(): Promise<void> {
    const meta = this.#trusted.snapshot.targets
    const { targets: kept } = this.#kept
    const stored = kept && readTargets(openEnvelope(kept, 'targets.json'))
    if (kept !== undefined && stored?.version === meta.version && matches(kept, meta)) {
      const targets = this.#trusted.readTargets(kept, 'targets.json', { isKept: true })
      this.#requireFresh('targets', targets)
      this.#trusted.setTargets(targets)
      return
    }
    const file = this.#versioned('targets.json', meta.version)
    const limit = bytesMax(file, meta.length, LIMITS.targets)
    const targets = await this.#demand(file, limit, bytes => this.#trusted.readTargets(bytes, file))
    if (stored !== undefined) await this.#requireOneContent(targets, stored)
    this.#requireFresh('targets', targets)
    await this.#io.keep('targets.json', targets.bytes)
    this.#trusted.setTargets(targets)
  }

  #requireFresh(role: RoleType, metadata: Metadata): void {
    const warning = requireFresh(role, metadata, this.#start, this.#freshness)
    if (warning !== undefined) this.#warnings.push(warning)
  }

  /** One version with two contents: somebody shows different states to different people. */
  async #requireOneContent(found: Metadata, stored: Metadata): Promise<void> {
    if (found.version !== stored.version || found.digest === stored.digest) return
    await this.#io.accuse(stored.file, [stored.bytes, found.bytes])
    throw new MirrorError(
      'equivocation',
      `${found.file}: version ${found.version} has other content than the one accepted before`,
    )
  }

  #versioned(file: string, version: number): string {
    return this.#trusted.root.consistentSnapshot ? `${version}.${file}` : file
  }

  async #demand<Accepted>(
    file: string,
    limit: number,
    accept: (bytes: Uint8Array) => Accepted,
  ): Promise<Accepted> {
    const accepted = await this.#obtain(file, limit, accept)
    if (accepted !== undefined) return accepted
    throw new MirrorError('incomplete', `${file}: the upstream does not have it`)
  }

  /** One flipped or cut answer is asked for again before it is refused. */
  async #obtain<Accepted>(
    file: string,
    limit: number,
    accept: (bytes: Uint8Array) => Accepted,
  ): Promise<Accepted | undefined> {
    for (let isLast = false; ; isLast = true) {
      const bytes = await this.#io.fetch(file, limit)
      if (bytes === undefined) return undefined
      try {
        return accept(bytes)
      } catch (error) {
        const isDoubtful =
          error instanceof MirrorError && (error.code === 'refused' || error.code === 'signature')
        if (isLast || !isDoubtful) throw error
      }
    }
  }

  async #note(change: Partial<Book>): Promise<void> {
    this.#book = { ...this.#book, ...change }
    await this.#io.keep('book.json', bookBytes(this.#book))
  }

  #vouched(): Vouched {
    return { ...vouchedBy(this.#trusted), warnings: this.#warnings }
  }
}

/** What a set that has come as far as targets vouches for. */
export function vouchedBy({
  root,
  timestamp,
  snapshot,
  targets,
}: TrustedSet): Omit<Vouched, 'warnings'> {
  const { tree, length } = indexTreeOf(targets)
  const expires = {
    root: root.expires,
    timestamp: timestamp.expires,
    snapshot: snapshot.expires,
    targets: targets.expires,
  }
  const [until] = Object.values(expires).sort()
  return {
    tree,
    treeLength: length,
    versions: {
      root: root.version,
      timestamp: timestamp.version,
      snapshot: snapshot.version,
      targets: targets.version,
    },
    expires,
    until: until as Instant,
    consistentSnapshot: root.consistentSnapshot,
  }
}

/** The version of a root that verifies against itself, as `init` pins it. */
export function verifyRoot(bytes: Uint8Array, file: string): number {
  return new TrustedSet(bytes, file).root.version
}

function isRotated(before: Root, after: Root): boolean {
  return (['timestamp', 'snapshot'] as const).some(name =>
    hasLost(before.roles[name], after.roles[name]),
  )
}

function hasLost(before: Role, after: Role): boolean {
  const identities = new Set([...after.keys.values()].map(({ identity }) => identity))
  const isKept = [...before.keys.values()].every(({ identity }) => identities.has(identity))
  return !isKept || before.threshold !== after.threshold
}

function matches(bytes: Uint8Array, meta: Parameters<typeof requireMeta>[1]): boolean {
  try {
    requireMeta(bytes, meta, '')
    return true
  } catch {
    return false
  }
}

/** TUF 5.4.3: neither the timestamp nor the snapshot it names may go back. */
function requireNotOlder(found: Timestamp, stored: Timestamp): void {
  requireFloor('timestamp.json', found.version, stored.version)
  if (found.version === stored.version) return
  requireFloor('snapshot.json', found.snapshot.version, stored.snapshot.version)
}

/** TUF 5.5.5: every file stays listed, and none goes back. */
function requireNoneOlder(found: Snapshot, stored: Snapshot): void {
  for (const [file, { version }] of stored.files) {
    const now = found.files.get(file)
    if (now === undefined) {
      throw new MirrorError('rollback', `${found.file}: ${file} is no longer listed`)
    }
    requireFloor(file, now.version, version)
  }
}

function requireFloor(file: string, found: number, floor: number): void {
  if (found >= floor) return
  throw new MirrorError('rollback', `${file}: version ${found}, accepted before: ${floor}`)
}
