import type { Dirent } from 'node:fs'
import { join } from 'node:path'
import { isChecksum } from '../registry/checksum.ts'
import { parseIndexPath } from '../registry/sparse-path.ts'
import { delegatedIn } from '../store/chain-files.ts'
import { isTileFile, parseByHash } from '../store/file-names.ts'
import { CONFIG_JSON, CRATES, INDEX, PUBLIC, SITE, TRUST, TUF } from '../store/layout.ts'
import type { Expected } from './verify-expected.ts'
import { entriesIn, type Files, oddity, prefixesIn } from './verify-files.ts'
import { type Fault, fault } from './verify-finding.ts'
import type { Judge } from './verify-judge.ts'

/** What lies below `public/` and is not what the snapshot names. */
export class Strangers {
  readonly #root: string
  readonly #expected: Expected
  readonly #files: Files
  readonly #judge: Judge
  /** Roles of a classic repository, which are judged with their chain. */
  readonly #delegated: ReadonlySet<string>

  constructor(
    root: string,
    given: { readonly expected: Expected; readonly files: Files; readonly judge: Judge },
  ) {
    this.#root = root
    this.#expected = given.expected
    this.#files = given.files
    this.#judge = given.judge
    this.#delegated = new Set(delegatedIn(join(root, TRUST.upstream)))
  }

  async *inIndex(): AsyncGenerator<Fault> {
    for (const { file, entry } of this.#walk(INDEX)) {
      if (file === CONFIG_JSON) continue
      const below = file.slice(INDEX.length + 1)
      const path = parseIndexPath(below)
      if (path !== undefined) {
        if (this.#expected.under(path) !== undefined) continue
        if (await this.#expected.isOfNext(path, await this.#files.look(file))) continue
        yield fault('unexpected', file, 'the published snapshot does not name it')
        continue
      }
      const byHash = parseByHash(below.slice(0, -entry.name.length - 1), entry.name)
      if (byHash === undefined || !entry.isFile()) yield strange(file, entry)
      else if (!this.#expected.isNamed(byHash)) yield* this.#judge.nobodys(file, byHash.checksum)
    }
  }

  *inCrates(): Generator<Fault> {
    const prefixes = new Set<string>(prefixesIn(this.#root, CRATES))
    for (const { file, entry } of this.#walk(CRATES)) {
      const folder = file.slice(CRATES.length + 1, -entry.name.length - 1)
      if (!prefixes.has(folder)) yield strange(file, entry)
    }
  }

  /** Tiles and root tiles that no walk reached; metadata is judged with its chain. */
  async *inTuf(): AsyncGenerator<Fault> {
    for (const { file, entry } of this.#walk(TUF)) {
      const below = file.slice(TUF.length + 1)
      if (METADATA.test(below) && entry.isFile()) continue
      if (this.#delegated.has(below) && entry.isFile()) continue
      const checksum = entry.name.slice(0, 64)
      const isTile = isTileFile(file) && isChecksum(checksum) && entry.isFile()
      if (!isTile) yield strange(file, entry)
      // one of the published tree was told by the walk
      else yield* this.#judge.unexpected(file, checksum)
    }
  }

  *inPublic(): Generator<Fault> {
    for (const entry of entriesIn(this.#root, PUBLIC)) {
      const file = `${PUBLIC}/${entry.name}`
      if (!TOPS.includes(file) || !entry.isDirectory()) yield strange(file, entry)
    }
    for (const { file, entry } of this.#walk(SITE)) {
      if (!METADATA.test(entry.name) || !entry.isFile()) yield strange(file, entry)
    }
  }

  /** Everything below a folder but folders of the layout; any other folder is strange as a whole. */
  *#walk(top: string): Generator<{ readonly file: string; readonly entry: Dirent }> {
    for (const entry of entriesIn(this.#root, top)) {
      const file = `${top}/${entry.name}`
      if (entry.isDirectory() && FOLDER.test(file)) yield* this.#walk(file)
      else yield { file, entry }
    }
  }
}

const TOPS = [INDEX, CRATES, TUF, SITE]
const FOLDER =
  /^public\/(?:(?:index|crates)\/(?:[12]|3(?:\/[a-z])?|[a-z][a-z0-9_-](?:\/[a-z0-9_-]{2})?)|tuf\/tree(?:\/[0-9a-f]{2})?)$/
const METADATA = /^(?:timestamp|[1-9]\d*\.(?:root|snapshot|targets))\.json$/

export function strange(file: string, entry: Dirent): Fault {
  return fault('unexpected', file, `${oddity(entry)} whose name is none of this layout`)
}
