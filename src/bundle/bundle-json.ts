import { MirrorError, quoted } from '../error.ts'
import { type Checksum, isChecksum, sha256 } from '../registry/checksum.ts'
import { canonicalJson } from '../trust/canonical.ts'
import type { Json } from '../trust/json.ts'
import {
  carriedBytes,
  hasOnly,
  isCount,
  isInstantText,
  isRecord,
  isText,
  parseCarried,
} from './carried-json.ts'
import { comparePaths, KINDS, type Kind, parseMember } from './member.ts'

/** The state that a bundle leads to, as its own metadata proves it. */
interface Target {
  readonly root: number
  readonly timestamp: number
  readonly snapshot: number
  readonly targets: number
  /** Of the root tile. */
  readonly tree: Checksum
  readonly entries: number
}

/** One volume, its exact size known before a byte is written. */
export interface PlannedVolume {
  readonly bytes: number
  /** Without its ending: `crates-00017`. */
  readonly file: string
  readonly first: string
  readonly last: string
  readonly members: number
}

/** What a bundle is; its SHA-256 names it. */
export interface Plan {
  readonly target: Target
  /** What the sender took to be there already; null: nothing, the bundle is full. */
  readonly base: { readonly targets: number; readonly tree: Checksum } | null
  /** Of the want-list that is answered. */
  readonly want: Checksum | null
  readonly volumeSize: number
  readonly volumes: readonly PlannedVolume[]
  /** Objects of the target that are not carried: how many, and the hash of their ascending hashes. */
  readonly prerequisites: { readonly count: number; readonly sha256: Checksum }
  /** Objects that the index lists and that upstream has no more; nobody believes this list. */
  readonly absent: readonly { readonly path: string; readonly sha256: Checksum }[]
}

export interface Bundle {
  readonly bundleId: Checksum
  readonly plan: Plan
  /** For each volume the number of its medium. */
  readonly media: readonly number[]
  readonly tool: string
  readonly createdAt: string
}

export const BUNDLE_BYTES_MAX: number = 4 * 1024 * 1024
const ABSENT_MAX = 10_000
const VOLUME_BYTES_MAX = 4_294_901_760

export function bundleIdOf(plan: Plan): Checksum {
  return sha256(canonicalJson(plan as unknown as Json))
}

/** The one `bundle.json` of all media. */
export function bundleBytes({ plan, media, tool, createdAt }: Omit<Bundle, 'bundleId'>): Buffer {
  const bundleId = bundleIdOf(plan)
  return carriedBytes({ format: 1, bundleId, plan, media, tool, createdAt })
}

/**
 * Reads what came on a medium. Everything in it is recomputed or a hint: it is not signed.
 * @throws {MirrorError} refused; no-mirror where it was made by a newer version
 */
export function readBundle(bytes: Uint8Array, name: string): Bundle {
  const refused = (why: string): MirrorError => new MirrorError('refused', `${name}: ${why}`)
  const value = parseCarried(bytes, { name, bytesMax: BUNDLE_BYTES_MAX })
  const { format, bundleId, ...rest } = value
  if (format !== 1) {
    if (!isCount(format)) throw refused('has no format')
    throw new MirrorError('no-mirror', `${name}: bundle format ${format}, this program reads 1`)
  }
  if (!isBundle(rest)) throw refused('is not in the form of a bundle')
  if (Buffer.compare(bundleBytes(rest), bytes) !== 0) {
    throw refused('is not canonical, or its bundleId is not that of its plan')
  }
  const fault = faultOf(rest)
  if (fault !== undefined) throw refused(fault)
  return { ...rest, bundleId: bundleId as Checksum }
}

/** What its form alone does not say. */
function faultOf({ plan, media }: Omit<Bundle, 'bundleId'>): string | undefined {
  if (media.length !== plan.volumes.length) {
    return `${media.length} media numbers for ${plan.volumes.length} volumes`
  }
  const isSteady = media.every((medium, n) => {
    const before = media[n - 1] ?? 0
    return medium === before || medium === before + 1
  })
  if (!isSteady || (media[0] ?? 1) !== 1) return 'its media are not numbered from 1 without gaps'
  if (
    plan.absent.some(
      (one, n) => n > 0 && comparePaths(plan.absent[n - 1]?.path ?? '', one.path) >= 0,
    )
  ) {
    return 'its absent objects are out of order'
  }
  return volumesFault(plan.volumes)
}

/** Volumes come in the order tree, index, crates, each kind numbered from 1, their members in order. */
function volumesFault(volumes: readonly PlannedVolume[]): string | undefined {
  let before: (PlannedVolume & { kind: Kind; number: number }) | undefined
  for (const volume of volumes) {
    const kind = KINDS.find(one => volume.file.startsWith(`${one}-`))
    const number = kind && Number(volume.file.slice(kind.length + 1))
    if (kind === undefined || number === undefined) return `${quoted(volume.file)} is no volume`
    const { first, last, members } = volume
    if (parseMember(kind, first) === undefined || parseMember(kind, last) === undefined) {
      return `${volume.file} begins or ends with what is no member of ${kind}`
    }
    if (members === 1 ? first !== last : comparePaths(first, last) >= 0) {
      return `${volume.file}: its first and last member do not agree with their number`
    }
    const isNext = before?.kind === kind ? number === before.number + 1 : number === 1
    const isLater = before === undefined || KINDS.indexOf(kind) >= KINDS.indexOf(before.kind)
    if (!isNext || !isLater) return `${volume.file} is out of order`
    if (before?.kind === kind && comparePaths(before.last, first) >= 0) {
      return `${volume.file} begins before ${before.file} ends`
    }
    before = { ...volume, kind, number }
  }
  return undefined
}

function isBundle(
  value: Record<string, unknown>,
): value is Omit<Bundle, 'bundleId'> & Record<string, unknown> {
  const { plan, media, tool, createdAt } = value
  return (
    hasOnly(value, ['plan', 'media', 'tool', 'createdAt']) &&
    isPlan(plan) &&
    Array.isArray(media) &&
    media.every(isCount) &&
    isText(tool, 64) &&
    isInstantText(createdAt)
  )
}

function isPlan(value: unknown): value is Plan {
  return (
    isRecord(value) &&
    hasOnly(value, [
      'absent',
      'base',
      'prerequisites',
      'target',
      'volumeSize',
      'volumes',
      'want',
    ]) &&
    isTarget(value['target']) &&
    (value['base'] === null || isBase(value['base'])) &&
    (value['want'] === null || isChecksum(value['want'])) &&
    isCount(value['volumeSize']) &&
    Array.isArray(value['volumes']) &&
    value['volumes'].every(isVolume) &&
    isPrerequisites(value['prerequisites']) &&
    Array.isArray(value['absent']) &&
    value['absent'].length <= ABSENT_MAX &&
    value['absent'].every(isAbsent)
  )
}

function isTarget(value: unknown): boolean {
  const numbers = ['root', 'timestamp', 'snapshot', 'targets', 'entries']
  return (
    isRecord(value) &&
    hasOnly(value, [...numbers, 'tree']) &&
    numbers.every(key => isCount(value[key])) &&
    isChecksum(value['tree'])
  )
}

function isBase(value: unknown): boolean {
  return (
    isRecord(value) &&
    hasOnly(value, ['targets', 'tree']) &&
    isCount(value['targets']) &&
    isChecksum(value['tree'])
  )
}

function isPrerequisites(value: unknown): boolean {
  return (
    isRecord(value) &&
    hasOnly(value, ['count', 'sha256']) &&
    isCount(value['count']) &&
    isChecksum(value['sha256'])
  )
}

function isVolume(value: unknown): boolean {
  return (
    isRecord(value) &&
    hasOnly(value, ['bytes', 'file', 'first', 'last', 'members']) &&
    isCount(value['bytes']) &&
    value['bytes'] <= VOLUME_BYTES_MAX &&
    typeof value['file'] === 'string' &&
    /^(?:tree|index|crates)-[0-9]{5}$/.test(value['file']) &&
    isText(value['first'], 172) &&
    isText(value['last'], 172) &&
    isCount(value['members']) &&
    value['members'] >= 1
  )
}

function isAbsent(value: unknown): boolean {
  return (
    isRecord(value) &&
    hasOnly(value, ['path', 'sha256']) &&
    parseMember('crates', String(value['path'])) !== undefined &&
    isChecksum(value['sha256'])
  )
}
