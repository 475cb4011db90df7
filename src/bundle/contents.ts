import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { MirrorError } from '../error.ts'
import { type Checksum, sha256 } from '../registry/checksum.ts'
import { ChecksumSet } from '../registry/checksum-set.ts'
import type { CrateName } from '../registry/crate-name.ts'
import { type IndexFile, readIndexFile } from '../registry/index-file.ts'
import { type IndexPath, prefixOfPath } from '../registry/sparse-path.ts'
import type { Version } from '../registry/version.ts'
import { breathe } from '../store/durable.ts'
import { artifactFile, indexFileByHash, tileFile } from '../store/layout.ts'
import { rootRef } from '../store/snapshot.ts'
import { localTiles } from '../store/tiles.ts'
import { EMPTY_TREE } from '../tree/build.ts'
import { diff, type LoadTiles } from '../tree/diff.ts'
import { ROOT, type TileRef, type TreeEntry } from '../tree/entry.ts'
import { withoutLost } from '../tree/lost.ts'
import { entriesOf, walkTiles } from '../tree/walk.ts'
import { comparePaths, indexMember, objectMember, tileMember } from './member.ts'
import type { SourcedMember } from './volume-file.ts'

/** What is to be carried: the states it leads between, whose files are in the same mirror. */
export interface Carried {
  readonly target: Checksum
  /** Undefined: everything is carried. What is no longer here of the base is carried again. */
  readonly base: Checksum | undefined
  /** Objects that are carried whether or not the base has them, where the target lists them. */
  readonly also?: ReadonlySet<Checksum>
}

/** An object that the target names and that is not in the mirror. */
export interface MissingObject {
  readonly path: string
  readonly crate: CrateName
  readonly version: Version
  readonly checksum: Checksum
  /** Two lines of its index file do not agree on the checksum of this version. */
  readonly isDisputed: boolean
}

/** A crate of the target of which objects may be carried. */
interface Change {
  readonly path: IndexPath
  readonly before: Checksum | undefined
  readonly after: Checksum
}

/**
 * What leads from one state to another, in the order in which it lies in volumes: tiles and index
 * files that the base does not have, and objects that it does not list. Objects are told crate by
 * crate, since a whole registry has millions.
 */
export class Contents {
  readonly tiles: readonly SourcedMember[]
  readonly indexFiles: readonly SourcedMember[]
  readonly #root: string
  readonly #target: Checksum
  readonly #isFull: boolean
  readonly #also: ReadonlySet<Checksum>
  readonly #changes: readonly Change[]

  private constructor(
    root: string,
    { target, base, also = new Set() }: Carried,
    found: {
      readonly tiles: readonly SourcedMember[]
      readonly indexFiles: readonly SourcedMember[]
      readonly changes: readonly Change[]
    },
  ) {
    this.#root = root
    this.#target = target
    this.#isFull = base === undefined
    this.#also = also
    this.tiles = found.tiles
    this.indexFiles = found.indexFiles
    this.#changes = found.changes
  }

  /** @throws {MirrorError} damaged where a tile of the target is not right */
  static async of(root: string, carried: Carried): Promise<Contents> {
    const { target, base, also } = carried
    const load = localTiles(root)
    const before = base === undefined ? EMPTY_TREE : rootRef(base)
    const after = rootRef(target)
    const changes: Change[] = []
    const indexFiles: SourcedMember[] = []
    const both = { before: whatIsLeft(load), after: load }
    for await (const { path, before: old, after: now } of diff(before, after, both)) {
      if (now === undefined) continue
      changes.push({ path, before: old?.sha256, after: now.sha256 })
      indexFiles.push(indexFileMember(root, now))
    }
    if (also !== undefined && also.size > 0) await addUnchanged(changes, after, load)
    return new Contents(root, carried, {
      tiles: await newTiles(root, load, before, after),
      indexFiles: indexFiles.sort(byPath),
      changes,
    })
  }

  /**
   * Each object once, at the lower of its paths; those that are not here are told, and left out.
   * @throws {MirrorError} damaged where an index file is not right
   */
  *objects(missing: (object: MissingObject) => void): Generator<SourcedMember> {
    const told = new ChecksumSet()
    const folders = Map.groupBy(this.#folders(), ({ folder }) => folder)
    for (const folder of [...folders.keys()].sort(comparePaths)) {
      const changes = folders.get(folder) ?? []
      const members = changes.flatMap(({ change }) => this.#objectsIn(folder, change, missing))
      for (const member of members.sort(byPath)) if (told.add(member.sha256)) yield member
    }
  }

  /** The objects of the target that are not among `carried`. */
  async notCarried(carried: ChecksumSet, absent: Iterable<Checksum>): Promise<ChecksumSet> {
    const rest = new ChecksumSet()
    for (const checksum of absent) rest.add(checksum)
    if (this.#isFull) return rest
    for await (const { path, sha256: file } of entriesOf(
      rootRef(this.#target),
      localTiles(this.#root),
    )) {
      await breathe()
      for (const { checksum } of this.#read(path, file).entries) {
        if (!carried.has(checksum)) rest.add(checksum)
      }
    }
    return rest
  }

  /** A crate has a folder for each way its name is spelled; what lies by its hash has one for all. */
  *#folders(): Generator<{ readonly folder: string; readonly change: Change }> {
    for (const change of this.#changes) {
      const paths = this.#added(change).entries.map(memberPath)
      for (const folder of new Set(paths.map(folderOf))) yield { folder, change }
    }
  }

  #objectsIn(
    folder: string,
    change: Change,
    missing: (object: MissingObject) => void,
  ): SourcedMember[] {
    const members: SourcedMember[] = []
    const { entries, disputed } = this.#added(change)
    for (const entry of entries) {
      const { crate, version, checksum } = entry
      const path = memberPath(entry)
      if (folderOf(path) !== folder) continue
      const source = join(this.#root, artifactFile(prefixOfPath(change.path), checksum))
      const size = statSync(source, { throwIfNoEntry: false })?.size ?? 0
      if (size > 0) members.push({ path, size, sha256: checksum, source })
      else missing({ path, crate, version, checksum, isDisputed: disputed.has(version) })
    }
    return members
  }

  /** Entries of the target that the base does not have, or that are asked for. */
  #added({ path, before, after }: Change): Pick<IndexFile, 'entries' | 'disputed'> {
    const { entries, disputed } = this.#read(path, after)
    if (before === undefined) return { entries, disputed }
    const listed = this.#listedBefore(path, before)
    const isAdded = ({ checksum }: { readonly checksum: Checksum }): boolean =>
      !listed.has(checksum) || this.#also.has(checksum)
    return { entries: entries.filter(isAdded), disputed }
  }

  /** What the base's file can no longer tell is carried again. */
  #listedBefore(path: IndexPath, before: Checksum): ReadonlySet<Checksum> {
    try {
      return new Set(this.#read(path, before).entries.map(({ checksum }) => checksum))
    } catch (error) {
      if (error instanceof MirrorError) return new Set()
      throw error
    }
  }

  #read(path: IndexPath, checksum: Checksum): IndexFile {
    const file = indexFileByHash(path, checksum)
    let bytes: Uint8Array
    try {
      bytes = readFileSync(join(this.#root, file))
    } catch (error) {
      throw new MirrorError('damaged', `${file} cannot be read; run verify --repair`, {
        cause: error,
      })
    }
    if (sha256(bytes) !== checksum) {
      throw new MirrorError('damaged', `${file} does not match its name; run verify --repair`)
    }
    return readIndexFile(bytes, path, { signed: true })
  }
}

/** A tile of the base that is not here any more stands for nothing: all below it counts as new. */
function whatIsLeft(load: LoadTiles): LoadTiles {
  return withoutLost(load, (_, error) => {
    if (!(error instanceof MirrorError)) throw error
  })
}

/** Crates that did not change, of which objects may be asked for all the same. */
async function addUnchanged(changes: Change[], target: TileRef, load: LoadTiles): Promise<void> {
  const changed = new Set(changes.map(({ path }) => path))
  for await (const { path, sha256: file } of entriesOf(target, load)) {
    if (!changed.has(path)) changes.push({ path, before: file, after: file })
  }
}

/** The root tile travels beside the volumes. */
async function newTiles(
  root: string,
  load: LoadTiles,
  before: TileRef,
  after: TileRef,
): Promise<SourcedMember[]> {
  const known = new Set<Checksum>()
  if (before.hash !== EMPTY_TREE.hash) {
    for await (const { hash } of walkTiles(before, whatIsLeft(load))) known.add(hash)
  }
  const members: SourcedMember[] = []
  const fresh: LoadTiles = async refs => await load(refs.filter(({ hash }) => !known.has(hash)))
  if (after.hash === EMPTY_TREE.hash) return members
  for await (const { position, hash } of walkTiles(after, fresh)) {
    if (position === ROOT) continue
    const source = join(root, tileFile(position, hash))
    members.push({
      path: tileMember(position, hash),
      size: statSync(source).size,
      sha256: hash,
      source,
    })
  }
  return members.sort(byPath)
}

function indexFileMember(root: string, { path, length, sha256: hash }: TreeEntry): SourcedMember {
  const source = join(root, indexFileByHash(path, hash))
  return { path: indexMember(path), size: length, sha256: hash, source }
}

const memberPath = ({ crate, version, checksum }: IndexFile['entries'][number]): string =>
  objectMember(crate, version, checksum)

const byPath = (a: { readonly path: string }, b: { readonly path: string }): number =>
  comparePaths(a.path, b.path)

/** With its slash, so that `serde-json/` comes before `serde/`, as their members do. */
const folderOf = (path: string): string => path.slice(0, path.lastIndexOf('/') + 1)
