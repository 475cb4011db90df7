import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Checksum, sha256 } from '../registry/checksum.ts'
import { type IndexFile, IndexFileRefused, readIndexFile } from '../registry/index-file.ts'
import { type IndexPath, type Prefix, parseIndexPath } from '../registry/sparse-path.ts'
import { breathe } from '../store/durable.ts'
import { parseByHash } from '../store/file-names.ts'
import { INDEX, indexFile, indexFileByHash } from '../store/layout.ts'
import { damaged } from './prune-damage.ts'
import type { Marks } from './prune-marks.ts'
import { entriesIn, readRegular } from './verify-files.ts'

const INDEX_FILE_BYTES_MAX = 64 * 1024 * 1024

/**
 * The artifacts that the index files of one prefix name: those under their paths, which are marked
 * on the way, and those that are marked.
 * @throws {MirrorError} damaged where one of them is not what its name says
 */
export async function namedArtifacts(
  root: string,
  marks: Marks,
  prefix: Prefix,
): Promise<ReadonlySet<Checksum>> {
  const naming = new Naming(root, marks, prefix)
  await naming.byPath()
  await naming.byHash()
  return naming.checksums
}

class Naming {
  readonly checksums: Set<Checksum> = new Set()
  readonly #root: string
  readonly #marks: Marks
  readonly #prefix: Prefix
  /** By-hash names whose bytes were read already, under a path. */
  readonly #read = new Set<string>()

  constructor(root: string, marks: Marks, prefix: Prefix) {
    this.#root = root
    this.#marks = marks
    this.#prefix = prefix
  }

  async byPath(): Promise<void> {
    for (const entry of entriesIn(this.#root, `${INDEX}/${this.#prefix}`)) {
      await breathe()
      const path = parseIndexPath(`${this.#prefix}/${entry.name}`)
      if (path !== undefined && entry.isFile()) this.#takeByPath(path)
    }
  }

  async byHash(): Promise<void> {
    for (const [name, mayMiss] of this.#marks.indexFilesIn(this.#prefix)) {
      await breathe()
      const file = parseByHash(this.#prefix, name)
      if (file !== undefined && !this.#read.has(name)) this.#takeByHash(file, mayMiss)
    }
  }

  /** Right is what has a name by its hash, whichever snapshot put it there. */
  #takeByPath(path: IndexPath): void {
    const file = indexFile(path)
    const bytes = readRegular(this.#root, file, INDEX_FILE_BYTES_MAX)
    if (bytes === undefined) throw damaged(file, 'cannot be read')
    const checksum = sha256(bytes)
    const byHash = indexFileByHash(path, checksum)
    const name = byHash.slice(byHash.lastIndexOf('/') + 1)
    if (!this.#marks.hasIndexFile(this.#prefix, name)) {
      if (!existsSync(join(this.#root, byHash))) throw damaged(file, 'is named by nothing')
      this.#marks.addIndexFile(path, checksum, { mayMiss: false })
    }
    this.#read.add(name)
    this.#take(bytes, path)
  }

  #takeByHash(
    { path, checksum }: { readonly path: IndexPath; readonly checksum: Checksum },
    mayMiss: boolean,
  ): void {
    const file = indexFileByHash(path, checksum)
    const bytes = readRegular(this.#root, file, INDEX_FILE_BYTES_MAX)
    if (bytes === undefined) {
      if (mayMiss && !existsSync(join(this.#root, file))) return
      throw damaged(file, 'is missing or cannot be read')
    }
    if (sha256(bytes) !== checksum) throw damaged(file, 'does not match its name')
    this.#take(bytes, path)
  }

  #take(bytes: Uint8Array, path: IndexPath): void {
    for (const { checksum } of linesOf(bytes, path)) this.checksums.add(checksum)
  }
}

/** Of a file that is refused whole nothing was ever wanted, whatever its lines say. */
function linesOf(bytes: Uint8Array, path: IndexPath): IndexFile['entries'] {
  try {
    return readIndexFile(bytes, path, { signed: true }).entries
  } catch (error) {
    if (error instanceof IndexFileRefused) return []
    throw error
  }
}
