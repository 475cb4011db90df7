import { statSync } from 'node:fs'
import { join } from 'node:path'
import { MirrorError } from '../error.ts'
import { configJson } from '../registry/config-json.ts'
import type { CrateName } from '../registry/crate-name.ts'
import { type IndexPath, indexPath } from '../registry/sparse-path.ts'
import type { Version } from '../registry/version.ts'
import { rootNumbers } from '../store/chain-files.ts'
import { CONFIG_JSON, NEXT, PUBLISHED, SITE, TRUST } from '../store/layout.ts'
import { openMirror } from '../store/mirror.ts'
import { readWithdrawn } from '../store/quarantine.ts'
import { readNext, type Snapshot, shownTree } from '../store/snapshot.ts'
import type { Traffic } from '../upstream/traffic.ts'
import type { Progress } from './run.ts'
import { chainFindings, strayMetadata } from './verify-chain.ts'
import { CrateFiles } from './verify-crates.ts'
import { Expected } from './verify-expected.ts'
import { Files, readRegular } from './verify-files.ts'
import { type Fault, type Finding, fault, isFault, warning } from './verify-finding.ts'
import { recordFindings, shownSnapshot } from './verify-records.ts'
import { selectionFindings } from './verify-selection.ts'
import { namedPaths, tilesOf } from './verify-tiles.ts'

/** How deep a verification goes: everything, the whole index, or these crates and versions. */
export type Target =
  | { readonly kind: 'all' }
  | { readonly kind: 'index' }
  | {
      readonly kind: 'crates'
      readonly crates: readonly { readonly name: CrateName; readonly version?: Version }[]
    }
  /** So many crates that follow one in the order of their paths; null: from the first. */
  | {
      readonly kind: 'following'
      readonly after: IndexPath | null
      readonly count: number
      readonly onRead: (path: IndexPath) => void
    }

export interface VerifyOptions {
  readonly target: Target
  /** What config.json must say. */
  readonly url: string
  readonly progress: Progress
  readonly now: Date
  readonly signal: AbortSignal
  /** How fast files may be read; without it as fast as they come. */
  readonly pace?: Traffic
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

/** Another one wherever a writer has decided on a snapshot, published it, or shown a signature. */
function stampOf(root: string): string {
  const stamps = [PUBLISHED, NEXT, `${SITE}/timestamp.json`].map(name => {
    const stats = statSync(join(root, name), { bigint: true, throwIfNoEntry: false })
    return `${stats?.ino} ${stats?.mtimeNs}`
  })
  return stamps.join()
}

async function* findings(
  root: string,
  { shown, next }: State,
  { target, url, progress, now, signal, pace }: VerifyOptions,
): AsyncGenerator<Finding> {
  yield* recordFindings(root, shown, next)
  if (shown === undefined) return
  const snapshots = next === undefined ? [shown] : [shown, next]
  yield* upstreamFindings(root, snapshots, now)
  yield* siteFindings(root, snapshots, now)
  yield* configFindings(root, url)
  const lost: Fault[] = []
  const named = await namedPaths(root, shown.tree, lost)
  const pruned = shown.pruned && (await namedPaths(root, shown.pruned.tree, lost))
  yield* lost
  if (lost.length > 0) {
    // an entry that is not known must not make its files look like strangers
    yield warning('what the lost tiles name is not verified until they are mended')
    return
  }
  const selection = yield* selectionFindings(root, shown)
  const files = new Files(root, { progress, signal, pace })
  const withdrawn = readWithdrawn(root)
  const expected = new Expected(root, { shown, next, named, pruned, selection })
  const crates = new CrateFiles(root, { expected, files, withdrawn })
  if (target.kind === 'crates') {
    for (const { name, version } of target.crates) yield* crates.one(indexPath(name), version)
    return
  }
  if (target.kind === 'following') {
    for (const path of following(target, expected.paths())) {
      if (expected.whole(path) !== undefined) yield* crates.one(path, undefined)
      target.onRead(path)
    }
    return
  }
  yield* crates.all({ withArtifacts: target.kind === 'all' })
}

function following(
  { after, count }: Extract<Target, { readonly kind: 'following' }>,
  paths: readonly IndexPath[],
): readonly IndexPath[] {
  const first = after === null ? 0 : paths.findIndex(path => path > after)
  return first < 0 ? [] : paths.slice(first, first + count)
}

/** The chain followed. A mirror that only observes has none: what it shows is its own observation. */
async function* upstreamFindings(
  root: string,
  snapshots: readonly Snapshot[],
  now: Date,
): AsyncGenerator<Finding> {
  const { marker } = await openMirror(root)
  if (marker.trust === 'observed') {
    yield* strayMetadata(root, 'upstream')
    return
  }
  const states = snapshots.flatMap(({ metadata, tree }) => (metadata ? [{ metadata, tree }] : []))
  yield* chainFindings(root, 'upstream', { pinned: marker.root, states, now })
}

/** The site's own chain, and the tiles of its tree where that lags behind what is published. */
async function* siteFindings(
  root: string,
  snapshots: readonly Snapshot[],
  now: Date,
): AsyncGenerator<Finding> {
  if (rootNumbers(join(root, TRUST.site)).length === 0) {
    yield* strayMetadata(root, 'site')
    return
  }
  const tree = yield* chainFindings(root, 'site', { pinned: null, states: [], now })
  if (tree === undefined || snapshots.some(snapshot => shownTree(snapshot).hash === tree)) return
  const lost: Fault[] = []
  for await (const _tile of tilesOf(root, tree, lost));
  yield* lost
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
