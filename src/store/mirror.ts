import { randomUUID } from 'node:crypto'
import { readdirSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { MirrorError, quoted } from '../error.ts'
import { type Checksum, isChecksum, sha256 } from '../registry/checksum.ts'
import { discardFile, makeFolder, replaceFile } from './durable.ts'
import {
  CONFIGURATION,
  CRATES,
  EVIDENCE,
  INDEX,
  MARKER,
  OWNERS,
  PARTIALS,
  PUBLIC,
  QUARANTINE,
  SNAPSHOTS,
  STATE,
  TRUST,
  TUF,
} from './layout.ts'
import { isObject, readRecord, recordBytes } from './record.ts'

/** What `init` wrote: whose mirror this is, and what it was made to believe. */
export interface Marker {
  readonly format: 1
  readonly uuid: string
  readonly trust: 'tuf' | 'observed'
  /** SHA-256 of the pinned root's bytes; null where nothing is pinned. */
  readonly root: Checksum | null
}

/** A mirror on its disk, known by the folder's device and inode and by its marker (P9). */
export class Mirror {
  readonly root: string
  readonly marker: Marker
  readonly #device: number
  readonly #inode: number

  constructor(root: string, marker: Marker) {
    this.root = root
    this.marker = marker
    const { dev, ino } = statSync(root)
    this.#device = dev
    this.#inode = ino
  }

  /**
   * Throws unless the same folder of the same mirror still lies here. Looked at before each commit,
   * because a medium that is pulled out leaves an empty mount point that takes writes in silence.
   */
  async assertStillHere(): Promise<void> {
    const found = statSync(this.root, { throwIfNoEntry: false })
    if (found === undefined || found.dev !== this.#device || found.ino !== this.#inode) {
      const change = found === undefined ? 'is gone' : `changed dev ${this.#device} → ${found.dev}`
      const advice = `insert the medium with mirror ${this.marker.uuid} again`
      throw new MirrorError('io', `${this.root}: mount ${change}; ${advice}`)
    }
    const { uuid } = readMarker(this.root)
    if (uuid === this.marker.uuid) return
    throw new MirrorError(
      'no-mirror',
      `${this.root}: expected mirror ${this.marker.uuid}, found ${uuid}`,
    )
  }
}

/** @throws {MirrorError} no-mirror where there is none; usage where its parts lie apart. */
export async function openMirror(folder: string): Promise<Mirror> {
  const root = resolve(folder)
  const marker = readMarker(root)
  const [shown, ours] = [PUBLIC, STATE].map(name => statSync(join(root, name)).dev)
  if (shown !== ours) {
    throw new MirrorError(
      'usage',
      `${root}: ${PUBLIC}/ and ${STATE}/ must be on one file system, or nothing can be renamed in`,
    )
  }
  return new Mirror(root, marker)
}

function readMarker(root: string): Marker {
  const marker = readRecord(join(root, MARKER), isMarker)
  if (marker !== undefined) return marker
  throw new MirrorError('no-mirror', `${root} is no mirror: it has no ${MARKER}; use init`)
}

function isMarker(value: unknown): value is Marker {
  return (
    isObject(value) &&
    value['format'] === 1 &&
    typeof value['uuid'] === 'string' &&
    (value['trust'] === 'tuf' || value['trust'] === 'observed') &&
    (value['root'] === null || isChecksum(value['root']))
  )
}

/**
 * Makes a mirror: folders, configuration, pinned root, and the marker last, so that a folder with a
 * marker has all of them; one that a crash left half made is made again.
 */
export async function createMirror(
  folder: string,
  options: {
    readonly trust: Marker['trust']
    readonly pinnedRoot?: { readonly version: number; readonly bytes: Uint8Array }
    readonly configuration: string
  },
): Promise<Mirror> {
  const root = resolve(folder)
  refuseUnlessFree(root)
  for (const name of FOLDERS) await makeFolder(join(root, name))
  const write = async (name: string, bytes: Uint8Array): Promise<void> => {
    const via = join(root, OWNERS, 'init')
    await discardFile(via)
    await makeFolder(join(root, name, '..'))
    await replaceFile(join(root, name), bytes, { via })
  }
  const { pinnedRoot, trust } = options
  if (pinnedRoot !== undefined) {
    const { version, bytes } = pinnedRoot
    await write(`${TRUST.upstream}/root_history/${version}.root.json`, bytes)
  }
  await write(CONFIGURATION, Buffer.from(options.configuration))
  const fingerprint = pinnedRoot === undefined ? null : sha256(pinnedRoot.bytes)
  const marker: Marker = { format: 1, uuid: randomUUID(), trust, root: fingerprint }
  await write(MARKER, recordBytes(marker))
  return new Mirror(root, marker)
}

const FOLDERS = [INDEX, CRATES, TUF, PARTIALS, OWNERS, SNAPSHOTS, EVIDENCE, QUARANTINE]
const MADE_BY_INIT = new Set([PUBLIC, STATE, CONFIGURATION])

function refuseUnlessFree(root: string): void {
  const refusal = (why: string): MirrorError => new MirrorError('usage', `${quoted(root)} ${why}`)
  if (root === '/' || root === homedir())
    throw refusal('cannot be a mirror; use a folder of its own')
  const found = statSync(root, { throwIfNoEntry: false })
  if (found === undefined) return
  if (!found.isDirectory()) throw refusal('is not a folder')
  if (statSync(join(root, MARKER), { throwIfNoEntry: false }) !== undefined) {
    throw refusal('is a mirror already')
  }
  // what an init that was killed left is its own: nothing public can be there without a marker
  const isFree = readdirSync(root).every(name => MADE_BY_INIT.has(name)) && !hasPublicFiles(root)
  if (!isFree) throw refusal('is not empty and has no mirror marker; use an empty folder')
}

function hasPublicFiles(root: string): boolean {
  if (statSync(join(root, PUBLIC), { throwIfNoEntry: false }) === undefined) return false
  const entries = readdirSync(join(root, PUBLIC), { recursive: true, withFileTypes: true })
  return entries.some(entry => !entry.isDirectory())
}
