import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { MirrorError } from '../error.ts'
import { configJson } from '../registry/config-json.ts'
import type { CrateName } from '../registry/crate-name.ts'
import { type IndexPath, indexPath } from '../registry/sparse-path.ts'
import type { Version } from '../registry/version.ts'
import { CONFIG_JSON, NEXT, PUBLISHED, SITE, tileFile } from '../store/layout.ts'
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
import { selectionFindings } from './verify-selection.ts'

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

/** More than this, and snapshots follow each other faster than they can be read. */
const PASSES_MAX = 5

/**
 * Reads a mirror back along the chain of trust: pinned root, metadata, tiles, index files,
 * artifacts (P18). Takes no lock and writes nothing. What seems a fault while a writer publishes
 * may only have been replaced: it is told if it is still one when all is read under the new
 * snapshot.
 */
export async function* verify(root: string, options: VerifyOptions): AsyncGenerator<Finding> {
  const { target, progress, signal } = options
  progress.phase = 'verify'
  const told = new Set<string>()
  for (let pass = 1, isMoving = true; isMoving; pass += 1) {
    if (pass > PASSES_MAX) {
      throw new MirrorError('incomplete', `${root}: a new snapshot in each of ${PASSES_MAX} passes`)
    }
    isMoving = false
    const state = stateOf(root)
    if (target.kind === 'crates' && state.shown === undefined) {
      throw new MirrorError('incomplete', `${root}: nothing is published yet; run sync`)
    }
    for await (const finding of findings(root, state, options)) {
      signal.throwIfAborted()
      if (told.has(finding.what)) continue
      if (isFault(finding) && stampOf(root) !== state.stamp) {
        isMoving = true
        continue
      }
      told.add(finding.what)
      yield finding
    }
  }
}

/** What readers are shown, and what a writer has decided to show them next. */
interface State {
  readonly stamp: string
  readonly shown: Snapshot | undefined
  readonly next: Snapshot | undefined
}

function stateOf(root: string): State {
  return { stamp: stampOf(root), shown: shownSnapshot(root), next: nextOf(root) }
}

/** Another one wherever a writer has decided on a snapshot or published it. */
function stampOf(root: string): string {
  const stamps = [PUBLISHED, NEXT].map(name => {
    const stats = statSync(join(root, name), { bigint: true, throwIfNoEntry: false })
    return `${stats?.ino} ${stats?.mtimeNs}`
  })
  return stamps.join()
}

async function* findings(
  root: string,
  { shown, next }: State,
  { target, url, progress, now, signal }: VerifyOptions,
): AsyncGenerator<Finding> {
  yield* recordFindings(root, shown, next)
  if (shown === undefined) return
  const snapshots = next === undefined ? [shown] : [shown, next]
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
  const selection = yield* selectionFindings(root, shown)
  const files = new Files(root, progress, signal)
  const crates = new CrateFiles(root, { shown, next, named, files, selection })
  if (target.kind === 'crates') {
    for (const { name, version } of target.crates) yield* crates.one(indexPath(name), version)
    return
  }
  yield* crates.all({ withArtifacts: target.kind === 'all' })
}

function nextOf(root: string): Snapshot | undefined {
  try {
    return readNext(root)
  } catch (error) {
    // told by the findings on records
    if (error instanceof MirrorError) return undefined
    throw error
  }
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
