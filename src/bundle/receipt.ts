import { MirrorError } from '../error.ts'
import { type Checksum, isChecksum } from '../registry/checksum.ts'
import {
  carriedBytes,
  hasOnly,
  isCount,
  isInstantText,
  isRecord,
  isText,
  parseCarried,
} from './carried-json.ts'

const RESULTS = ['published', 'already', 'pending', 'refused'] as const
const BAG_RESULTS = ['whole', 'damaged', 'partial', 'refused'] as const
const COUNTS = ['absent', 'damaged', 'foreign', 'missing', 'new', 'present'] as const
const VERSIONS = ['root', 'timestamp', 'snapshot', 'targets'] as const

/** What an import came to, for whoever sends the next bundle: a hint, which nobody believes. */
export interface Receipt {
  readonly site: string
  readonly bundleId: Checksum
  readonly tool: string
  readonly result: (typeof RESULTS)[number]
  readonly exitCode: number
  readonly bags: readonly {
    readonly bag: Checksum
    readonly medium: number
    readonly result: (typeof BAG_RESULTS)[number]
  }[]
  readonly trusted: Readonly<Record<(typeof VERSIONS)[number], number>> & {
    readonly tree: Checksum
  }
  /** Complete here: what the next delta starts from. */
  readonly published: { readonly targets: number; readonly tree: Checksum } | null
  readonly objects: Readonly<Record<(typeof COUNTS)[number], number>>
  readonly want: { readonly lines: number; readonly sha256: Checksum } | null
  readonly referenceTime: string
  /** Seconds that each role was past its end. */
  readonly staleness: Readonly<Record<(typeof VERSIONS)[number], number>>
  readonly override: { readonly until: string; readonly reason: string } | null
}

const BYTES_MAX = 65_536
const BAGS_MAX = 999

/** What a site may call itself. */
export function isSiteName(text: string): boolean {
  return /^[a-z0-9-]{1,16}$/.test(text)
}

export function receiptName({ bundleId, site }: Pick<Receipt, 'bundleId' | 'site'>): string {
  return `receipt-${bundleId.slice(0, 8)}-${site}.json`
}

export function receiptBytes(receipt: Receipt): Buffer {
  return carriedBytes({ format: 1, ...receipt })
}

/** @throws {MirrorError} refused; no-mirror where a newer version wrote it */
export function readReceipt(bytes: Uint8Array, name: string): Receipt {
  const { format, ...receipt } = parseCarried(bytes, { name, bytesMax: BYTES_MAX })
  if (isCount(format) && format !== 1) {
    throw new MirrorError('no-mirror', `${name}: receipt format ${format}, this program reads 1`)
  }
  if (format !== 1 || !isReceipt(receipt)) {
    throw new MirrorError('refused', `${name}: is not in the form of a receipt`)
  }
  if (Buffer.compare(receiptBytes(receipt), bytes) === 0) return receipt
  throw new MirrorError('refused', `${name}: is not canonical`)
}

function isReceipt(value: Record<string, unknown>): value is Receipt & Record<string, unknown> {
  const { site, bundleId, tool, result, exitCode, bags, published, want, override } = value
  return (
    hasOnly(value, KEYS) &&
    typeof site === 'string' &&
    isSiteName(site) &&
    isChecksum(bundleId) &&
    isText(tool, 64) &&
    RESULTS.some(one => one === result) &&
    isCount(exitCode) &&
    Array.isArray(bags) &&
    bags.length <= BAGS_MAX &&
    bags.every(isBag) &&
    isTrusted(value['trusted']) &&
    (published === null || isState(published)) &&
    areCounts(value['objects'], COUNTS) &&
    (want === null || isWant(want)) &&
    isInstantText(value['referenceTime']) &&
    areCounts(value['staleness'], VERSIONS) &&
    (override === null || isOverride(override))
  )
}

const KEYS = [
  'site',
  'bundleId',
  'tool',
  'result',
  'exitCode',
  'bags',
  'trusted',
  'published',
  'objects',
  'want',
  'referenceTime',
  'staleness',
  'override',
]

function isBag(value: unknown): boolean {
  return (
    isRecord(value) &&
    hasOnly(value, ['bag', 'medium', 'result']) &&
    isChecksum(value['bag']) &&
    isCount(value['medium']) &&
    BAG_RESULTS.some(one => one === value['result'])
  )
}

function isTrusted(value: unknown): boolean {
  if (!isRecord(value)) return false
  const { tree, ...versions } = value
  return isChecksum(tree) && areCounts(versions, VERSIONS)
}

function isState(value: unknown): boolean {
  return (
    isRecord(value) &&
    hasOnly(value, ['targets', 'tree']) &&
    isCount(value['targets']) &&
    isChecksum(value['tree'])
  )
}

function areCounts(value: unknown, keys: readonly string[]): boolean {
  return isRecord(value) && hasOnly(value, keys) && keys.every(key => isCount(value[key]))
}

function isWant(value: unknown): boolean {
  return (
    isRecord(value) &&
    hasOnly(value, ['lines', 'sha256']) &&
    isCount(value['lines']) &&
    isChecksum(value['sha256'])
  )
}

function isOverride(value: unknown): boolean {
  return (
    isRecord(value) &&
    hasOnly(value, ['until', 'reason']) &&
    isInstantText(value['until']) &&
    isText(value['reason'], 1000)
  )
}
