import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { MirrorError } from '../error.ts'
import { type Checksum, isChecksum } from '../registry/checksum.ts'
import type { Chain } from '../store/chain-files.ts'
import { discardFile, makeFolder, removeFolder, replaceFile } from '../store/durable.ts'
import { EXPORTS } from '../store/layout.ts'
import { isObject, readRecord, recordBytes } from '../store/record.ts'
import { isBagName } from './bag.ts'
import { type Bundle, readBundle } from './bundle-json.ts'

/** What was asked for, in the words of the command line: the same asked again is the same export. */
export interface ExportRequest {
  readonly base: string
  readonly want: Checksum | null
  readonly volumeSize: number
  /** Null: what is free where it is written. */
  readonly mediumSize: number | null
  readonly chain: Chain
}

/** A volume that lies on its medium, durable. */
export interface VolumeRecord {
  readonly tar: Checksum
  readonly idx: Checksum
}

/** A bag that was written to its end. */
export interface SealedRecord {
  readonly bag: Checksum
  readonly at: string
}

/** An export as it is kept in the mirror; without `bundle` what a crash left of one. */
interface KeptExport {
  readonly folder: string
  readonly bundle: Bundle | undefined
}

/**
 * The journal of one bundle, in `state/exports/{bundleId}/`: the one `bundle.json` of all its media, the
 * chain's files, and for each bag the volumes that are durable. It keeps the bundle's states from
 * `prune`, so that what was lost on the way can be written again, bit for bit.
 *
 *   begin    tuf/*, request.json, and bundle.json last: with it the export is one
 *   volume   {bag}/{volume}.json once the volume is flushed: that one is not written again
 *   seal     {bag}/sealed.json once the bag has its last name
 */
export class Journal {
  readonly folder: string
  readonly bundle: Bundle

  constructor(folder: string, bundle: Bundle) {
    this.folder = folder
    this.bundle = bundle
  }

  static async begin(
    root: string,
    bundle: Bundle,
    {
      bytes,
      files,
      request,
    }: {
      readonly bytes: Uint8Array
      readonly files: ReadonlyMap<string, Uint8Array>
      readonly request: ExportRequest
    },
  ): Promise<Journal> {
    const folder = join(root, EXPORTS, bundle.bundleId)
    await makeFolder(join(folder, 'tuf'))
    for (const [name, file] of files) await write(join(folder, 'tuf', name), file)
    await write(join(folder, 'request.json'), recordBytes(request))
    await write(join(folder, 'bundle.json'), bytes)
    return new Journal(folder, bundle)
  }

  /** The journal of a bundle that was begun here; undefined: none was. */
  static of(root: string, bundleId: Checksum): Journal | undefined {
    const folder = join(root, EXPORTS, bundleId)
    const bundle = bundleIn(folder)
    return bundle && new Journal(folder, bundle)
  }

  /** A bag of it is being written, or was. */
  get isBegun(): boolean {
    const bags = readdirSync(this.folder).filter(isBagName)
    return bags.some(bag =>
      readdirSync(join(this.folder, bag)).some(name => name.endsWith('.json')),
    )
  }

  get bundleBytes(): Buffer {
    return readFileSync(join(this.folder, 'bundle.json'))
  }

  get request(): ExportRequest {
    const request = readRecord(join(this.folder, 'request.json'), isRequest)
    if (request !== undefined) return request
    throw new MirrorError('damaged', `${this.folder}/request.json is missing`)
  }

  /** The chain's files as they were when it was begun. */
  get files(): ReadonlyMap<string, Buffer> {
    const folder = join(this.folder, 'tuf')
    const names = readdirSync(folder).filter(name => !name.endsWith(NEW))
    return new Map(names.map(name => [name, readFileSync(join(folder, name))]))
  }

  volume(bag: string, file: string): VolumeRecord | undefined {
    return readRecord(join(this.folder, bag, `${file}.json`), isVolumeRecord)
  }

  async keepVolume(bag: string, file: string, record: VolumeRecord): Promise<void> {
    await write(join(this.folder, bag, `${file}.json`), recordBytes(record))
  }

  /** It is to be written again. */
  async dropVolume(bag: string, file: string): Promise<void> {
    await discardFile(join(this.folder, bag, `${file}.json`))
  }

  sealed(bag: string): SealedRecord | undefined {
    return readRecord(join(this.folder, bag, 'sealed.json'), isSealedRecord)
  }

  async keepSealed(bag: string, record: SealedRecord): Promise<void> {
    await write(join(this.folder, bag, 'sealed.json'), recordBytes(record))
  }
}

/** All exports that the mirror remembers. */
export function exportsIn(root: string): KeptExport[] {
  const folder = join(root, EXPORTS)
  if (!existsSync(folder)) return []
  const names = readdirSync(folder).filter(isChecksum)
  return names.map(name => ({ folder: join(folder, name), bundle: bundleIn(join(folder, name)) }))
}

const DAY_MS = 86_400_000

/** The trees that exports keep from `prune`, and the folders of those that are past their keeping. */
export function exportsKept(
  root: string,
  { keepDays, now }: { readonly keepDays: number; readonly now: Date },
): { readonly trees: readonly Checksum[]; readonly expired: readonly string[] } {
  const trees: Checksum[] = []
  const expired: string[] = []
  for (const { folder, bundle } of exportsIn(root)) {
    if (bundle === undefined) continue
    const { target, base } = bundle.plan
    const age = now.getTime() - Date.parse(bundle.createdAt)
    if (age >= keepDays * DAY_MS) expired.push(folder)
    else trees.push(target.tree, ...(base === null ? [] : [base.tree]))
  }
  return { trees, expired }
}

export async function forgetExport(folder: string): Promise<void> {
  await removeFolder(folder)
}

function bundleIn(folder: string): Bundle | undefined {
  const file = join(folder, 'bundle.json')
  if (!existsSync(file)) return undefined
  try {
    return readBundle(readFileSync(file), file)
  } catch (error) {
    throw new MirrorError('damaged', `${file} is not the plan we wrote`, { cause: error })
  }
}

const NEW = '.new'

/** No fence: the folder is of one export, and its bags have locks of their own. */
async function write(file: string, bytes: Uint8Array): Promise<void> {
  await discardFile(`${file}${NEW}`)
  await replaceFile(file, bytes, { via: `${file}${NEW}` })
}

function isRequest(value: unknown): value is ExportRequest {
  return isObject(value) && typeof value['base'] === 'string'
}

function isVolumeRecord(value: unknown): value is VolumeRecord {
  return isObject(value) && isChecksum(value['tar']) && isChecksum(value['idx'])
}

function isSealedRecord(value: unknown): value is SealedRecord {
  return isObject(value) && isChecksum(value['bag']) && typeof value['at'] === 'string'
}
