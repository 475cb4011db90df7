import { type Checksum, isChecksum, sha256 } from '../registry/checksum.ts'
import type { CrateName } from '../registry/crate-name.ts'
import { type IndexFile, readIndexFile } from '../registry/index-file.ts'
import {
  type IndexPath,
  indexPath,
  nameOfPath,
  type Prefix,
  prefixOfPath,
} from '../registry/sparse-path.ts'
import type { Version } from '../registry/version.ts'
import { artifactFile, CRATES, indexFile, indexFileByHash } from '../store/layout.ts'
import { type Withdrawal, withdrawalText } from '../store/quarantine.ts'
import type { Expected } from './verify-expected.ts'
import { entriesIn, type Files, prefixesIn } from './verify-files.ts'
import { type Fault, type Finding, fault, warning } from './verify-finding.ts'
import { Judge } from './verify-judge.ts'
import { Strangers, strange } from './verify-strangers.ts'

const INDEX_FILE_BYTES_MAX = 64 * 1024 * 1024

/** Index files and artifacts against the tree and each other, one folder of the index at a time. */
export class CrateFiles {
  readonly #root: string
  readonly #expected: Expected
  readonly #files: Files
  readonly #withdrawn: ReadonlyMap<Checksum, Withdrawal>
  readonly #judge: Judge

  constructor(
    root: string,
    given: {
      readonly expected: Expected
      readonly files: Files
      readonly withdrawn: ReadonlyMap<Checksum, Withdrawal>
    },
  ) {
    this.#root = root
    this.#expected = given.expected
    this.#files = given.files
    this.#withdrawn = given.withdrawn
    this.#judge = new Judge(given.files, given.withdrawn)
  }

  /** One crate, or one version of it. */
  async *one(path: IndexPath, version: Version | undefined): AsyncGenerator<Finding> {
    const withdrawn = this.#withdrawnOf(path, version)
    for (const one of withdrawn) yield warning(`withdrawn: ${withdrawalText(one)}`)
    if (this.#expected.whole(path) === undefined) {
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

  /** Everything under `public/index`, and the rest of `public/` if wanted. */
  async *all({ withArtifacts }: { readonly withArtifacts: boolean }): AsyncGenerator<Finding> {
    const given = { expected: this.#expected, files: this.#files, judge: this.#judge }
    const strangers = new Strangers(this.#root, given)
    const paths = this.#expected.paths()
    for (const path of paths) yield* this.#indexFiles(path)
    yield* strangers.inIndex()
    if (!withArtifacts) return
    const byPrefix = Map.groupBy(paths, prefixOfPath)
    const prefixes = new Set<Prefix>([...byPrefix.keys(), ...prefixesIn(this.#root, CRATES)])
    for (const prefix of [...prefixes].sort()) {
      yield* this.#artifactsOf(prefix, byPrefix.get(prefix) ?? [])
    }
    yield* strangers.inCrates()
    yield* strangers.inTuf()
    yield* strangers.inPublic()
    const { unreferenced } = this.#judge
    if (unreferenced > 0) yield warning(`${unreferenced} files are unreferenced`)
  }

  async *#indexFiles(path: IndexPath): AsyncGenerator<Fault> {
    yield* this.#whole(path)
    const checksum = this.#expected.under(path)
    if (checksum === undefined) return
    const crate = nameOfPath(path)
    if (checksum !== this.#expected.whole(path)) {
      const named = { kind: 'pruned' } as const
      yield* this.#judge.named(indexFileByHash(path, checksum), checksum, { crate, named })
    }
    const file = indexFile(path)
    const named = { kind: 'by path', path, checksum } as const
    for await (const found of this.#judge.named(file, checksum, { crate, named })) {
      if (!(await this.#expected.isOfNext(path, await this.#files.look(file)))) yield found
    }
  }

  async *#whole(path: IndexPath): AsyncGenerator<Fault> {
    const checksum = this.#expected.whole(path)
    if (checksum === undefined) return
    const length = this.#expected.lengthOf(path)
    const named = { kind: 'index file', path, checksum, length } as const
    const file = indexFileByHash(path, checksum)
    yield* this.#judge.named(file, checksum, { crate: nameOfPath(path), named })
  }

  /** By whichever name has the right bytes; undefined where neither has. */
  #read(path: IndexPath): IndexFile | undefined {
    const checksum = this.#expected.whole(path)
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
      if (!named.has(checksum)) yield* this.#judge.nobodys(file, checksum)
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
    if (this.#withdrawn.has(checksum)) return yield* this.#judge.withdrawn(name, checksum)
    const isSelected = this.#expected.isSelected(path, file, checksum)
    const facts = { crate, version, ...(isSelected && { named }) }
    for await (const found of this.#judge.named(name, checksum, facts)) {
      if (found.kind === 'missing' && !isSelected) continue
      if (found.kind === 'missing' && this.#expected.mayMiss(path, checksum, file, version))
        continue
      yield { ...found, what: `${crate}@${version}: ${found.what}` }
    }
  }
}
