import { MirrorError } from '../error.ts'
import { type Checksum, sha256 } from '../registry/checksum.ts'
import type { CrateName } from '../registry/crate-name.ts'
import { readIndexFile } from '../registry/index-file.ts'
import { indexPath } from '../registry/sparse-path.ts'
import type { Version } from '../registry/version.ts'
import { indexFileByHash, PUBLIC, tileFile } from '../store/layout.ts'
import { rootRef } from '../store/snapshot.ts'
import type { LoadTiles } from '../tree/diff.ts'
import type { TileRef, TreeEntry } from '../tree/entry.ts'
import { wayTo } from '../tree/prove.ts'
import { parseTile } from '../tree/tile.ts'
import { openEnvelope } from '../trust/envelope.ts'
import type { Instant } from '../trust/instant.ts'
import type { Metadata, RoleType } from '../trust/metadata.ts'
import { indexTreeOf } from '../trust/targets.ts'
import { countedKeys } from '../trust/threshold.ts'
import { TrustedSet } from '../trust/trusted.ts'

/** A file by the name it has below `public/`; undefined: there is none. */
export type ReadFile = (name: string) => Uint8Array | undefined

/** Where the metadata of a chain lies below `public/`. */
export type ChainFolder = 'tuf' | 'site'

/** One metadata file on the way, and the keys that count for it. */
interface SignedStep {
  readonly role: RoleType
  readonly version: number
  readonly expires: Instant
  readonly threshold: number
  readonly signers: readonly string[]
}

/** The way from a root to the checksum of one version, each step verified. */
export interface ChainWalk {
  readonly crate: CrateName
  readonly version: Version
  /** From the root that is pinned to timestamp, snapshot, targets. */
  readonly metadata: readonly SignedStep[]
  readonly tree: Checksum
  /** From the root tile down. */
  readonly tiles: readonly TileRef[]
  readonly entry: TreeEntry
  /** SHA-256 of the artifact. */
  readonly checksum: Checksum
  /** The files that were read, all that another one needs to go the same way. */
  readonly files: ReadonlyMap<string, Uint8Array>
}

/**
 * Walks from a pinned root through metadata, tiles and index file to what the index says of one
 * version. Asks no clock and no network: whoever wants to know how old it is reads the dates.
 * @throws {MirrorError} signature, refused; damaged where a file on the way is missing
 */
export async function walkChain(
  read: ReadFile,
  { pinned, folder }: { readonly pinned: Uint8Array; readonly folder: ChainFolder },
  wanted: { readonly crate: CrateName; readonly version: Version },
): Promise<ChainWalk> {
  const taken = new Taken(read)
  const { metadata, tree } = walkMetadata(taken, { pinned, folder })
  const path = indexPath(wanted.crate)
  const load: LoadTiles = async refs =>
    refs.map(ref => parseTile(taken.need(below(tileFile(ref.position, ref.hash))), ref))
  const { tiles, entry } = await wayTo(rootRef(tree), path, load)
  if (entry === undefined) {
    throw new MirrorError('signature', `${path} is not in the tree ${tree}: proved absent`)
  }
  const name = below(indexFileByHash(entry.path, entry.sha256))
  const bytes = taken.need(name)
  const found = sha256(bytes)
  if (found !== entry.sha256 || bytes.length !== entry.length) {
    throw new MirrorError('signature', `${name}: sha256 ${found}, expected ${entry.sha256}`)
  }
  const { entries } = readIndexFile(bytes, entry.path, { signed: true })
  const line = entries.find(({ version }) => version === wanted.version)
  if (line === undefined) {
    throw new MirrorError('signature', `${name}: no version ${wanted.version} of ${wanted.crate}`)
  }
  const { checksum } = line
  return { ...wanted, metadata, tree, tiles, entry, checksum, files: taken.files }
}

/** What was read on the way. */
class Taken {
  readonly files = new Map<string, Uint8Array>()
  readonly #read: ReadFile

  constructor(read: ReadFile) {
    this.#read = read
  }

  has(name: string): boolean {
    return this.#read(name) !== undefined
  }

  need(name: string): Uint8Array {
    const bytes = this.#read(name)
    if (bytes === undefined) throw new MirrorError('damaged', `${name} is missing`)
    this.files.set(name, bytes)
    return bytes
  }
}

function walkMetadata(
  taken: Taken,
  { pinned, folder }: { readonly pinned: Uint8Array; readonly folder: ChainFolder },
): { readonly metadata: readonly SignedStep[]; readonly tree: Checksum } {
  const trusted = new TrustedSet(pinned, 'the pinned root')
  // for the eye: whoever checks has a root from elsewhere
  taken.files.set(`${folder}/${trusted.root.version}.root.json`, pinned)
  const steps: SignedStep[] = [stepOf('root', trusted.root, trusted)]
  for (;;) {
    const name = `${folder}/${trusted.root.version + 1}.root.json`
    if (!taken.has(name)) break
    trusted.updateRoot(taken.need(name), name)
    steps.push(stepOf('root', trusted.root, trusted))
  }
  const timestampAt = `${folder}/timestamp.json`
  trusted.setTimestamp(trusted.readTimestamp(taken.need(timestampAt), timestampAt))
  const { timestamp } = trusted
  const snapshotAt = `${folder}/${timestamp.snapshot.version}.snapshot.json`
  trusted.setSnapshot(trusted.readSnapshot(taken.need(snapshotAt), snapshotAt))
  const { snapshot } = trusted
  const targetsAt = `${folder}/${snapshot.targets.version}.targets.json`
  trusted.setTargets(trusted.readTargets(taken.need(targetsAt), targetsAt))
  const { targets } = trusted
  steps.push(stepOf('timestamp', timestamp, trusted))
  steps.push(stepOf('snapshot', snapshot, trusted))
  steps.push(stepOf('targets', targets, trusted))
  return { metadata: steps, tree: indexTreeOf(targets).tree }
}

function stepOf(role: RoleType, metadata: Metadata, { root }: TrustedSet): SignedStep {
  const { version, expires, bytes, file } = metadata
  const { threshold } = root.roles[role]
  const signers = [...countedKeys(openEnvelope(bytes, file), root.roles[role])]
  return { role, version, expires, threshold, signers }
}

function below(file: string): string {
  return file.slice(PUBLIC.length + 1)
}
