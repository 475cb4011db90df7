import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { type Checksum, sha256 } from '../registry/checksum.ts'
import { readIndexFile } from '../registry/index-file.ts'
import { type IndexPath, type Prefix, prefixOfPath } from '../registry/sparse-path.ts'
import { lookUp } from '../tree/prove.ts'
import { readLanding } from './landing.ts'
import { artifactFile, indexFile, indexFileByHash, PUBLIC, PUBLISHED } from './layout.ts'
import {
  type Held,
  isBelieved,
  readPublished,
  rootRef,
  type Snapshot,
  underPath,
} from './snapshot.ts'
import { localTiles } from './tiles.ts'

/**
 * An index file that a reader may be given: any of `files` (absolute) whose bytes have `checksum`.
 * The first is named by it; a disk without hard links may have only the second, under the path.
 */
export interface NamedIndexFile {
  readonly checksum: Checksum
  readonly files: readonly string[]
}

/**
 * What a mirror shows to readers. It takes no lock and writes nothing: each answer is of the
 * snapshot that `state/published` names at that moment, whatever a writer is doing (P4).
 */
export class MirrorReader {
  readonly root: string
  #published: Snapshot | undefined
  #publishedStamp = ''

  constructor(root: string) {
    this.root = root
  }

  /** The published snapshot, read again whenever its file was replaced. */
  published(): Snapshot | undefined {
    const stats = statSync(join(this.root, PUBLISHED), { bigint: true, throwIfNoEntry: false })
    const stamp = stats === undefined ? '' : `${stats.ino} ${stats.mtimeNs} ${stats.size}`
    if (stamp !== this.#publishedStamp) {
      this.#published = readPublished(this.root)
      this.#publishedStamp = stamp
    }
    return this.#published
  }

  /** The index file the snapshot, or its held record, names; undefined: it names none. */
  async indexFile(path: IndexPath): Promise<NamedIndexFile | undefined> {
    const snapshot = this.published()
    if (snapshot === undefined) return this.#beforeFirstSnapshot(path)
    const entry = await lookUp(rootRef(snapshot.tree), path, localTiles(this.root))
    const checksum = underPath(snapshot, path, entry?.sha256)
    if (checksum === undefined) return undefined
    return { checksum, files: [this.indexFileByHash(path, checksum), this.#byPath(path)] }
  }

  /** A first sync shows each crate as soon as it is whole: its by-path file is what is known. */
  #beforeFirstSnapshot(path: IndexPath): NamedIndexFile | undefined {
    const file = this.#byPath(path)
    if (!existsSync(file)) return undefined
    return { checksum: sha256(readFileSync(file)), files: [file] }
  }

  #byPath(path: IndexPath): string {
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

  /** Whether a name is given but not yet proved durable: it is not to be served (P1). */
  async isLanding(prefix: Prefix, checksum: Checksum): Promise<boolean> {
    return readLanding(this.root)?.includes(artifactFile(prefix, checksum)) ?? false
  }

  /** Why an artifact is not here, where the snapshot says so. */
  async missing(
    prefix: Prefix,
    checksum: Checksum,
  ): Promise<{ readonly status: 404 | 503; readonly reason: string } | undefined> {
    const snapshot = this.published()
    if (snapshot === undefined) return undefined
    for (const [path, held] of Object.entries(snapshot.held) as [IndexPath, Held][]) {
      if (prefixOfPath(path) === prefix && this.#names(path, held.want, checksum)) {
        return { status: 503, reason: `held: ${held.reason}` }
      }
    }
    const absent = snapshot.absent[checksum]
    if (absent === undefined || !isBelieved(absent)) return undefined
    return {
      status: 404,
      reason: `absent at its origin since ${absent.first} (status ${absent.status})`,
    }
  }

  #names(path: IndexPath, want: Checksum, checksum: Checksum): boolean {
    try {
      const bytes = readFileSync(this.indexFileByHash(path, want))
      return readIndexFile(bytes, path, { signed: true }).entries.some(e => e.checksum === checksum)
    } catch {
      // a held crate whose new index file is not here, or is refused: nothing names its artifacts
      return false
    }
  }
}
