import { existsSync, readFileSync } from 'node:fs'
import { MirrorError, quoted } from '../error.ts'
import type { Checksum } from '../registry/checksum.ts'
import { ChecksumSet } from '../registry/checksum-set.ts'
import { type IndexFile, readIndexFile } from '../registry/index-file.ts'
import type { Selection } from '../registry/selection.ts'
import { type IndexPath, indexPath, prefixOfPath } from '../registry/sparse-path.ts'
import { artifactFile, indexFileByHash } from '../store/layout.ts'
import { withdrawnChecksums } from '../store/quarantine.ts'
import { rootRef } from '../store/snapshot.ts'
import { localTiles } from '../store/tiles.ts'
import { lookUp } from '../tree/prove.ts'
import { type Claim, liesByHash } from '../upstream/claim.ts'
import type { Change } from './plan.ts'
import type { Run } from './run.ts'

/** What becomes of a member of a volume. */
export type Use =
  | { readonly kind: 'needed'; readonly final: string; readonly checksum: Checksum }
  | { readonly kind: 'here' }
  | { readonly kind: 'foreign' }

type Entry = IndexFile['entries'][number]

/**
 * What the changed index files list, asked crate by crate in the order of a volume: so only one file
 * is held at a time, and what is needed is told by names, the same way as in a sync.
 */
export class Listing {
  readonly #run: Run
  readonly #tree: Checksum
  readonly #wants: ReadonlyMap<IndexPath, Checksum>
  readonly #selection: Selection | undefined
  readonly #withdrawn: ReadonlySet<Checksum>
  #open: { readonly path: IndexPath; readonly entries: readonly Entry[] } | undefined
  #all: ChecksumSet | undefined
  /** Where the artifacts belong whose names do not fit into a path. */
  #byHash: ReadonlyMap<Checksum, IndexPath> | undefined

  constructor(
    run: Run,
    given: {
      readonly tree: Checksum
      readonly changes: readonly Change[]
      readonly selection: Selection | undefined
    },
  ) {
    this.#run = run
    this.#tree = given.tree
    this.#wants = new Map(
      given.changes.flatMap(({ path, want }) => (want === undefined ? [] : [[path, want.sha256]])),
    )
    this.#selection = given.selection
    this.#withdrawn = withdrawnChecksums(run.writer.mirror.root)
  }

  /**
   * What a member is good for, by its path; `isForTarget` volumes must say the truth of it.
   * @throws {MirrorError} refused
   */
  async use(claim: Claim, { isForTarget }: { readonly isForTarget: boolean }): Promise<Use> {
    const { named, checksum } = claim
    if (named === undefined) return this.#useByHash(checksum)
    const path = indexPath(named.crate)
    const listed = this.#entriesOf(path).filter(
      ({ crate, version }) => crate === named.crate && version === named.version,
    )
    const entry = listed.find(one => checksum === undefined || one.checksum === checksum)
    if (entry !== undefined) return this.#useOf(path, entry)
    if (isForTarget) await this.#requireNoLie(claim, path, listed)
    return { kind: 'foreign' }
  }

  /** Whether any changed index file lists it: read once, when somebody asks. */
  lists(checksum: Checksum): boolean {
    if (this.#all === undefined) {
      this.#all = new ChecksumSet()
      for (const path of this.#wants.keys()) {
        for (const entry of this.#entriesOf(path)) this.#all.add(entry.checksum)
      }
    }
    return this.#all.has(checksum)
  }

  #useOf(path: IndexPath, { version, checksum }: Entry): Use {
    const isSelected = this.#selection?.of(path)(version) ?? true
    if (!isSelected || this.#withdrawn.has(checksum)) return { kind: 'foreign' }
    const final = artifactFile(prefixOfPath(path), checksum)
    if (existsSync(this.#run.writer.at(final))) return { kind: 'here' }
    return { kind: 'needed', final, checksum }
  }

  #useByHash(checksum: Checksum | undefined): Use {
    const path = checksum && this.#pathsByHash().get(checksum)
    const entry = path && this.#entriesOf(path).find(one => one.checksum === checksum)
    return path === undefined || !entry ? { kind: 'foreign' } : this.#useOf(path, entry)
  }

  #pathsByHash(): ReadonlyMap<Checksum, IndexPath> {
    if (this.#byHash !== undefined) return this.#byHash
    const found = new Map<Checksum, IndexPath>()
    for (const path of this.#wants.keys()) {
      for (const { crate, version, checksum } of this.#entriesOf(path)) {
        if (liesByHash(crate, version)) found.set(checksum, path)
      }
    }
    this.#byHash = found
    return found
  }

  /** A path that is listed with another checksum, or a checksum that is listed at another path. */
  async #requireNoLie(
    { path, checksum }: Claim,
    index: IndexPath,
    listed: readonly Entry[],
  ): Promise<void> {
    if (listed.length > 0) {
      throw new MirrorError(
        'refused',
        `${quoted(path)} is said to have sha256 ${checksum}, the index lists ${listed[0]?.checksum}`,
      )
    }
    if (checksum === undefined || !this.lists(checksum) || (await this.#isUnchanged(index))) return
    throw new MirrorError(
      'refused',
      `${quoted(path)} is not in the index, but its sha256 ${checksum} is listed at another path`,
    )
  }

  /** Of a crate that did not change the files are here already, and right. */
  async #isUnchanged(path: IndexPath): Promise<boolean> {
    if (this.#wants.has(path)) return false
    const load = localTiles(this.#run.writer.mirror.root)
    return (await lookUp(rootRef(this.#tree), path, load)) !== undefined
  }

  /** None where the file is not here: then nothing of its crate is needed yet. */
  #entriesOf(path: IndexPath): readonly Entry[] {
    if (this.#open?.path === path) return this.#open.entries
    const entries = this.#read(path)
    this.#open = { path, entries }
    return entries
  }

  #read(path: IndexPath): readonly Entry[] {
    const checksum = this.#wants.get(path)
    if (checksum === undefined) return []
    const file = this.#run.writer.at(indexFileByHash(path, checksum))
    if (!existsSync(file)) return []
    try {
      return readIndexFile(readFileSync(file), path, { signed: true }).entries
    } catch (error) {
      // a file that is refused holds its crate, which is for the examination to say
      if (error instanceof MirrorError) return []
      throw error
    }
  }
}
