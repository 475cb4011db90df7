import type { Checksum } from '../registry/checksum.ts'
import type { Prefix } from '../registry/sparse-path.ts'
import { breathe } from '../store/durable.ts'
import { parseArtifactName } from '../store/file-names.ts'
import { artifactFile, CRATES, INDEX } from '../store/layout.ts'
import { add, bytesOf, type Tally } from './prune-files.ts'
import type { Marks } from './prune-marks.ts'
import { namedArtifacts } from './prune-named.ts'
import { entriesIn, prefixesIn } from './verify-files.ts'

/**
 * The artifacts that nothing names, as 32 bytes each: a mirror that was cut down to a selection has
 * millions of them, and to tell them a second time every index file would have to be read again.
 */
export class UnnamedArtifacts {
  /** All artifacts that are here. */
  readonly all: Tally = { files: 0, bytes: 0 }
  readonly unnamed: Tally = { files: 0, bytes: 0 }
  readonly #checksums = new Map<Prefix, Buffer>()

  /** Looks at one folder, given what names an artifact of it. */
  async look(root: string, prefix: Prefix, named: ReadonlySet<Checksum>): Promise<void> {
    const unnamed: Checksum[] = []
    for (const entry of entriesIn(root, `${CRATES}/${prefix}`)) {
      const checksum = parseArtifactName(entry.name)
      if (checksum === undefined || !entry.isFile()) continue
      await breathe()
      const bytes = bytesOf(root, artifactFile(prefix, checksum))
      add(this.all, bytes)
      if (named.has(checksum)) continue
      add(this.unnamed, bytes)
      unnamed.push(checksum)
    }
    if (unnamed.length > 0) this.#checksums.set(prefix, Buffer.from(unnamed.join(''), 'hex'))
  }

  *[Symbol.iterator](): Generator<{ readonly prefix: Prefix; readonly checksum: Checksum }> {
    for (const [prefix, bytes] of this.#checksums) {
      for (let at = 0; at < bytes.length; at += 32) {
        yield { prefix, checksum: bytes.toString('hex', at, at + 32) as Checksum }
      }
    }
  }
}

/**
 * Folder by folder, with all that names an artifact of it: one lies under the prefix of each crate
 * that wants it, so what another prefix says of the same checksum does not count. Marks what files
 * under their paths name, too: before this has ended no index file is known to be unnamed.
 */
export async function unnamedArtifacts(
  root: string,
  marks: Marks,
  signal: AbortSignal,
): Promise<UnnamedArtifacts> {
  const artifacts = new UnnamedArtifacts()
  const prefixes = [...marks.prefixes, ...prefixesIn(root, INDEX), ...prefixesIn(root, CRATES)]
  for (const prefix of new Set(prefixes)) {
    signal.throwIfAborted()
    await artifacts.look(root, prefix, await namedArtifacts(root, marks, prefix))
  }
  return artifacts
}
