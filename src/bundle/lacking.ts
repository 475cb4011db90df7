import { existsSync, readFileSync } from 'node:fs'
import { MirrorError } from '../error.ts'
import type { Checksum } from '../registry/checksum.ts'
import { type IndexFile, readIndexFile } from '../registry/index-file.ts'
import type { Selection } from '../registry/selection.ts'
import { prefixOfPath } from '../registry/sparse-path.ts'
import { breathe } from '../store/durable.ts'
import { artifactFile, indexFileByHash } from '../store/layout.ts'
import { withdrawnChecksums } from '../store/quarantine.ts'
import { rootRef } from '../store/snapshot.ts'
import { readTile } from '../store/tiles.ts'
import { EMPTY_TREE } from '../tree/build.ts'
import { ROOT, type TileRef, type TreeEntry } from '../tree/entry.ts'
import { parseTile, type Tile, TileRefused } from '../tree/tile.ts'
import { type FindTiles, walkTiles } from '../tree/walk.ts'
import { indexMember, objectMember } from './member.ts'

/** One line of a want-list. */
export type Lack =
  | { readonly kind: 'tile'; readonly checksum: Checksum; readonly what: string }
  | { readonly kind: 'index'; readonly checksum: Checksum; readonly what: string }
  | { readonly kind: 'object'; readonly checksum: Checksum; readonly what: string }

/**
 * What of a tree is not in the mirror, below the tiles that are. Of what is published and the same in
 * both trees nothing is looked at.
 */
export async function* lackingIn(
  root: string,
  {
    target,
    published,
    selection,
  }: {
    readonly target: Checksum
    readonly published: Checksum | undefined
    readonly selection: Selection | undefined
  },
): AsyncGenerator<Lack> {
  const known = await tilesOf(root, published)
  const lost: Lack[] = []
  const find: FindTiles = async refs => {
    const tiles: (Tile | undefined)[] = []
    for (const ref of refs) {
      await breathe()
      if (known.has(ref.hash)) continue
      const tile = tileHere(root, ref)
      if (tile === undefined) {
        lost.push({ kind: 'tile', checksum: ref.hash, what: ref.position || 'root' })
      } else tiles.push(tile)
    }
    return tiles
  }
  const withdrawn = withdrawnChecksums(root)
  if (target === EMPTY_TREE.hash) return
  for await (const tile of walkTiles(rootRef(target), find)) {
    yield* lost.splice(0)
    if (tile.kind === 'node') continue
    for (const entry of tile.entries) {
      await breathe()
      yield* lackingOf(root, entry, { withdrawn, selection })
    }
  }
  yield* lost
}

async function tilesOf(root: string, tree: Checksum | undefined): Promise<ReadonlySet<Checksum>> {
  const known = new Set<Checksum>()
  if (tree === undefined || tree === EMPTY_TREE.hash) return known
  const find: FindTiles = async refs => refs.map(ref => tileHere(root, ref))
  for await (const { hash, position } of walkTiles(rootRef(tree), find)) {
    if (position !== ROOT) known.add(hash)
  }
  return known
}

function tileHere(root: string, ref: TileRef): Tile | undefined {
  const bytes = readTile(root, ref)
  try {
    return bytes && parseTile(bytes, ref)
  } catch (error) {
    if (error instanceof TileRefused) return undefined
    throw error
  }
}

function* lackingOf(
  root: string,
  { path, sha256 }: TreeEntry,
  {
    withdrawn,
    selection,
  }: { readonly withdrawn: ReadonlySet<Checksum>; readonly selection: Selection | undefined },
): Generator<Lack> {
  const file = `${root}/${indexFileByHash(path, sha256)}`
  if (!existsSync(file)) {
    yield { kind: 'index', checksum: sha256, what: indexMember(path) }
    return
  }
  const isSelected = selection?.of(path) ?? (() => true)
  for (const { crate, version, checksum } of entriesIn(readFileSync(file), path)) {
    if (!isSelected(version) || withdrawn.has(checksum)) continue
    if (existsSync(`${root}/${artifactFile(prefixOfPath(path), checksum)}`)) continue
    yield { kind: 'object', checksum, what: objectMember(crate, version, checksum) }
  }
}

/** Of a file that is refused whole nothing is wanted. */
function entriesIn(bytes: Uint8Array, path: TreeEntry['path']): IndexFile['entries'] {
  try {
    return readIndexFile(bytes, path, { signed: true }).entries
  } catch (error) {
    if (error instanceof MirrorError) return []
    throw error
  }
}
