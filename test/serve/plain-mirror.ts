import { linkSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { type Checksum, sha256 } from '../../src/registry/checksum.ts'
import { type IndexPath, prefixOfPath } from '../../src/registry/sparse-path.ts'
import {
  artifactFile,
  indexFile,
  indexFileByHash,
  LANDING,
  NEXT,
  PUBLISHED,
  tileFile,
} from '../../src/store/layout.ts'
import { recordBytes } from '../../src/store/record.ts'
import type { Absent, Held, Snapshot } from '../../src/store/snapshot.ts'
import { buildTree } from '../../src/tree/build.ts'
import type { TreeEntry } from '../../src/tree/entry.ts'
import { pathOf } from '../tree/trees.ts'

/** A version as an index line names it. */
export interface Line {
  readonly version: string
  readonly artifact: string
}

/** A crate's index file and where it belongs. */
export interface CrateFile {
  readonly path: IndexPath
  readonly text: string
  readonly checksum: Checksum
}

export function crateFile(name: string, ...lines: readonly Line[]): CrateFile {
  const text = lines
    .map(({ version: vers, artifact }) => ({ name, vers, deps: [], cksum: sha256(artifact) }))
    .map(fields => `${JSON.stringify({ ...fields, features: {}, yanked: false })}\n`)
    .join('')
  return { path: pathOf(name), text, checksum: sha256(text) }
}

/** The files of a mirror, put down one by one: any state that a writer could be met in. */
export class PlainMirror {
  readonly root: string

  constructor(root: string) {
    this.root = root
  }

  at(name: string): string {
    return join(this.root, name)
  }

  write(name: string, bytes: Uint8Array | string): string {
    mkdirSync(dirname(this.at(name)), { recursive: true })
    writeFileSync(this.at(name), bytes)
    return this.at(name)
  }

  /** Returns the artifact's path below `public/`. */
  artifact(file: CrateFile, bytes: Uint8Array | string): string {
    const name = this.artifactName(file, bytes)
    this.write(name, bytes)
    return name.replace('public/', '')
  }

  artifactName({ path }: CrateFile, bytes: Uint8Array | string): string {
    return artifactFile(prefixOfPath(path), sha256(bytes))
  }

  byHash({ path, checksum, text }: CrateFile): string {
    return this.write(indexFileByHash(path, checksum), text)
  }

  /** By hash and, as the same file, under the path. */
  shown(file: CrateFile): void {
    const byHash = this.byHash(file)
    rmSync(this.at(indexFile(file.path)), { force: true })
    linkSync(byHash, this.at(indexFile(file.path)))
  }

  /** Only under the path, as on a disk without links that keeps nothing by hash. */
  byPath({ path, text }: CrateFile): string {
    return this.write(indexFile(path), text)
  }

  publish(n: number, files: readonly CrateFile[], waiting: Waiting = {}): void {
    this.write(PUBLISHED, recordBytes(this.#snapshot(n, files, waiting)))
  }

  decide(n: number, files: readonly CrateFile[], waiting: Waiting = {}): void {
    this.write(NEXT, recordBytes(this.#snapshot(n, files, waiting)))
  }

  landing(...finals: readonly string[]): void {
    this.write(LANDING, recordBytes({ format: 1, finals }))
  }

  #snapshot(n: number, files: readonly CrateFile[], { held, absent }: Waiting): Snapshot {
    const entries = files.map(({ path, text, checksum }): TreeEntry => {
      return { path, length: Buffer.byteLength(text), sha256: checksum }
    })
    const { hash } = buildTree(entries, ({ position, hash }, bytes) => {
      this.write(tileFile(position, hash), bytes)
    })
    return {
      format: 1,
      n,
      tree: hash,
      entries: entries.length,
      metadata: { root: 1, timestamp: n, snapshot: n, targets: n },
      held: held ?? {},
      absent: absent ?? {},
      at: '2026-11-26T00:00:00Z',
    }
  }
}

interface Waiting {
  readonly held?: Record<IndexPath, Held>
  readonly absent?: Record<Checksum, Absent>
}
