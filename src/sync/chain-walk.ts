import { MirrorError } from '../error.ts'
import { type Checksum, sha256 } from '../registry/checksum.ts'
import type { CrateName } from '../registry/crate-name.ts'
import { readIndexFile } from '../registry/index-file.ts'
import { type IndexPath, indexPath } from '../registry/sparse-path.ts'
import type { Version } from '../registry/version.ts'
import { indexFileByHash, PUBLIC, tileFile } from '../store/layout.ts'
import { childTowards, keyOf, ROOT, type TileRef, type TreeEntry } from '../tree/entry.ts'
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
export function walkChain(
  read: ReadFile,
  { pinned, folder }: { readonly pinned: Uint8Array; readonly folder: ChainFolder },
  wanted: { readonly crate: CrateName; readonly version: Version },
): ChainWalk {
  const files = new Map<string, Uint8Array>()
  const keep = (name: string, bytes: Uint8Array): void => void files.set(name, bytes)
  const need = (name: string): Uint8Array => {
    const bytes = read(name)
    if (bytes === undefined) throw new MirrorError('damaged', `${name} is missing`)
    keep(name, bytes)
    return bytes
  }
  const { metadata, tree } = walkMetadata(read, need, keep, { pinned, folder })
  const { tiles, entry } = walkTree(need, tree, indexPath(wanted.crate))
  const name = below(indexFileByHash(entry.path, entry.sha256))
  const bytes = need(name)
  const found = sha256(bytes)
  if (found !== entry.sha256 || bytes.length !== entry.length) {
    throw new MirrorError('signature', `${name}: sha256 ${found}, expected ${entry.sha256}`)
  }
  const { entries } = readIndexFile(bytes, entry.path, { signed: true })
  const line = entries.find(({ version }) => version === wanted.version)
  if (line === undefined) {
    throw new MirrorError('signature', `${name}: no version ${wanted.version} of ${wanted.crate}`)
  }
  return { ...wanted, metadata, tree, tiles, entry, checksum: line.checksum, files }
}

function walkMetadata(
  read: ReadFile,
  need: (name: string) => Uint8Array,
  keep: (name: string, bytes: Uint8Array) => void,
  { pinned, folder }: { readonly pinned: Uint8Array; readonly folder: ChainFolder },
): { readonly metadata: readonly SignedStep[]; readonly tree: Checksum } {
  const trusted = new TrustedSet(pinned, 'the pinned root')
  keep(`${folder}/${trusted.root.version}.root.json`, pinned)
  const steps: SignedStep[] = [stepOf('root', trusted.root, trusted)]
  for (;;) {
    const name = `${folder}/${trusted.root.version + 1}.root.json`
    if (read(name) === undefined) break
    trusted.updateRoot(need(name), name)
    steps.push(stepOf('root', trusted.root, trusted))
  }
  const at = `${folder}/timestamp.json`
  trusted.setTimestamp(trusted.readTimestamp(need(at), at))
  const { timestamp } = trusted
  const snapshotAt = `${folder}/${timestamp.snapshot.version}.snapshot.json`
  trusted.setSnapshot(trusted.readSnapshot(need(snapshotAt), snapshotAt))
  const { snapshot } = trusted
  const targetsAt = `${folder}/${snapshot.targets.version}.targets.json`
  trusted.setTargets(trusted.readTargets(need(targetsAt), targetsAt))
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

function walkTree(
  need: (name: string) => Uint8Array,
  tree: Checksum,
  path: IndexPath,
): { readonly tiles: readonly TileRef[]; readonly entry: TreeEntry } {
  const key = keyOf(path)
  const tiles: TileRef[] = []
  for (let ref: TileRef = { position: ROOT, hash: tree, count: undefined }; ; ) {
    tiles.push(ref)
    const tile = parseTile(need(below(tileFile(ref.position, ref.hash))), ref)
    if (tile.kind === 'leaf') {
      const entry = tile.entries.find(one => one.path === path)
      if (entry !== undefined) return { tiles, entry }
      break
    }
    const position = childTowards(tile.position, key)
    const child = tile.children.find(one => one.position === position)
    if (child === undefined) break
    ref = child
  }
  throw new MirrorError('signature', `${path} is not in the tree ${tree}: proved absent`)
}

function below(file: string): string {
  return file.slice(PUBLIC.length + 1)
}
