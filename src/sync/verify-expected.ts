import { MirrorError } from '../error.ts'
import type { Checksum } from '../registry/checksum.ts'
import type { IndexFile } from '../registry/index-file.ts'
import type { Selection } from '../registry/selection.ts'
import type { IndexPath } from '../registry/sparse-path.ts'
import type { Version } from '../registry/version.ts'
import {
  isBelieved,
  type Snapshot,
  shownTree,
  shownUnderPath,
  underPath,
} from '../store/snapshot.ts'
import { localTiles } from '../store/tiles.ts'
import { lookUp } from '../tree/prove.ts'
import type { Look } from './verify-files.ts'

/** What a tree says of one path. */
export interface NamedPath {
  readonly length: number
  readonly sha256: Checksum
}

/** What a snapshot says must lie where: its trees, what it holds back, what it leaves out. */
export class Expected {
  readonly #root: string
  readonly #shown: Snapshot
  readonly #next: Snapshot | undefined
  readonly #named: ReadonlyMap<IndexPath, NamedPath>
  readonly #pruned: ReadonlyMap<IndexPath, NamedPath> | undefined
  readonly #selection: Selection | undefined

  constructor(
    root: string,
    given: {
      readonly shown: Snapshot
      /** One that a killed writer left, or a living one is at: its names may be public already. */
      readonly next: Snapshot | undefined
      readonly named: ReadonlyMap<IndexPath, NamedPath>
      /** What stands under the paths where that is not the whole files; undefined: they do. */
      readonly pruned: ReadonlyMap<IndexPath, NamedPath> | undefined
      /** What must be here of all that the index lists; undefined: everything. */
      readonly selection: Selection | undefined
    },
  ) {
    this.#root = root
    this.#shown = given.shown
    this.#next = given.next
    this.#named = given.named
    this.#pruned = given.pruned
    this.#selection = given.selection
  }

  /** Of every crate that has an index file, or is held without one. */
  paths(): IndexPath[] {
    const held = Object.keys(this.#shown.held) as IndexPath[]
    return [...new Set([...this.#named.keys(), ...held])].sort()
  }

  /** The whole index file that counts. */
  whole(path: IndexPath): Checksum | undefined {
    return underPath(this.#shown, path, this.#named.get(path)?.sha256)
  }

  /** Undefined for the old file of a held crate, which no tree names any more. */
  lengthOf(path: IndexPath): number | undefined {
    const inTree = this.#named.get(path)
    return inTree?.sha256 === this.whole(path) ? inTree?.length : undefined
  }

  /** The index file under the path. */
  under(path: IndexPath): Checksum | undefined {
    return this.#pruned === undefined ? this.whole(path) : this.#pruned.get(path)?.sha256
  }

  isNamed({ path, checksum }: { readonly path: IndexPath; readonly checksum: Checksum }): boolean {
    return [this.whole(path), this.under(path)].includes(checksum)
  }

  /** By-path files change one by one between the decision on a snapshot and its publishing. */
  async isOfNext(path: IndexPath, look: Look): Promise<boolean> {
    if (this.#next === undefined) return false
    let entry: NamedPath | undefined
    try {
      entry = await lookUp(shownTree(this.#next), path, localTiles(this.#root))
    } catch (error) {
      if (error instanceof MirrorError) return false
      throw error
    }
    const found = look.kind === 'file' ? look.checksum : look.kind
    return found === (shownUnderPath(this.#next, path, entry?.sha256) ?? 'none')
  }

  /**
   * An artifact serves each version that names it. One outside the selection may be here, from
   * before, and is judged as it is; a repair puts wrong bytes aside and does not ask for right ones.
   */
  isSelected(path: IndexPath, file: IndexFile | undefined, checksum: Checksum): boolean {
    const isSelected = this.#selection?.of(path)
    if (isSelected === undefined) return true
    const entries = file?.entries.filter(entry => entry.checksum === checksum) ?? []
    return entries.some(({ version }) => isSelected(version))
  }

  /** What the snapshot records as not here: absent at its origin, damaged and held, or disputed. */
  mayMiss(
    path: IndexPath,
    checksum: Checksum,
    file: IndexFile | undefined,
    version: Version,
  ): boolean {
    const held = this.#shown.held[path]
    const absent = this.#shown.absent[checksum]
    return (
      (held !== undefined && held.have === held.want) ||
      (absent !== undefined && isBelieved(absent)) ||
      file?.disputed.has(version) === true
    )
  }
}
