import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Checksum } from '../registry/checksum.ts'
import { readIndexFile } from '../registry/index-file.ts'
import type { Selection } from '../registry/selection.ts'
import { type IndexPath, type Prefix, prefixOfPath } from '../registry/sparse-path.ts'
import { lookUp } from '../tree/prove.ts'
import { entriesOf } from '../tree/walk.ts'
import { readLanding } from './landing.ts'
import { artifactFile, indexFile, indexFileByHash, LANDING, PUBLIC, PUBLISHED } from './layout.ts'
import { readWithdrawn, type Withdrawal, withdrawnStamp } from './quarantine.ts'
import { readSelection } from './selected.ts'
import {
  isBelieved,
  readNext,
  readPublished,
  type Snapshot,
  shownTree,
  shownUnderPath,
} from './snapshot.ts'
import { localTiles } from './tiles.ts'

/** Some 150 bytes each. */
const LOOKED_MAX = 50_000

/** Why an artifact that somebody asks for is not here: it may come yet (503), or it will not (404). */
export interface Missing {
  readonly status: 404 | 503
  readonly reason: string
}

/**
 * What a mirror shows to readers. It takes no lock and writes nothing: each answer is of the
 * snapshot that `state/published` names at that moment, whatever a writer is doing (P4). It gives
 * names and the checksums they must have; whoever opens the files verifies them.
 */
export class MirrorReader {
  readonly root: string
  #published: Snapshot | undefined
  #publishedStamp = ''
  /** What a writer is naming. */
  #landing: ReadonlySet<string> = new Set()
  #landingStamp = ''
  /** What the held crates' new index files name, read once for each published snapshot. */
  readonly #wanted = new Map<IndexPath, ReadonlySet<Checksum>>()
  /** What the published snapshot names, of the paths that were asked for. */
  readonly #looked = new Map<IndexPath, Checksum | undefined>()
  /** Which part of its index the mirror holds, read once for each published snapshot. */
  #selection: Selection | undefined
  #withdrawn: ReadonlyMap<Checksum, Withdrawal> = new Map()
  #withdrawnStamp = ''

  constructor(root: string) {
    this.root = root
  }

  /** The published snapshot, read again whenever its file was replaced. */
  published(): Snapshot | undefined {
    const stamp = this.#stampOf(PUBLISHED)
    if (stamp !== this.#publishedStamp) {
      this.#published = readPublished(this.root)
      this.#publishedStamp = stamp
      this.#wanted.clear()
      this.#looked.clear()
      this.#selection = undefined
    }
    return this.#published
  }

  /** Another one whenever the file was replaced; empty where there is none. */
  #stampOf(file: string): string {
    const stats = statSync(join(this.root, file), { bigint: true, throwIfNoEntry: false })
    return stats === undefined ? '' : `${stats.ino} ${stats.mtimeNs} ${stats.size}`
  }

  /** The checksum of the path's index file by the snapshot or its held record; undefined: it has none. */
  async indexFile(path: IndexPath): Promise<Checksum | undefined> {
    const published = this.published()
    if (this.#looked.has(path)) return this.#looked.get(path)
    const checksum = await this.#named(published, path)
    // while it was looked up another may have been published
    if (this.#published !== published) return checksum
    if (this.#looked.size >= LOOKED_MAX) this.#looked.clear()
    this.#looked.set(path, checksum)
    return checksum
  }

  /** The same by a snapshot that is decided and about to be published. */
  async nextIndexFile(path: IndexPath): Promise<Checksum | undefined> {
    return await this.#named(readNext(this.root), path)
  }

  async #named(snapshot: Snapshot | undefined, path: IndexPath): Promise<Checksum | undefined> {
    if (snapshot === undefined) return undefined
    const entry = await lookUp(shownTree(snapshot), path, localTiles(this.root))
    return shownUnderPath(snapshot, path, entry?.sha256)
  }

  /** The path of each crate in a snapshot, as its tree has them. @throws {MirrorError} damaged */
  async *paths(snapshot: Snapshot): AsyncGenerator<IndexPath> {
    const tiles = localTiles(this.root)
    for await (const { path } of entriesOf(shownTree(snapshot), tiles)) yield path
  }

  indexFileByPath(path: IndexPath): string {
    return join(this.root, indexFile(path))
  }

  indexFileByHash(path: IndexPath, checksum: Checksum): string {
    return join(this.root, indexFileByHash(path, checksum))
  }

  artifact(prefix: Prefix, checksum: Checksum): string {
    return join(this.root, artifactFile(prefix, checksum))
  }

  /** Tiles and metadata of both chains: `tuf/timestamp.json`, `tuf/tree/2a/….2a0`, `site/…`. */
  metadata(file: string): string {
    return join(this.root, PUBLIC, file)
  }

  /**
   * Whether the artifact's name may be given and is not yet proved durable (P3). A file opened
   * before this says no was proved when it was opened; asked the other way round it may not be.
   */
  isLanding(prefix: Prefix, checksum: Checksum): boolean {
    const stamp = this.#stampOf(LANDING)
    if (stamp !== this.#landingStamp) {
      this.#landing = new Set(readLanding(this.root))
      this.#landingStamp = stamp
    }
    return this.#landing.has(artifactFile(prefix, checksum))
  }

  /** What was taken away by policy, whatever the index says, read again whenever that changed. */
  withdrawn(): ReadonlyMap<Checksum, Withdrawal> {
    const stamp = withdrawnStamp(this.root)
    if (stamp !== this.#withdrawnStamp) {
      this.#withdrawn = readWithdrawn(this.root)
      this.#withdrawnStamp = stamp
    }
    return this.#withdrawn
  }

  /** Why an artifact is not here, where the snapshot says so. */
  missing(prefix: Prefix, checksum: Checksum): Missing | undefined {
    const snapshot = this.published()
    if (snapshot === undefined) return undefined
    for (const path of Object.keys(snapshot.held) as IndexPath[]) {
      if (prefixOfPath(path) !== prefix) continue
      const held = snapshot.held[path]
      if (held === undefined || held.want === null) continue
      if (!this.#wantedBy(path, held.want, snapshot).has(checksum)) continue
      return { status: 503, reason: `held: index/${path}: ${held.reason}` }
    }
    const absent = snapshot.absent[checksum]
    if (absent === undefined || !isBelieved(absent)) return this.#outside(snapshot)
    const { crate, version, first, last, status } = absent
    const seen = `status ${status} from ${first} to ${last}`
    return { status: 404, reason: `absent: its origin has no ${crate}@${version}: ${seen}` }
  }

  /** By a checksum alone nobody can tell which version it would be of. */
  #outside(snapshot: Snapshot): Missing | undefined {
    const part = this.#selected(snapshot)?.summary
    if (part === undefined) return undefined
    const reason = `outside this mirror's selection: of what its index lists it holds a part (${part})`
    return { status: 404, reason }
  }

  /** Undefined: everything. */
  #selected(snapshot: Snapshot): Selection | undefined {
    this.#selection ??= readSelection(this.root, snapshot)
    return this.#selection
  }

  /** What is outside the selection never comes, so nobody is told to wait for it. */
  #wantedBy(path: IndexPath, want: Checksum, snapshot: Snapshot): ReadonlySet<Checksum> {
    const known = this.#wanted.get(path)
    if (known !== undefined) return known
    try {
      const bytes = readFileSync(this.indexFileByHash(path, want))
      const { entries } = readIndexFile(bytes, path, { signed: true })
      const isSelected = this.#selected(snapshot)?.of(path) ?? (() => true)
      const selected = entries.filter(({ version }) => isSelected(version))
      const wanted = new Set(selected.map(({ checksum }) => checksum))
      this.#wanted.set(path, wanted)
      return wanted
    } catch {
      // a held crate whose new index file is not here, or is refused: nothing names its artifacts
      return new Set()
    }
  }
}
