import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type BaseWish, keptStates } from '../bundle/base.ts'
import type { ExportWish } from '../bundle/export.ts'
import { type Receipt, readReceipt } from '../bundle/receipt.ts'
import { stateToSend } from '../bundle/state-to-send.ts'
import { PRESETS } from '../bundle/volume-plan.ts'
import { readWantFile } from '../bundle/want-file.ts'
import type { WantList } from '../bundle/want-list.ts'
import type { Config } from '../config.ts'
import { MirrorError, quoted } from '../error.ts'
import { duration, isDuration } from './amounts.ts'
import { type Context, VERSION } from './context.ts'

/** Options that say what is carried, of `bundle plan` and `bundle export` alike. */
export interface WishOptions {
  readonly base?: string
  readonly forWant?: string
  readonly preset?: string
  readonly volumeSize?: number
  readonly mediumSize?: number
  readonly validFor?: number
  readonly receiverStaleness?: number
  readonly heldAsAbsent?: boolean
}

const DAY_SECONDS = 86_400
const VALID_FOR_SECONDS = 30 * DAY_SECONDS
const STALENESS_SECONDS = 45 * DAY_SECONDS
const VOLUME_SIZE_MIN = 2 ** 20
const VOLUME_SIZE_MAX = 4_294_901_760

export const TOOL: string = `crateferry ${VERSION}`

/** What the options ask for; `root` is the mirror's. */
export function exportWish(
  context: Context,
  root: string,
  config: Config,
  options: WishOptions,
): ExportWish {
  const { base, forWant, preset, validFor, receiverStaleness, heldAsAbsent = false } = options
  if (base !== undefined && forWant !== undefined) {
    throw new MirrorError('usage', 'a want-list says itself from where it goes on: give no --base')
  }
  const sizes = sizesOf(preset, config)
  const volumeSize = options.volumeSize ?? sizes.volumeSize
  if (volumeSize < VOLUME_SIZE_MIN || volumeSize > VOLUME_SIZE_MAX) {
    throw new MirrorError(
      'usage',
      `--volume-size is ${volumeSize}, expected ${VOLUME_SIZE_MIN} to ${VOLUME_SIZE_MAX} bytes`,
    )
  }
  const want = forWant === undefined ? undefined : readWantFile(resolve(context.cwd, forWant))
  const wish = want ? baseOfWant(root, want.list) : parseBase(context, base ?? 'full')
  return {
    base: wish,
    baseText: want ? `want:${want.sha256}` : (base ?? 'full'),
    want,
    volumeSize,
    mediumSize: options.mediumSize ?? sizes.mediumSize,
    heldAsAbsent,
    arrival: {
      validForSeconds: validFor ?? VALID_FOR_SECONDS,
      stalenessSeconds: receiverStaleness ?? STALENESS_SECONDS,
    },
    tool: TOOL,
  }
}

function sizesOf(
  preset: string | undefined,
  { bundle }: Config,
): { readonly volumeSize: number; readonly mediumSize: number | undefined } {
  if (preset === undefined) return { volumeSize: bundle.volumeSize, mediumSize: undefined }
  const found = Object.entries(PRESETS).find(([name]) => name === preset)
  if (found !== undefined) return found[1]
  const names = Object.keys(PRESETS).join(', ')
  throw new MirrorError('usage', `--preset ${quoted(preset)}: expected one of ${names}`)
}

function parseBase(context: Context, text: string): BaseWish {
  if (text === 'full') return { kind: 'full' }
  const [, kind, value = ''] = /^(receipt|targets|age):(.+)$/.exec(text) ?? []
  if (kind === 'receipt') return { kind: 'receipts', receipts: receiptsAt(context, value) }
  if (kind === 'targets' && /^[1-9][0-9]{0,14}$/.test(value)) {
    return { kind: 'targets', targets: Number(value) }
  }
  if (kind === 'age' && isDuration(value)) return { kind: 'age', seconds: duration(value) }
  throw new MirrorError(
    'usage',
    `--base ${quoted(text)}: expected full, receipt:FILE, receipt:DIR, targets:N or age:30d`,
  )
}

/** One, or all in a folder: of several sites, or of several trips. */
function receiptsAt({ cwd }: Context, path: string): Receipt[] {
  const place = resolve(cwd, path)
  const stats = statSync(place, { throwIfNoEntry: false })
  if (stats === undefined) throw new MirrorError('usage', `${place}: there is no receipt`)
  const files = stats.isDirectory()
    ? readdirSync(place)
        .filter(name => /^receipt-[0-9a-f]{8}-[a-z0-9-]{1,16}\.json$/.test(name))
        .map(name => join(place, name))
    : [place]
  if (files.length === 0) throw new MirrorError('usage', `${place}: there is no receipt in it`)
  return newestOfEach(files.map(file => readReceipt(readFileSync(file), file)))
}

/** What a site told last is where it stands. */
function newestOfEach(receipts: readonly Receipt[]): Receipt[] {
  const newest = new Map<string, Receipt>()
  for (const receipt of receipts) {
    const before = newest.get(receipt.site)
    if (before === undefined || before.referenceTime <= receipt.referenceTime) {
      newest.set(receipt.site, receipt)
    }
  }
  return [...newest.values()]
}

/**
 * A want-list is answered from the state that it waits for, whose tiles and index files are there but
 * for what it names; where those are what it lacks, from the one it has.
 */
function baseOfWant(root: string, { isAll, tiles, indexFiles, have, target }: WantList): BaseWish {
  const kept = keptStates(root, stateToSend(root).chain)
  const isKept = (state: WantList['have']): boolean => kept.some(({ tree }) => tree === state?.tree)
  const isReadable = !isAll && tiles.size === 0 && indexFiles.size === 0
  if (isReadable && isKept(target))
    return { kind: 'tree', tree: target.tree, targets: target.targets }
  if (have !== null && isKept(have)) return { kind: 'tree', tree: have.tree, targets: have.targets }
  return { kind: 'full' }
}
