import { existsSync, readFileSync } from 'node:fs'
import { type Checksum, sha256 } from '../registry/checksum.ts'
import type { CrateName } from '../registry/crate-name.ts'
import { type IndexFile, IndexFileRefused, readIndexFile } from '../registry/index-file.ts'
import { type IndexPath, indexPath, type Prefix, prefixOfPath } from '../registry/sparse-path.ts'
import type { Version } from '../registry/version.ts'
import { parseByHash } from '../store/file-names.ts'
import { artifactFile, CRATES, INDEX, indexFileByHash } from '../store/layout.ts'
import { type Withdrawal, withdraw } from '../store/quarantine.ts'
import { type Run, stamp } from './run.ts'
import { entriesIn, prefixesIn } from './verify-files.ts'

type Entry = IndexFile['entries'][number]

/** What is to be withdrawn: of a crate one version, or all. */
export interface Named {
  readonly crate: CrateName
  readonly version: Version | undefined
}

/**
 * Every entry of these versions in any index file of the crate that is still here: a version that
 * upstream took away is named only by an older one, and may have had two checksums.
 */
export function entriesEver(root: string, { crate, version }: Named): Entry[] {
  const path = indexPath(crate)
  const entries = new Map<Checksum, Entry>()
  for (const file of indexFilesEver(root, path)) {
    for (const entry of file.entries) {
      const isNamed = version === undefined || entry.version === version
      if (entry.crate === crate && isNamed) entries.set(entry.checksum, entry)
    }
  }
  return [...entries.values()]
}

/** Takes artifacts away from every folder where they lie. Returns how many were not gone yet. */
export async function withdrawEntries(
  { writer, now }: Run,
  entries: readonly Entry[],
  why: string,
): Promise<number> {
  if (entries.length === 0) return 0
  const { root } = writer.mirror
  const all = prefixesIn(root, CRATES)
  const at = stamp(now())
  const withdrawals = entries.map(({ crate, version, checksum }): [Checksum, Withdrawal] => {
    const own = prefixOfPath(indexPath(crate))
    const isThere = (prefix: Prefix): boolean =>
      existsSync(writer.at(artifactFile(prefix, checksum)))
    const prefixes = [own, ...all.filter(prefix => prefix !== own && isThere(prefix))]
    return [checksum, { crate, version, prefixes, why, at }]
  })
  return await withdraw(writer, new Map(withdrawals))
}

function* indexFilesEver(root: string, path: IndexPath): Generator<IndexFile> {
  const prefix = prefixOfPath(path)
  for (const { name } of entriesIn(root, `${INDEX}/${prefix}`)) {
    const byHash = parseByHash(prefix, name)
    if (byHash?.path !== path) continue
    const bytes = readFileSync(`${root}/${indexFileByHash(path, byHash.checksum)}`)
    // what is damaged is for `verify` to tell, and names nothing
    if (sha256(bytes) !== byHash.checksum) continue
    try {
      yield readIndexFile(bytes, path, { signed: true })
    } catch (error) {
      if (!(error instanceof IndexFileRefused)) throw error
    }
  }
}
