import type { MirrorError } from '../error.ts'
import type { Checksum } from '../registry/checksum.ts'
import type { CrateName } from '../registry/crate-name.ts'
import type { IndexPath } from '../registry/sparse-path.ts'
import type { Version } from '../registry/version.ts'
import type { Position, TreeEntry } from '../tree/entry.ts'
import type { Claim } from './claim.ts'

/** An artifact that an index line names and that is not here. */
export interface Wanted {
  readonly crate: CrateName
  readonly version: Version
  readonly checksum: Checksum
}

/**
 * An artifact's bytes from `offset` on, which is the offset asked for, or 0 where the upstream
 * cannot resume. A small body comes whole, in pieces, its connection already free; a large one, or one that
 * was cut, in chunks, the last of which may be a throw.
 */
export type ArtifactBody =
  | { readonly offset: number; readonly pieces: readonly Uint8Array[] }
  | { readonly offset: number; readonly chunks: AsyncIterable<Uint8Array> }

/** One artifact as a volume has it. */
export interface PassingArtifact {
  readonly claim: Claim
  readonly body: ArtifactBody
  /** Its bytes are not what they should be: another one may have them. */
  readonly lost: () => void
}

/** Many artifacts in one file, which is read forward. */
export interface ArtifactVolume {
  readonly name: string
  /** Made for the state that is imported: then it may not lie about paths. */
  readonly isForTarget: boolean
  /** Undefined where nobody knows before it is read. */
  claims(): readonly Claim[] | undefined
  members(
    isNeeded: (claim: Claim) => boolean,
    options: { readonly signal: AbortSignal },
  ): AsyncIterable<PassingArtifact>
}

/** What a mirror can be filled from. Gives bytes by name and believes nothing: whoever asks verifies. */
export interface Upstream {
  /** For messages: a URL without secrets, or a folder. */
  readonly name: string
  /** A metadata file's bytes, or undefined where the upstream has none: TUF must tell the two apart. */
  metadata(
    file: string,
    options: { readonly bytesMax: number; readonly signal: AbortSignal },
  ): Promise<Uint8Array | undefined>
  tile(
    position: Position,
    hash: Checksum,
    options: { readonly signal: AbortSignal },
  ): Promise<Uint8Array>
  /** By its hash first, by its path where the upstream has no such name; at most `entry.length` bytes. */
  indexFile(entry: TreeEntry, options: { readonly signal: AbortSignal }): Promise<Uint8Array>
  /** One attempt: whoever keeps the bytes knows from where to go on, and waits in `pause` before. */
  artifact(
    wanted: Wanted,
    options: { readonly offset: number; readonly signal: AbortSignal },
  ): Promise<ArtifactBody>
  /** The polite wait after failed attempt 1, 2, …; none after an error that waiting does not mend. */
  pause(
    attempt: number,
    error: MirrorError,
    options: { readonly signal: AbortSignal },
  ): Promise<void>
  /** Of media: their volumes in the order in which they are best read, before any artifact is asked for. */
  volumes?(tree: Checksum): Iterable<ArtifactVolume>
  close(): Promise<void>
}

/** An index file as it was seen; what was seen is not believed, only its own bytes are. */
export interface ObservedFile {
  readonly path: IndexPath
  readonly bytes: Uint8Array
}

/** An upstream without a tree: it yields index files as they are seen, and sync builds the tree. */
export interface ObservedUpstream extends Pick<Upstream, 'name' | 'artifact' | 'pause' | 'close'> {
  observe(options: { readonly signal: AbortSignal }): AsyncIterable<ObservedFile>
}
