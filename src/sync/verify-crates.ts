import type { Dirent } from 'node:fs'
import { MirrorError } from '../error.ts'
import { type Checksum, isChecksum, sha256 } from '../registry/checksum.ts'
import type { CrateName } from '../registry/crate-name.ts'
import { type IndexFile, readIndexFile } from '../registry/index-file.ts'
import type { Selection } from '../registry/selection.ts'
import {
  type IndexPath,
  indexPath,
  nameOfPath,
  type Prefix,
  parseIndexPath,
  prefixOfPath,
} from '../registry/sparse-path.ts'
import type { Version } from '../registry/version.ts'
import { isTileFile, parseByHash } from '../store/file-names.ts'
import {
  artifactFile,
  CONFIG_JSON,
  CRATES,
  INDEX,
  indexFile,
  indexFileByHash,
  PUBLIC,
  SITE,
  TUF,
} from '../store/layout.ts'
import { type Withdrawal, withdrawalText } from '../store/quarantine.ts'
import {
  isBelieved,
  type Snapshot,
  shownTree,
  shownUnderPath,
  underPath,
} from '../store/snapshot.ts'
import { localTiles } from '../store/tiles.ts'
import { lookUp } from '../tree/prove.ts'
import { entriesIn, type Files, oddity, prefixesIn } from './verify-files.ts'
import { type Fault, type Finding, fault, warning } from './verify-finding.ts'

/** What the tree says of one path. */
export interface NamedPath {
  readonly length: number
  readonly sha256: Checksum
}

const INDEX_FILE_BYTES_MAX = 64 * 1024 * 1024

/** Index files and artifacts against the tree and each other, one folder of the index at a time. */
export class CrateFiles {
  readonly #root: string
  readonly #shown: Snapshot
  readonly #next: Snapshot | undefined
  readonly #named: ReadonlyMap<IndexPath, NamedPath>
  /** What stands under the paths where that is not the whole files; undefined: they do. */
  readonly #pruned: ReadonlyMap<IndexPath, NamedPath> | undefined
  readonly #files: Files
  /** What must be here of all that the index lists; undefined: everything. */
  readonly #selection: Selection | undefined
  readonly #withdrawn: ReadonlyMap<Checksum, Withdrawal>
  #unreferenced = 0

  constructor(
    root: string,
    given: {
      readonly shown: Snapshot
      /** One that a killed writer left, or a living one is at: its names may be public already. */
      readonly next: Snapshot | undefined
      readonly named: ReadonlyMap<IndexPath, NamedPath>
      readonly pruned: ReadonlyMap<IndexPath, NamedPath> | undefined
      readonly files: Files
      readonly selection: Selection | undefined
      readonly withdrawn: ReadonlyMap<Checksum, Withdrawal>
    },
  ) {
    this.#root = root
    this.#shown = given.shown
    this.#next = given.next
    this.#named = given.named
    this.#pruned = given.pruned
    this.#files = given.files
    this.#selection = given.selection
    this.#withdrawn = given.withdrawn
  }

  /** One crate, or one version of it. */
  async *one(path: IndexPath, version: Version | undefined): AsyncGenerator<Finding> {
    const withdrawn = this.#withdrawnOf(path, version)
    for (const one of withdrawn) yield warning(`withdrawn: ${withdrawalText(one)}`)
    if (this.#expected(path) === undefined) {
      if (withdrawn.length > 0) return
      yield fault('missing', indexFile(path), 'the published snapshot has no such crate')
      return
    }
    yield* this.#indexFiles(path)
    const file = this.#read(path)
    const entries = file?.entries.filter(e => version === undefined || e.version === version) ?? []
    if (file !== undefined && entries.length === 0 && withdrawn.length === 0) {
      const what = `the index has no version ${version}`
      yield fault('missing', indexFile(path), what, { crate: nameOfPath(path) })
    }
    for (const { checksum } of entries) yield* this.#artifact(path, checksum, file)
  }

  #withdrawnOf(path: IndexPath, version: Version | undefined): Withdrawal[] {
    return [...this.#withdrawn.values()].filter(
      one =>
        indexPath(one.crate as CrateName) === path &&
        (version === undefined || one.version === version),
    )
  }

  /** Everything under `public/index`, and `public/crates` if wanted. */
  async *all({ withArtifacts }: { readonly withArtifacts: boolean }): AsyncGenerator<Finding> {
    const paths = Map.groupBy(this.#paths(), prefixOfPath)
    for (const path of this.#paths()) yield* this.#indexFiles(path)
    yield* this.#strangersInIndex()
    if (!withArtifacts) return
    const prefixes = new Set<Prefix>([...paths.keys(), ...prefixesIn(this.#root, CRATES)])
    for (const prefix of [...prefixes].sort()) {
      yield* this.#artifactsOf(prefix, paths.get(prefix) ?? [])
    }
    yield* this.#strangersInCrates()
    yield* this.#tiles()
    yield* this.#strangersInPublic()
    if (this.#unreferenced > 0) yield warning(`${this.#unreferenced} files are unreferenced`)
  }

  #paths(): IndexPath[] {
    const held = Object.keys(this.#shown.held) as IndexPath[]
    return [...new Set([...this.#named.keys(), ...held])].sort()
  }

  /** The whole index file that counts. */
  #expected(path: IndexPath): Checksum | undefined {
    return underPath(this.#shown, path, this.#named.get(path)?.sha256)
  }

  /** The index file under the path. */
  #expectedUnder(path: IndexPath): Checksum | undefined {
    return this.#pruned === undefined ? this.#expected(path) : this.#pruned.get(path)?.sha256
  }

  async *#indexFiles(path: IndexPath): AsyncGenerator<Fault> {
    yield* this.#whole(path)
    const checksum = this.#expectedUnder(path)
    if (checksum === undefined) return
    const crate = nameOfPath(path)
    if (checksum !== this.#expected(path)) {
      const named = { kind: 'pruned' } as const
      yield* this.#judged(indexFileByHash(path, checksum), checksum, { crate, named })
    }
    const byPath = { kind: 'by path', path, checksum } as const
    for await (const found of this.#judged(indexFile(path), checksum, { crate, named: byPath })) {
      if (!(await this.#isOfNext(path))) yield found
    }
  }

  async *#whole(path: IndexPath): AsyncGenerator<Fault> {
    const checksum = this.#expected(path)
    if (checksum === undefined) return
    const inTree = this.#named.get(path)
    const length = inTree?.sha256 === checksum ? inTree.length : undefined
    const named = { kind: 'index file', path, checksum, length } as const
    const file = indexFileByHash(path, checksum)
    yield* this.#judged(file, checksum, { crate: nameOfPath(path), named })
  }

  /** By-path files change one by one between the decision on a snapshot and its publishing. */
  async #isOfNext(path: IndexPath): Promise<boolean> {
    if (this.#next === undefined) return false
    let entry: NamedPath | undefined
    try {
      entry = await lookUp(shownTree(this.#next), path, localTiles(this.#root))
    } catch (error) {
      if (error instanceof MirrorError) return false
      throw error
    }
    const look = await this.#files.look(indexFile(path))
    const found = look.kind === 'file' ? look.checksum : look.kind
    return found === (shownUnderPath(this.#next, path, entry?.sha256) ?? 'none')
  }

  async *#judged(
    file: string,
    checksum: Checksum,
    facts: Pick<Fault, 'crate' | 'version' | 'named'>,
  ): AsyncGenerator<Fault> {
    const look = await this.#files.look(file)
    if (look.kind === 'none') yield fault('missing', file, 'missing', facts)
    else if (look.kind === 'odd')
      yield fault('damaged', file, `${look.found}, expected a file`, facts)
    else if (look.checksum !== checksum) {
      const found = `expected sha256 ${checksum}, found ${look.checksum} (${look.length} bytes)`
      yield fault('damaged', file, found, facts)
    }
  }

  /** By whichever name has the right bytes; undefined where neither has. */
  #read(path: IndexPath): IndexFile | undefined {
    const checksum = this.#expected(path)
    if (checksum === undefined) return undefined
    for (const file of [indexFileByHash(path, checksum), indexFile(path)]) {
      const bytes = this.#files.read(file, INDEX_FILE_BYTES_MAX)
      if (bytes !== undefined && sha256(bytes) === checksum) {
        return readIndexFile(bytes, path, { signed: true })
      }
    }
    return undefined
  }

  async *#artifactsOf(prefix: Prefix, paths: readonly IndexPath[]): AsyncGenerator<Fault> {
    const named = new Set<Checksum>()
    for (const path of paths) {
      const file = this.#read(path)
      for (const { checksum } of file?.entries ?? []) {
        if (named.has(checksum)) continue
        named.add(checksum)
        yield* this.#artifact(path, checksum, file)
      }
    }
    for (const entry of entriesIn(this.#root, `${CRATES}/${prefix}`)) {
      const file = `${CRATES}/${prefix}/${entry.name}`
      const checksum = entry.name.slice(0, 64)
      if (!isChecksum(checksum) || entry.name !== `${checksum}.crate` || !entry.isFile()) {
        if (!isChecksum(checksum) || !named.has(checksum)) yield strange(file, entry)
        continue
      }
      if (!named.has(checksum)) yield* this.#nobodys(file, checksum)
    }
  }

  /** A well-formed name that nothing uses is no fault, but it must be true all the same (P1). */
  async *#nobodys(file: string, checksum: Checksum): AsyncGenerator<Fault> {
    if (this.#withdrawn.has(checksum)) return yield* this.#stillPublic(file, checksum)
    this.#unreferenced += 1
    yield* this.#unexpected(file, checksum)
  }

  /** Its record is there, so nobody is given it; the next writer moves it away. */
  async *#stillPublic(file: string, checksum: Checksum): AsyncGenerator<Fault> {
    const look = await this.#files.look(file)
    const withdrawal = this.#withdrawn.get(checksum)
    if (look.kind === 'none' || withdrawal === undefined) return
    const what = `withdrawn, and still here: ${withdrawalText(withdrawal)}`
    yield fault('unexpected', file, what, { named: { kind: 'withdrawn', checksum } })
  }

  /** One that went since its folder was read was pruned. */
  async *#unexpected(file: string, checksum: Checksum): AsyncGenerator<Fault> {
    for await (const found of this.#judged(file, checksum, {})) {
      if (found.kind !== 'missing') yield { ...found, kind: 'unexpected' }
    }
  }

  async *#artifact(
    path: IndexPath,
    checksum: Checksum,
    file: IndexFile | undefined,
  ): AsyncGenerator<Fault> {
    const entry = file?.entries.find(one => one.checksum === checksum)
    if (entry === undefined) return
    const { crate, version } = entry
    const named = { kind: 'artifact', path, wanted: { crate, version, checksum } } as const
    const name = artifactFile(prefixOfPath(path), checksum)
    if (this.#withdrawn.has(checksum)) return yield* this.#stillPublic(name, checksum)
    const isSelected = this.#isSelected(path, file, checksum)
    const facts = { crate, version, ...(isSelected && { named }) }
    for await (const found of this.#judged(name, checksum, facts)) {
      if (found.kind === 'missing' && !isSelected) continue
      if (found.kind === 'missing' && this.#mayMiss(path, checksum, file, version)) continue
      yield { ...found, what: `${crate}@${version}: ${found.what}` }
    }
  }

  /**
   * An artifact serves each version that names it. One outside the selection may be here, from
   * before, and is judged as it is; a repair puts wrong bytes aside and does not ask for right ones.
   */
  #isSelected(path: IndexPath, file: IndexFile | undefined, checksum: Checksum): boolean {
    const isSelected = this.#selection?.of(path)
    if (isSelected === undefined) return true
    const entries = file?.entries.filter(entry => entry.checksum === checksum) ?? []
    return entries.some(({ version }) => isSelected(version))
  }

  /** What the snapshot records as not here: absent at its origin, damaged and held, or disputed. */
  #mayMiss(
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

  async *#strangersInIndex(): AsyncGenerator<Fault> {
    for (const { file, entry } of this.#walk(INDEX)) {
      if (file === CONFIG_JSON) continue
      const below = file.slice(INDEX.length + 1)
      const path = parseIndexPath(below)
      if (path !== undefined) {
        if (this.#expectedUnder(path) === undefined && !(await this.#isOfNext(path))) {
          yield fault('unexpected', file, 'the published snapshot does not name it')
        }
        continue
      }
      const byHash = parseByHash(below.slice(0, -entry.name.length - 1), entry.name)
      if (byHash === undefined || !entry.isFile()) yield strange(file, entry)
      else if (!this.#isNamed(byHash)) {
        yield* this.#nobodys(file, byHash.checksum)
      }
    }
  }

  #isNamed({ path, checksum }: { readonly path: IndexPath; readonly checksum: Checksum }): boolean {
    return [this.#expected(path), this.#expectedUnder(path)].includes(checksum)
  }

  async *#strangersInCrates(): AsyncGenerator<Fault> {
    const prefixes = new Set<string>(prefixesIn(this.#root, CRATES))
    for (const { file, entry } of this.#walk(CRATES)) {
      const folder = file.slice(CRATES.length + 1, -entry.name.length - 1)
      if (!prefixes.has(folder)) yield strange(file, entry)
    }
  }

  /** Tiles and root tiles that no walk reached; metadata is judged with its chain. */
  async *#tiles(): AsyncGenerator<Fault> {
    for (const { file, entry } of this.#walk(TUF)) {
      const below = file.slice(TUF.length + 1)
      if (METADATA.test(below) && entry.isFile()) continue
      const checksum = entry.name.slice(0, 64)
      const isTile = isTileFile(file) && isChecksum(checksum) && entry.isFile()
      if (!isTile) yield strange(file, entry)
      // one of the published tree was told by the walk
      else yield* this.#unexpected(file, checksum)
    }
  }

  *#strangersInPublic(): Generator<Fault> {
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

function strange(file: string, entry: Dirent): Fault {
  return fault('unexpected', file, `${oddity(entry)} whose name is none of this layout`)
}
