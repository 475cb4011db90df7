import { MirrorError, quoted } from '../error.ts'
import type { Delegation } from './delegations.ts'
import { openEnvelope } from './envelope.ts'
import { requireHashes } from './hashes.ts'
import type { Metadata } from './metadata.ts'
import type { How } from './public-key.ts'
import { type Root, readRoot } from './root.ts'
import {
  type MetaFile,
  readSnapshot,
  readTimestamp,
  type Snapshot,
  type Timestamp,
} from './snapshot.ts'
import { readTargets, type Targets } from './targets.ts'
import { requireThreshold } from './threshold.ts'

/**
 * What is believed so far of one chain. Takes bytes in the order of the workflow and moves on, or
 * throws and has not moved. Knows no clock and no floors: `refresh` adds those, `verifyChain` not.
 */
export class TrustedSet {
  #root: Root
  #timestamp: Timestamp | undefined
  #snapshot: Snapshot | undefined
  #targets: Targets | undefined

  /** The first root must verify against itself (TUF 5.2); its expiry does not matter. */
  constructor(root: Uint8Array, file: string, how?: How) {
    const envelope = openEnvelope(root, file)
    const parsed = readRoot(envelope)
    requireThreshold(envelope, parsed.roles.root, `root ${parsed.version}`, how)
    this.#root = parsed
  }

  get root(): Root {
    return this.#root
  }

  get timestamp(): Timestamp {
    return reached(this.#timestamp, 'timestamp')
  }

  get snapshot(): Snapshot {
    return reached(this.#snapshot, 'snapshot')
  }

  get targets(): Targets {
    return reached(this.#targets, 'targets')
  }

  /** TUF 5.3.4 and 5.3.5: the threshold of the old keys and of the new ones, and exactly N+1. */
  updateRoot(bytes: Uint8Array, file: string): void {
    const envelope = openEnvelope(bytes, file)
    const next = readRoot(envelope)
    requireThreshold(envelope, this.#root.roles.root, `root ${this.#root.version}`)
    requireThreshold(envelope, next.roles.root, `root ${next.version}`)
    requireVersion(next, this.#root.version + 1)
    this.#root = next
  }

  /** TUF 5.4.2. */
  readTimestamp(bytes: Uint8Array, file: string, how?: How): Timestamp {
    const envelope = openEnvelope(bytes, file)
    const { roles, version } = this.#root
    requireThreshold(envelope, roles.timestamp, `root ${version}`, how)
    return readTimestamp(envelope)
  }

  setTimestamp(timestamp: Timestamp): void {
    this.#timestamp = timestamp
  }

  /** TUF 5.5.2 to 5.5.4: hashes before signatures, then the threshold, then the version. */
  readSnapshot(bytes: Uint8Array, file: string, how?: How): Snapshot {
    const meta = this.timestamp.snapshot
    requireMeta(bytes, meta, file)
    const envelope = openEnvelope(bytes, file)
    requireThreshold(envelope, this.#root.roles.snapshot, `root ${this.#root.version}`, how)
    const snapshot = readSnapshot(envelope)
    requireVersion(snapshot, meta.version)
    return snapshot
  }

  setSnapshot(snapshot: Snapshot): void {
    this.#snapshot = snapshot
  }

  /** TUF 5.6.2 to 5.6.4. */
  readTargets(bytes: Uint8Array, file: string, how?: How): Targets {
    const meta = this.snapshot.targets
    requireMeta(bytes, meta, file)
    const envelope = openEnvelope(bytes, file)
    requireThreshold(envelope, this.#root.roles.targets, `root ${this.#root.version}`, how)
    const targets = readTargets(envelope)
    requireVersion(targets, meta.version)
    return targets
  }

  setTargets(targets: Targets): void {
    this.#targets = targets
  }

  /** TUF 5.6.7: a delegated role, by the keys of this delegator and the version in the snapshot. */
  readDelegated(
    bytes: Uint8Array,
    { file, meta }: { readonly file: string; readonly meta: MetaFile },
    delegation: Delegation,
    how?: How,
  ): Targets {
    return readDelegated(bytes, { file, meta, listedIn: this.snapshot.file }, delegation, how)
  }
}

/** The version of a root that verifies against itself, as `init` pins it. */
export function verifyRoot(bytes: Uint8Array, file: string): number {
  return new TrustedSet(bytes, file).root.version
}

/** A role as the snapshot lists it, by the keys of one delegator. */
export function readDelegated(
  bytes: Uint8Array,
  {
    file,
    meta,
    listedIn,
  }: { readonly file: string; readonly meta: MetaFile | undefined; readonly listedIn: string },
  delegation: Delegation,
  how?: How,
): Targets {
  if (meta === undefined) {
    const { name, delegator } = delegation
    throw new MirrorError(
      'signature',
      `${listedIn}: role ${quoted(name)}, to which ${delegator} delegates, is not listed`,
    )
  }
  requireMeta(bytes, meta, file)
  const envelope = openEnvelope(bytes, file)
  requireThreshold(envelope, delegation, delegation.delegator, how)
  const targets = readTargets(envelope, delegation.name)
  requireVersion(targets, meta.version)
  return targets
}

function reached<Role>(role: Role | undefined, name: string): Role {
  if (role === undefined) throw new Error(`${name} is asked for before it is verified`)
  return role
}

/** Length and hashes that the parent states, where it states them. */
export function requireMeta(bytes: Uint8Array, meta: MetaFile, file: string): void {
  if (meta.length !== undefined && bytes.length !== meta.length) {
    throw new MirrorError(
      'signature',
      `${file}: ${bytes.length} bytes, expected ${meta.length} as stated`,
    )
  }
  if (meta.hashes !== undefined) requireHashes(bytes, meta.hashes, file)
}

/** What was kept counts only while it verifies: by another delegator's keys, or damaged, it is had again. */
export function unlessRefused<Read>(read: () => Read): Read | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof MirrorError) return undefined
    throw error
  }
}

function requireVersion({ file, version }: Metadata, expected: number): void {
  if (version === expected) return
  throw new MirrorError('signature', `${file}: version ${version}, expected ${expected}`)
}
