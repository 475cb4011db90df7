import { randomUUID } from 'node:crypto'
import { existsSync, readdirSync, realpathSync, type Stats, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { MirrorError, quoted } from '../error.ts'
import { type Checksum, isChecksum, sha256 } from '../registry/checksum.ts'
import { discardFile, makeFolder, replaceFile, wrapped } from './durable.ts'
import {
  CONFIGURATION,
  CRATES,
  EVIDENCE,
  INDEX,
  MARKER,
  OWNERS,
  ownerFolder,
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
    const change = this.#change(statsOf(this.root))
    const uuid = change === 'the folder is gone' ? undefined : readMarker(this.root)?.uuid
    if (change !== undefined && (uuid ?? this.marker.uuid) === this.marker.uuid) {
      const advice = `insert the medium with mirror ${this.marker.uuid} again`
      throw new MirrorError('io', `${this.root}: ${change}; ${advice}`)
    }
    if (uuid === this.marker.uuid) return
    const message = `${this.root}: expected mirror ${this.marker.uuid}, found ${uuid ?? 'no marker'}`
    throw new MirrorError('no-mirror', message)
  }

  /** A link that now leads elsewhere, or a folder put in the place of ours, has another inode. */
  #change(found: Stats | undefined): string | undefined {
    if (found === undefined) return 'the folder is gone'
    if (found.dev !== this.#device) return `mount changed dev ${this.#device} → ${found.dev}`
    if (found.ino !== this.#inode) return 'another folder has taken its place'
    return undefined
  }
}

/** @throws {MirrorError} no-mirror where there is none; usage where its parts lie apart. */
export async function openMirror(folder: string): Promise<Mirror> {
  const root = resolve(folder)
  const marker = readMarker(root)
  if (marker === undefined) {
    throw new MirrorError('no-mirror', `${root} is no mirror: it has no ${MARKER}; use init`)
  }
  const shown = statsOf(join(root, PUBLIC))
  if (shown === undefined) throw new MirrorError('damaged', `${join(root, PUBLIC)} is missing`)
  if (shown.dev !== statsOf(join(root, STATE))?.dev) {
    throw new MirrorError(
      'usage',
      `${root}: ${PUBLIC}/ and ${STATE}/ must be on one file system, or nothing can be renamed in`,
    )
  }
  return new Mirror(root, marker)
}

const FORMAT = 1

function readMarker(root: string): Marker | undefined {
  if (statsOf(join(root, MARKER)) === undefined) return undefined
  const marker = readRecord(join(root, MARKER), isObject)
  if (marker === undefined || isMarker(marker)) return marker
  const { format } = marker
  if (Number.isSafeInteger(format) && format !== FORMAT) {
    const known = `this program reads ${FORMAT}`
    throw new MirrorError('no-mirror', `${root} is a mirror of format ${format}, ${known}`)
  }
  throw new MirrorError('damaged', `${join(root, MARKER)} has not the form of a marker`)
}

function isMarker(value: Record<string, unknown>): value is Record<string, unknown> & Marker {
  return (
    value['format'] === FORMAT &&
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
  // another root than the pinned one must not stay in its history
  for (const file of leftovers(root)) await discardFile(join(root, file))
  for (const name of FOLDERS) await makeFolder(join(root, name))
  const { pinnedRoot, trust } = options
  if (pinnedRoot !== undefined) {
    await write(root, `${ROOT_HISTORY}/${pinnedRoot.version}.root.json`, pinnedRoot.bytes)
  }
  await write(root, CONFIGURATION, Buffer.from(options.configuration))
  const fingerprint = pinnedRoot === undefined ? null : sha256(pinnedRoot.bytes)
  const marker: Marker = { format: FORMAT, uuid: randomUUID(), trust, root: fingerprint }
  await write(root, MARKER, recordBytes(marker))
  return new Mirror(root, marker)
}

const ROOT_HISTORY = `${TRUST.upstream}/root_history`
const FOLDERS = [
  INDEX,
  CRATES,
  TUF,
  PARTIALS,
  OWNERS,
  SNAPSHOTS,
  EVIDENCE,
  QUARANTINE,
  ROOT_HISTORY,
]

/** Nobody holds a lock yet: what is on its way lies where an owner's folder would. */
const ON_ITS_WAY = ownerFolder('init')

async function write(root: string, file: string, bytes: Uint8Array): Promise<void> {
  await replaceFile(join(root, file), bytes, { via: join(root, ON_ITS_WAY) })
}

/** What an init that was killed left behind; throws where a mirror cannot be made. */
function leftovers(root: string): string[] {
  const refusal = (why: string): MirrorError => new MirrorError('usage', `${quoted(root)} ${why}`)
  const found = statsOf(root)
  if (root === '/' || (found !== undefined && isHome(root))) {
    throw refusal('cannot be a mirror; use a folder of its own')
  }
  if (found === undefined) return []
  if (!found.isDirectory()) throw refusal('is not a folder')
  if (statsOf(join(root, MARKER)) !== undefined) throw refusal('is a mirror already')
  const files = filesOfInit(root)
  if (files === undefined) {
    throw refusal('is not empty and has no mirror marker; use an empty folder')
  }
  return files
}

function isHome(root: string): boolean {
  const home = homedir()
  return existsSync(home) && realpathSync(root) === realpathSync(home)
}

/**
 * The files of an init that did not come as far as the marker; undefined where there is anything
 * else. A configuration without the folders is not its work: they are made before.
 */
function filesOfInit(root: string): string[] | undefined {
  const names = readdirSync(root)
  if (!names.every(name => [PUBLIC, STATE, CONFIGURATION].includes(name))) return undefined
  if (names.includes(CONFIGURATION) && !existsSync(join(root, ROOT_HISTORY))) return undefined
  const entries = readdirSync(root, { recursive: true, withFileTypes: true })
  const files = entries
    .filter(entry => !entry.isDirectory())
    .map(entry => join(entry.parentPath, entry.name).slice(join(root, '/').length))
  return files.every(isOfInit) ? files : undefined
}

function isOfInit(file: string): boolean {
  if (file === CONFIGURATION || file === ON_ITS_WAY) return true
  return file.startsWith(`${ROOT_HISTORY}/`) && file.endsWith('.root.json')
}

function statsOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false })
  } catch (error) {
    throw wrapped(error, path)
  }
}
