import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { MirrorError } from '../error.ts'
import { configJson } from '../registry/config-json.ts'
import type { CrateName } from '../registry/crate-name.ts'
import { type IndexPath, indexPath } from '../registry/sparse-path.ts'
import type { Version } from '../registry/version.ts'
import { CONFIG_JSON, NEXT, SITE, tileFile } from '../store/layout.ts'
import { openMirror } from '../store/mirror.ts'
import { readNext, rootRef, type Snapshot } from '../store/snapshot.ts'
import { readTile } from '../store/tiles.ts'
import type { TileRef } from '../tree/entry.ts'
import { parseTile, type Tile, TileRefused } from '../tree/tile.ts'
import { walkTiles } from '../tree/walk.ts'
import type { Progress } from './run.ts'
import { chainFindings } from './verify-chain.ts'
import { CrateFiles, type NamedPath } from './verify-crates.ts'
import { Files, readRegular } from './verify-files.ts'
import { type Fault, type Finding, fault, isFault, warning } from './verify-finding.ts'
import { recordFindings, shownSnapshot } from './verify-records.ts'

/** How deep a verification goes: everything, the whole index, or these crates and versions. */
export type Target =
  | { readonly kind: 'all' }
  | { readonly kind: 'index' }
  | {
      readonly kind: 'crates'
      readonly crates: readonly { readonly name: CrateName; readonly version?: Version }[]
    }

export interface VerifyOptions {
  readonly target: Target
  /** What config.json must say. */
  readonly url: string
  readonly progress: Progress
  readonly now: Date
  readonly signal: AbortSignal
}

/**
 * Reads a mirror back along the chain of trust: pinned root, metadata, tiles, index files,
 * artifacts (P18). Takes no lock and writes nothing. Where a newer snapshot is published meanwhile
 * it says so instead of calling what was replaced a fault.
 */
export async function* verify(root: string, options: VerifyOptions): AsyncGenerator<Finding> {
  const { target, progress, signal } = options
  progress.phase = 'verify'
  const shown = shownSnapshot(root)
  for await (const finding of findings(root, shown, options)) {
    signal.throwIfAborted()
    if (isFault(finding) && isReplaced(root, shown)) {
      yield warning('a newer snapshot was published meanwhile; run verify again')
      return
    }
    yield finding
  }
  if (target.kind === 'crates' && shown === undefined) {
    throw new MirrorError('incomplete', `${root}: nothing is published yet; run sync`)
  }
}

async function* findings(
  root: string,
  shown: Snapshot | undefined,
  { target, url, progress, now, signal }: VerifyOptions,
): AsyncGenerator<Finding> {
  yield* recordFindings(root, shown)
  if (shown === undefined) return
  const snapshots = [shown, ...nextOf(root)]
  const { marker } = await openMirror(root)
  yield* chainFindings(root, 'upstream', { pinned: marker.root, snapshots, now })
  if (existsSync(join(root, SITE))) {
    yield* chainFindings(root, 'site', { pinned: null, snapshots, now })
  }
  yield* configFindings(root, url)
  const lost: Fault[] = []
  const named = await namedPaths(root, shown, lost)
  yield* lost
  if (lost.length > 0) {
    // an entry that is not known must not make its files look like strangers
    yield warning('what the lost tiles name is not verified until they are mended')
    return
  }
  const crates = new CrateFiles(root, shown, named, new Files(root, progress, signal))
  if (target.kind === 'crates') {
    for (const { name, version } of target.crates) yield* crates.one(indexPath(name), version)
    return
  }
  yield* crates.all({ withArtifacts: target.kind === 'all' })
}

function nextOf(root: string): Snapshot[] {
  if (!existsSync(join(root, NEXT))) return []
  try {
    const next = readNext(root)
    return next === undefined ? [] : [next]
  } catch {
    // told by the findings on records
    return []
  }
}

/** By a record that others agree with: a damaged `published` is a fault of its own. */
function isReplaced(root: string, shown: Snapshot | undefined): boolean {
  return (shownSnapshot(root)?.n ?? 0) > (shown?.n ?? 0)
}

const CONFIG_BYTES_MAX = 65_536

function* configFindings(root: string, url: string): Generator<Finding> {
  const named = { named: { kind: 'config.json' } } as const
  const found = readRegular(root, CONFIG_JSON, CONFIG_BYTES_MAX)
  if (found === undefined) yield fault('missing', CONFIG_JSON, 'missing', named)
  else if (Buffer.compare(found, configJson({ url })) !== 0) {
    yield fault('damaged', CONFIG_JSON, `is not what serve.url (${url}) makes it`, named)
  }
}

/** What must stand under each path; entries below lost tiles are not known, and not judged. */
async function namedPaths(
  root: string,
  shown: Snapshot,
  lost: Fault[],
): Promise<Map<IndexPath, NamedPath>> {
  const named = new Map<IndexPath, NamedPath>()
  const find = async (refs: readonly TileRef[]): Promise<(Tile | undefined)[]> =>
    refs.map(ref => tileOr(root, ref, lost))
  for await (const tile of walkTiles(rootRef(shown.tree), find)) {
    if (tile.kind === 'node') continue
    for (const { path, length, sha256 } of tile.entries) named.set(path, { length, sha256 })
  }
  return named
}

function tileOr(root: string, ref: TileRef, lost: Fault[]): Tile | undefined {
  const file = tileFile(ref.position, ref.hash)
  const bytes = readTile(root, ref)
  const named = { named: { kind: 'tile', ref } } as const
  if (bytes === undefined) {
    lost.push(fault('missing', file, 'missing', named))
    return undefined
  }
  try {
    return parseTile(bytes, ref)
  } catch (error) {
    if (!(error instanceof TileRefused)) throw error
    lost.push(fault('damaged', file, error.message, named))
    return undefined
  }
}
