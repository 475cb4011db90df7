import { type Book, bookBytes, isClockDue, readBook, requireClock } from './book.ts'
import type { ChainIo, KeptChain } from './chain-io.ts'
import { DelegatedRoles } from './delegated.ts'
import type { Delegation } from './delegations.ts'
import { enumerate } from './enumerate.ts'
import { openEnvelope } from './envelope.ts'
import { requireNoneOlder, requireNotOlder } from './floors.ts'
import type { Freshness } from './freshness.ts'
import { instantOf } from './instant.ts'
import { Intake } from './intake.ts'
import { bytesMax, LIMITS } from './limits.ts'
import { type Root, readRoot } from './root.ts'
import { isRotated } from './rotation.ts'
import { type Found, search } from './search.ts'
import { readSnapshot, readTimestamp } from './snapshot.ts'
import { readTargets, type Targets } from './targets.ts'
import { TrustedSet, unlessRefused } from './trusted.ts'

/** Does the work for each item, as many at once as it likes; results in the order of the items. */
export type EachOf = <Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
) => Promise<readonly Result[]>

const inTurn: EachOf = async (items, work) => {
  const results = []
  for (const item of items) results.push(await work(item))
  return results
}

/**
 * The client workflow of TUF 1.0.34, section 5, for the four top-level roles. Nothing changed: two
 * requests. Each file is kept before the next is asked for, so a crash anywhere keeps every floor:
 *
 *   a root kept        the next cycle goes on from it; the rotation rule still sees the change
 *   timestamp kept     an equal version is no error: goes on to the snapshot it names
 *   snapshot kept      the targets it names are asked for; floors hold
 */
export class Cycle {
  readonly trusted: TrustedSet
  readonly #kept: KeptChain
  readonly #intake: Intake
  readonly #delegated: DelegatedRoles
  #book: Book

  constructor(
    kept: KeptChain,
    io: ChainIo,
    {
      now,
      acceptClock,
      freshness,
    }: { readonly now: Date; readonly acceptClock: boolean; readonly freshness: Freshness },
  ) {
    this.#kept = kept
    this.#intake = new Intake(io, instantOf(now), freshness)
    const book = readBook(kept.book)
    this.#book = acceptClock ? { ...book, clock: undefined } : book
    this.trusted = new TrustedSet(kept.root, 'the root kept here', { isKept: true })
    this.#delegated = new DelegatedRoles(this.trusted, this.#intake, kept.delegated)
  }

  get warnings(): readonly string[] {
    return this.#intake.warnings
  }

  /** TUF 5.3 to 5.6. */
  async refresh(): Promise<void> {
    requireClock(this.#book, this.#intake.start)
    await this.#roots()
    const isRotated = await this.#dropRotated()
    await this.#timestamp(isRotated ? undefined : this.#kept.timestamp)
    await this.#snapshot(isRotated ? undefined : this.#kept.snapshot)
    await this.#targets()
    if (isClockDue(this.#book, this.#intake.start)) await this.#note({ clock: this.#intake.start })
  }

  /** TUF 5.6.7, after `refresh`: the roles on the way are asked for as the search comes to them. */
  async find(path: string): Promise<Found | undefined> {
    const steps = search(this.trusted.targets, path)
    let step = steps.next()
    while (!step.done) step = steps.next(await this.#delegated.load(step.value))
    return step.value
  }

  /** All targets that are wanted, after `refresh`; `eachOf` says how many roles are asked for at once. */
  async enumerate(
    isWanted: (path: string) => boolean,
    eachOf: EachOf = inTurn,
  ): Promise<ReadonlyMap<string, Found>> {
    const load = (delegations: readonly Delegation[]): Promise<readonly Targets[]> =>
      eachOf(delegations, delegation => this.#delegated.load(delegation))
    return await enumerate(this.trusted.targets, load, isWanted)
  }

  /** TUF 5.3: one root after the other, each kept at once, until there is none. */
  async #roots(): Promise<void> {
    for (let count = 0; ; count += 1) {
      if (count === LIMITS.rootsPerCycle) {
        this.#intake.warnings.push(`more than ${count} new roots; the next run goes on from there`)
        break
      }
      const file = `${this.trusted.root.version + 1}.root.json`
      const bytes = await this.#intake.obtain(file, LIMITS.root, bytes => {
        this.trusted.updateRoot(bytes, file)
        return bytes
      })
      if (bytes === undefined) break
      await this.#intake.io.keep(`root_history/${file}`, bytes)
      await this.#intake.io.keep('root.json', bytes)
    }
    this.#intake.requireFresh('root', this.trusted.root)
  }

  /**
   * TUF 5.3.11: a stored timestamp and snapshot are void when a key of either role was removed, or
   * a threshold changed, since they were accepted: whoever held such a key may have pushed their
   * versions up.
   */
  async #dropRotated(): Promise<boolean> {
    const { timestamp } = this.#kept
    const { root } = this.trusted
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
    await this.#intake.io.drop(['timestamp.json', 'snapshot.json'])
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
    const found = await this.#intake.demand(file, LIMITS.timestamp, bytes => {
      const isKept = kept !== undefined && Buffer.compare(kept, bytes) === 0
      return this.trusted.readTimestamp(bytes, file, { isKept })
    })
    const isSame = stored?.version === found.version
    if (isSame && stored.digest !== found.digest) {
      if (this.#intake.freshness.isCarried) await this.#intake.requireOneContent(found, stored)
      this.#intake.warnings.push(
        `${file}: version ${found.version} has other content than before; the first one counts`,
      )
    }
    const timestamp = isSame ? stored : found
    if (stored !== undefined) requireNotOlder(found, stored)
    this.#intake.requireFresh('timestamp', timestamp)
    const { version: acceptedUnder } = this.trusted.root
    if (this.#book.acceptedUnder !== acceptedUnder) await this.#note({ acceptedUnder })
    if (!isSame) await this.#intake.io.keep(file, found.bytes)
    this.trusted.setTimestamp(timestamp)
  }

  /** TUF 5.5. The stored snapshot is the floor even where it is not the one that is wanted. */
  async #snapshot(kept: Uint8Array | undefined): Promise<void> {
    const meta = this.trusted.timestamp.snapshot
    const again =
      kept &&
      unlessRefused(() => this.trusted.readSnapshot(kept, 'snapshot.json', { isKept: true }))
    if (again) {
      this.#intake.requireFresh('snapshot', again)
      this.trusted.setSnapshot(again)
      return
    }
    const stored = kept && readSnapshot(openEnvelope(kept, 'snapshot.json'))
    const file = this.#versioned('snapshot.json', meta.version)
    const limit = bytesMax(file, meta.length, LIMITS.snapshot)
    const snapshot = await this.#intake.demand(file, limit, bytes =>
      this.trusted.readSnapshot(bytes, file),
    )
    if (stored !== undefined) {
      await this.#intake.requireOneContent(snapshot, stored)
      requireNoneOlder(snapshot, stored)
    }
    this.#intake.requireFresh('snapshot', snapshot)
    await this.#intake.io.keep('snapshot.json', snapshot.bytes)
    this.trusted.setSnapshot(snapshot)
  }

  /** TUF 5.6. Floors come from snapshots only: the stored targets are a cache. */
  async #targets(): Promise<void> {
    const meta = this.trusted.snapshot.targets
    const { targets: kept } = this.#kept
    const again =
      kept && unlessRefused(() => this.trusted.readTargets(kept, 'targets.json', { isKept: true }))
    if (again) {
      this.#intake.requireFresh('targets', again)
      this.trusted.setTargets(again)
      return
    }
    const stored = kept && readTargets(openEnvelope(kept, 'targets.json'))
    const file = this.#versioned('targets.json', meta.version)
    const limit = bytesMax(file, meta.length, LIMITS.targets)
    const targets = await this.#intake.demand(file, limit, bytes =>
      this.trusted.readTargets(bytes, file),
    )
    if (stored !== undefined) await this.#intake.requireOneContent(targets, stored)
    this.#intake.requireFresh('targets', targets)
    await this.#intake.io.keep('targets.json', targets.bytes)
    this.trusted.setTargets(targets)
  }

  #versioned(file: string, version: number): string {
    return this.trusted.root.consistentSnapshot ? `${version}.${file}` : file
  }

  async #note(change: Partial<Book>): Promise<void> {
    this.#book = { ...this.#book, ...change }
    await this.#intake.io.keep('book.json', bookBytes(this.#book))
  }
}
