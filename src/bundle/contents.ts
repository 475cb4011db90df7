import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { MirrorError } from '../error.ts'
import { type Checksum, sha256 } from '../registry/checksum.ts'
import type { CrateName } from '../registry/crate-name.ts'
import { type IndexFile, readIndexFile } from '../registry/index-file.ts'
import { type IndexPath, prefixOfPath } from '../registry/sparse-path.ts'
import type { Version } from '../registry/version.ts'
import { artifactFile, indexFileByHash, tileFile } from '../store/layout.ts'
import { rootRef } from '../store/snapshot.ts'
import { localTiles } from '../store/tiles.ts'
import { EMPTY_TREE } from '../tree/build.ts'
import { type Difference, diff, type LoadTiles } from '../tree/diff.ts'
import { ROOT, type TileRef } from '../tree/entry.ts'
import { walkTiles } from '../tree/walk.ts'
import { comparePaths, indexMember, objectMember, tileMember } from './member.ts'
import type { PlannedMember } from './volume-plan.ts'

/** Two states of an index whose tiles and index files are in the same mirror; no base: everything. */
export interface States {
  readonly target: Checksum
  readonly base: Checksum | undefined
}

/** An object that the target names and that is not in the mirror. */
export interface MissingObject {
  readonly crate: CrateName
  readonly version: Version
  readonly checksum: Checksum
}

/**
 * What leads from one state to another, in the order in which it lies in volumes: tiles and index
 * files that the base does not have, and objects that it does not list. Objects are told crate by
 * crate, since a whole registry has millions.
 */
export class Contents {
  readonly tiles: readonly PlannedMember[]
  readonly indexFiles: readonly PlannedMember[]
  readonly #root: string
  readonly #changes: readonly Difference[]

  private constructor(
    root: string,
    given: {
      readonly tiles: readonly PlannedMember[]
      readonly indexFiles: readonly PlannedMember[]
      readonly changes: readonly Difference[]
    },
  ) {
    this.#root = root
    this.tiles = given.tiles
    this.indexFiles = given.indexFiles
    this.#changes = given.changes
  }

  /** @throws {MirrorError} damaged where a tile is not right */
  static async of(root: string, { target, base }: States): Promise<Contents> {
    const load = localTiles(root)
    const before = base === undefined ? EMPTY_TREE : rootRef(base)
    const after = rootRef(target)
    const changes = await Array.fromAsync(diff(before, after, { before: load, after: load }))
    const named = changes.flatMap(({ after }) => after ?? [])
    return new Contents(root, {
      tiles: await newTiles(root, load, before, after),
      indexFiles: named
        .map(({ path, length, sha256 }) => ({ path: indexMember(path), size: length, sha256 }))
        .sort(byPath),
      changes: changes.filter(({ after }) => after !== undefined),
    })
  }

  /**
   * Each object once, at the lower of its paths.
   * @throws {MirrorError} damaged where an index file is not right
   */
  *objects(missing: (object: MissingObject) => void): Generator<PlannedMember> {
    const told = new Set<Checksum>()
    const folders = Map.groupBy(this.#folders(), ({ folder }) => folder)
    for (const folder of [...folders.keys()].sort(comparePaths)) {
      const changes = folders.get(folder) ?? []
      const members = changes.flatMap(({ change }) => this.#objectsOf(change, missing))
      for (const member of members.sort(byPath)) {
        if (folderOf(member.path) !== folder || told.has(member.sha256)) continue
        told.add(member.sha256)
        yield member
      }
    }
  }

  /** A crate has a folder for each way its name is spelled; what lies by its hash has one for all. */
  *#folders(): Generator<{ readonly folder: string; readonly change: Difference }> {
    for (const change of this.#changes) {
      const paths = this.#added(change).map(one =>
        objectMember(one.crate, one.version, one.checksum),
      )
      for (const folder of new Set(paths.map(folderOf))) yield { folder, change }
    }
  }

  #objectsOf(change: Difference, missing: (object: MissingObject) => void): PlannedMember[] {
    const members: PlannedMember[] = []
    for (const { crate, version, checksum } of this.#added(change)) {
      const file = join(this.#root, artifactFile(prefixOfPath(change.path), checksum))
      const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0
      if (size === 0) missing({ crate, version, checksum })
      else members.push({ path: objectMember(crate, version, checksum), size, sha256: checksum })
    }
    return members
  }

  /** Entries of the target that the base does not have. */
  #added({ path, before, after }: Difference): IndexFile['entries'] {
    const known = before && this.#read(path, before.sha256)
    const listed = new Set(known?.entries.map(({ checksum }) => checksum))
    const { entries } = this.#read(path, after?.sha256)
    return entries.filter(({ checksum }) => !listed.has(checksum))
  }

  #read(path: IndexPath, checksum: Checksum | undefined): IndexFile {
    if (checksum === undefined) throw new Error(`${path} has no index file`)
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

/** The root tile travels beside the volumes. */
async function newTiles(
  root: string,
  load: LoadTiles,
  before: TileRef,
  after: TileRef,
): Promise<PlannedMember[]> {
  const known = new Set<Checksum>()
  if (before.hash !== EMPTY_TREE.hash) {
    for await (const { hash } of walkTiles(before, load)) known.add(hash)
  }
  const members: PlannedMember[] = []
  const fresh: typeof load = async refs => await load(refs.filter(({ hash }) => !known.has(hash)))
  if (after.hash === EMPTY_TREE.hash) return members
  for await (const { position, hash } of walkTiles(after, fresh)) {
    if (position === ROOT) continue
    const { size } = statSync(join(root, tileFile(position, hash)))
    members.push({ path: tileMember(position, hash), size, sha256: hash })
  }
  return members.sort(byPath)
}

const byPath = (a: { readonly path: string }, b: { readonly path: string }): number =>
  comparePaths(a.path, b.path)

/** With its slash, so that `serde-json/` comes before `serde/`, as their members do. */
const folderOf = (path: string): string => path.slice(0, path.lastIndexOf('/') + 1)
