import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { MirrorError } from '../error.ts'
import { type Checksum, sha256 } from '../registry/checksum.ts'
import {
  type IndexFile,
  readIndexFile,
  rollbackOf,
  type Yanks,
  yanksOf,
} from '../registry/index-file.ts'
import type { Selection } from '../registry/selection.ts'
import { type IndexPath, nameOfPath, prefixOfPath } from '../registry/sparse-path.ts'
import type { Version } from '../registry/version.ts'
import { artifactFile, CRATES, indexFileByHash } from '../store/layout.ts'
import { withdrawnChecksums } from '../store/quarantine.ts'
import type { TreeEntry } from '../tree/entry.ts'
import type { Wanted } from '../upstream/upstream.ts'
import { isVerdict } from './faults.ts'
import { inParallel } from './in-parallel.ts'
import type { Change } from './plan.ts'
import type { Run, Source } from './run.ts'

/** One changed crate after its index file came and was compared with the one under its path. */
export interface Examined {
  readonly change: Change
  /** Artifacts that the index file names, that are selected, not withdrawn, and not here. */
  readonly wanted: readonly Wanted[]
  /** Published versions that are no longer in the file: all of them where the crate is gone. */
  readonly removed: readonly Version[]
  readonly yanks: Yanks
  /** Why the crate must be held whatever its artifacts are. */
  readonly refusal?: {
    readonly reason: string
    readonly isRollback: boolean
    /** The index file could not be had: nothing in it is refused. */
    readonly isMissing?: boolean
  }
  /** Bytes of an index file that is not here yet. */
  readonly fetched?: Uint8Array
  readonly warnings: readonly string[]
  /** Versions on two lines with different checksums: where one cannot be had nothing waits for it. */
  readonly disputed: ReadonlySet<Version>
}

/** Examines every change, some at a time; which comes first is chance. */
export function examineAll(
  run: Run,
  source: Source,
  changes: readonly Change[],
  selection: Selection | undefined,
): AsyncGenerator<Examined> {
  const { connections } = run.settings
  const { root } = run.writer.mirror
  const given = {
    run,
    source,
    selection,
    isHere: lookup(root),
    withdrawn: withdrawnChecksums(root),
  }
  return inParallel(
    changes,
    2 * connections,
    (change, signal) => examine({ ...given, signal }, change),
    run.signal,
  )
}

/** Says of an artifact whether it is here; in an empty mirror without asking the disk a million times. */
function lookup(root: string): (file: string) => boolean {
  const isEmpty = readdirSync(join(root, CRATES)).length === 0
  return isEmpty ? () => false : file => existsSync(join(root, file))
}

interface Examining {
  readonly run: Run
  readonly source: Source
  /** Undefined: everything is selected. */
  readonly selection: Selection | undefined
  readonly isHere: (file: string) => boolean
  readonly withdrawn: ReadonlySet<Checksum>
  readonly signal: AbortSignal
}

async function examine(examining: Examining, change: Change): Promise<Examined> {
  const { run, source, signal } = examining
  const { path, want } = change
  const old = publishedFile(run, change)
  const none = {
    change,
    wanted: [],
    removed: [],
    yanks: { yanked: [], unyanked: [] },
    warnings: [],
    disputed: new Set<Version>(),
  }
  if (want === undefined) return { ...none, removed: old?.entries.map(e => e.version) ?? [] }
  const here = readByHash(run, path, want.sha256)
  let isMissing = here === undefined
  try {
    const bytes = here ?? (await verifiedIndexFile(source, want, run.settings.tries, signal))
    isMissing = false
    const file = readIndexFile(bytes, path, { signed: true })
    return {
      change,
      ...(here === undefined && { fetched: bytes }),
      ...judged(examining, change, old, file),
    }
  } catch (error) {
    if (!isVerdict(error, signal)) throw error
    const reason = `index file: ${error.message}`
    return { ...none, refusal: { reason, isRollback: false, isMissing } }
  }
}

/**
 * The per-crate rollback rule: a published checksum never changes, whoever signs the new file. The
 * new bytes come all the same, under their own checksum: whoever has to judge needs both.
 */
function judged(
  examining: Examining,
  { path }: Change,
  old: IndexFile | undefined,
  file: IndexFile,
): Omit<Examined, 'change' | 'fetched'> {
  const { changed, removed } = rollbackOf(old ?? file, file)
  const answer = {
    wanted: missingArtifacts(examining, path, file),
    removed,
    yanks: yanksOf(old ?? file, file),
    warnings: file.warnings.map(warning => `index/${path}: ${warning}`),
    disputed: file.disputed,
  }
  if (changed.length === 0 || examining.run.accepted.changed.has(nameOfPath(path))) return answer
  const reason = `rollback: ${changed.join(', ')} would change its checksum; --accept-changed ${nameOfPath(path)} lets it through`
  return { ...answer, refusal: { reason, isRollback: true } }
}

function missingArtifacts(
  { selection, isHere, withdrawn }: Examining,
  path: IndexPath,
  file: IndexFile,
): Wanted[] {
  const wanted = new Map<Checksum, Wanted>()
  const isSelected = selection?.of(path) ?? (() => true)
  for (const { crate, version, checksum } of file.entries) {
    if (!isSelected(version) || wanted.has(checksum) || withdrawn.has(checksum)) continue
    if (!isHere(artifactFile(prefixOfPath(path), checksum))) {
      wanted.set(checksum, { crate, version, checksum })
    }
  }
  return [...wanted.values()]
}

/** What stands under the path now. It is ours and was verified when it came; damage stops the run. */
function publishedFile(run: Run, { path, have }: Change): IndexFile | undefined {
  if (have === undefined) return undefined
  const bytes = readByHash(run, path, have)
  if (bytes === undefined) {
    throw new MirrorError(
      'damaged',
      `${indexFileByHash(path, have)} is missing; run verify --repair`,
    )
  }
  return readIndexFile(bytes, path, { signed: true })
}

/** The file of that name here; undefined: none. */
export function readByHash(run: Run, path: IndexPath, checksum: Checksum): Uint8Array | undefined {
  const file = indexFileByHash(path, checksum)
  if (!existsSync(run.writer.at(file))) return undefined
  const bytes = readFileSync(run.writer.at(file))
  if (sha256(bytes) === checksum) return bytes
  throw new MirrorError('damaged', `${file} does not match its name; run verify --repair`)
}

/** What a tree may state and we take: more is no index file that cargo or crates.io would know. */
const LENGTH_MAX = 64 * 1024 * 1024

/** Wrong bytes are asked for again: a proxy or a torn cache may be in between. */
export async function verifiedIndexFile(
  source: Pick<Source, 'name' | 'indexFile'>,
  want: TreeEntry,
  tries: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  if (want.length < 1 || want.length > LENGTH_MAX) {
    const most = `1 to ${LENGTH_MAX} are taken`
    throw new MirrorError('refused', `index/${want.path} has ${want.length} bytes, ${most}`)
  }
  for (let attempt = 1; ; attempt += 1) {
    const bytes = await source.indexFile(want, { signal })
    const found = sha256(bytes)
    if (bytes.length === want.length && found === want.sha256) return bytes
    if (attempt < tries) continue
    throw new MirrorError(
      'incomplete',
      `${source.name} serves ${bytes.length} bytes with sha256 ${found} where the tree says ${want.length} and ${want.sha256}, asked ${tries} times`,
    )
  }
}
