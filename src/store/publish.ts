import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { MirrorError } from '../error.ts'
import { type Checksum, sha256 } from '../registry/checksum.ts'
import { configJson } from '../registry/config-json.ts'
import { type IndexPath, parseIndexPath } from '../registry/sparse-path.ts'
import { EMPTY_TREE } from '../tree/build.ts'
import { diff, type LoadTiles } from '../tree/diff.ts'
import { lookUp } from '../tree/prove.ts'
import { discardFile, flush } from './durable.ts'
import {
  ABSENT,
  CONFIG_JSON,
  HELD,
  INDEX,
  indexFile,
  indexFileByHash,
  NEXT,
  PUBLISHED,
  snapshotFile,
} from './layout.ts'
import { recordBytes } from './record.ts'
import { readNext, readPublished, type Snapshot, shownTree, shownUnderPath } from './snapshot.ts'
import { localTiles } from './tiles.ts'
import { vouch } from './vouch.ts'
import type { Writer } from './writer.ts'

/**
 * From a decision to a published snapshot. By now everything immutable that `next` needs is on the
 * disk under names nobody reads yet, and the metadata that vouches for it lies in `state/trust`.
 *
 *   decide     `state/next` is durable: from here every start of a writer only goes forward
 *   clear      before the first snapshot only: by-path files that its tree does not name go
 *   appear     by-path index files of what is not held; then one flush
 *   vouch      new roots, targets, snapshot, `timestamp.json` last: who follows the metadata
 *              sees the old state or the new one (P4); nothing where no upstream signs
 *   remove     by-path index files that are no longer named; then one flush
 *   conclude   `held.json`, `absent.json`, `snapshots/N.json`, `published`; `next` goes
 *
 * A crash before `decide` leaves the old snapshot and some unreferenced files; after it, the next
 * writer runs `finishNext`, which is the rest of this same sequence, each step a no-op where it
 * was already done.
 */
export async function publish(writer: Writer, next: Snapshot): Promise<void> {
  await writer.mirror.assertStillHere()
  await writer.replace(NEXT, recordBytes(next))
  await finishNext(writer)
}

/** Bytes that `next` needs were damaged on this disk after they had been decided on. */
export class IndexFileDamaged extends MirrorError {
  readonly indexPath: IndexPath
  readonly checksum: Checksum

  constructor(indexPath: IndexPath, checksum: Checksum, cause?: unknown) {
    const file = indexFileByHash(indexPath, checksum)
    super('damaged', `${file} is missing or does not match its name; run sync or verify --repair`, {
      cause,
    })
    this.indexPath = indexPath
    this.checksum = checksum
  }
}

/**
 * Finishes what was decided, without the network and without keys. Undefined: there was nothing.
 * @throws {IndexFileDamaged} `next` stays; whoever can fetch the file by its hash calls again.
 */
export async function finishNext(
  writer: Writer,
  load: LoadTiles = localTiles(writer.mirror.root),
): Promise<Snapshot | undefined> {
  const { root } = writer.mirror
  const next = readNext(root)
  if (next === undefined) return undefined
  const published = readPublished(root)
  // a crash after `published` and before `next` went: all is done but the last step
  if (published === undefined || published.n < next.n) {
    const changed = await Array.fromAsync(changedPaths(published, next, load))
    if (published === undefined) await clear(writer, changed)
    const gone = await appear(writer, changed)
    if (next.metadata !== null) await vouch(writer, 'upstream', next.metadata)
    await remove(writer, gone)
    await conclude(writer, next)
  }
  await discardFile(writer.at(NEXT))
  return next
}

/** One path whose file may change, with the checksum that must stand there; undefined: none. */
type ChangedPath = readonly [IndexPath, Checksum | undefined]

async function* changedPaths(
  published: Snapshot | undefined,
  next: Snapshot,
  load: LoadTiles,
): AsyncGenerator<ChangedPath> {
  const before = published === undefined ? EMPTY_TREE : shownTree(published)
  const otherwiseHeld = new Set(Object.keys({ ...published?.held, ...next.held }) as IndexPath[])
  const both = { before: load, after: load }
  for await (const { path, after } of diff(before, shownTree(next), both)) {
    otherwiseHeld.delete(path)
    yield [path, shownUnderPath(next, path, after?.sha256)]
  }
  for (const path of otherwiseHeld) {
    const entry = await lookUp(shownTree(next), path, load)
    yield [path, shownUnderPath(next, path, entry?.sha256)]
  }
}

/** Before the first snapshot crates appeared one by one: what its tree does not name must go. */
async function clear(writer: Writer, changed: readonly ChangedPath[]): Promise<void> {
  const { root } = writer.mirror
  const named = new Set(changed.flatMap(([path, checksum]) => (checksum ? [path] : [])))
  const names = readdirSync(join(root, INDEX), { recursive: true, encoding: 'utf8' })
  const paths = names.flatMap(name => parseIndexPath(name) ?? [])
  await remove(
    writer,
    paths.filter(path => !named.has(path)),
  )
}

/** Puts the new index files under their paths; returns the paths that must go. */
async function appear(writer: Writer, changed: readonly ChangedPath[]): Promise<IndexPath[]> {
  const { root } = writer.mirror
  const named: string[] = []
  const gone: IndexPath[] = []
  for (const [path, checksum] of changed) {
    if (checksum === undefined) {
      gone.push(path)
      continue
    }
    // the flush below covers the name; its bytes are verified once more before they get it
    assertWhole(root, path, checksum)
    await writer.link(indexFileByHash(path, checksum), indexFile(path))
    named.push(join(root, indexFile(path)))
  }
  await flush(root, inTheirFolders(named))
  return gone
}

function assertWhole(root: string, path: IndexPath, checksum: Checksum): void {
  let bytes: Uint8Array
  try {
    bytes = readFileSync(join(root, indexFileByHash(path, checksum)))
  } catch (error) {
    throw new IndexFileDamaged(path, checksum, error)
  }
  if (sha256(bytes) !== checksum) throw new IndexFileDamaged(path, checksum)
}

async function remove(writer: Writer, paths: readonly IndexPath[]): Promise<void> {
  for (const path of paths) await writer.remove(indexFile(path))
  const { folders } = inTheirFolders(paths.map(path => writer.at(indexFile(path))))
  // of a crate that is held from its first day there may be no folder yet
  const there = folders.filter(folder => existsSync(folder))
  await flush(writer.mirror.root, { files: [], folders: there })
}

function inTheirFolders(files: string[]): { files: string[]; folders: string[] } {
  return { files, folders: [...new Set(files.map(file => dirname(file)))] }
}

async function conclude(writer: Writer, next: Snapshot): Promise<void> {
  await replaceOrDiscard(writer, HELD, next.held)
  await replaceOrDiscard(writer, ABSENT, next.absent)
  await writer.replace(snapshotFile(next.n), recordBytes(next))
  await writer.mirror.assertStillHere()
  await writer.replace(PUBLISHED, recordBytes(next))
}

/** An empty record is no file. */
export async function replaceOrDiscard(
  writer: Writer,
  file: string,
  record: object,
): Promise<void> {
  if (Object.keys(record).length === 0) await discardFile(writer.at(file))
  else await writer.replace(file, recordBytes(record))
}

/** This mirror's own `config.json`: no hash names it, so it is written when the setting changed. */
export async function writeConfigJson(writer: Writer, url: string): Promise<void> {
  await writer.update(CONFIG_JSON, configJson({ url }))
}
