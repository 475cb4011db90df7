import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { MirrorError } from '../error.ts'
import type { Checksum } from '../registry/checksum.ts'
import { instantOf } from '../trust/instant.ts'
import { type ArrivalPolicy, requireFreshOnArrival } from './arrival.ts'
import { bagName, isBagName } from './bag.ts'
import { type BaseWish, baseFor } from './base.ts'
import { type Bundle, bundleBytes, bundleIdOf, type Plan, readBundle } from './bundle-json.ts'
import { type BagReport, type Exporting, writeBag } from './export-bag.ts'
import { type ExportRequest, exportsIn, Journal } from './exports.ts'
import { Medium } from './medium.ts'
import { type Planned, planBundle } from './plan-bundle.ts'
import { type StateToSend, stateToSend } from './state-to-send.ts'
import { layOnMedia } from './volume-plan.ts'
import type { WantList } from './want-list.ts'

/** What somebody wants to have carried. */
export interface ExportWish {
  readonly base: BaseWish
  /** The same in the words of the command line. */
  readonly baseText: string
  readonly want: { readonly list: WantList; readonly sha256: Checksum } | undefined
  readonly volumeSize: number
  /** Undefined: what is free where it is written. */
  readonly mediumSize: number | undefined
  readonly heldAsAbsent: boolean
  readonly arrival: ArrivalPolicy
  /** Name and version of this program. */
  readonly tool: string
}

/** A bundle that is decided on. */
export interface Draft {
  readonly state: StateToSend
  readonly bundle: Bundle
  readonly volumes: Planned['volumes']
  readonly request: ExportRequest
}

const CLUSTER_BYTES = 131_072

/**
 * Decides on a bundle, and writes nothing; undefined: whoever gave the receipts has it all.
 * @throws {MirrorError} expired where it would be refused on arrival; incomplete, signature, no-space
 */
export async function draft(
  { mirror, signal, now, carrying }: Exporting,
  wish: ExportWish,
  { medium }: { readonly medium?: Medium } = {},
): Promise<Draft | undefined> {
  carrying.begin('plan', 0)
  const state = stateToSend(mirror)
  requireFreshOnArrival(state, wish.arrival, now())
  if (hasEverything(wish.base, state)) return undefined
  const { volumeSize, want } = wish
  const base = baseFor(mirror, state, wish.base, now())
  const { plan, volumes } = await planBundle(mirror, state, { ...wish, base }, signal)
  const mediumSize = wish.mediumSize ?? medium?.freeBytes
  const clusterBytes = medium?.clusterBytes ?? CLUSTER_BYTES
  const media = layOnMedia(volumes, { mediumSize, clusterBytes })
  const bundle = { plan, media, tool: wish.tool, createdAt: instantOf(now()) }
  const request = {
    base: wish.baseText,
    want: want?.sha256 ?? null,
    volumeSize,
    mediumSize: wish.mediumSize ?? null,
    chain: state.chain,
  }
  return { state, volumes, request, bundle: { ...bundle, bundleId: bundleIdOf(plan) } }
}

/** Tree published and timestamp trusted by all of them. */
function hasEverything(base: BaseWish, { tree, versions }: StateToSend): boolean {
  if (base.kind !== 'receipts') return false
  return base.receipts.every(
    ({ published, trusted }) => published?.tree === tree && trusted.timestamp >= versions.timestamp,
  )
}

/** What became of an export. */
export interface ExportReport {
  readonly bundle: Bundle
  /** Begun by an earlier run, and gone on with. */
  readonly isContinued: boolean
  readonly bags: readonly BagReport[]
}

/**
 * Writes a bundle, or the part of it for one medium. One that was begun is gone on with: whose
 * unfinished bag lies in the folder, or, for a later medium, of which another one is being written or was.
 */
export async function exportBundle(
  exporting: Exporting,
  wish: ExportWish,
  {
    to,
    media,
    isReadBack,
  }: { readonly to: string; readonly media: 'all' | number; readonly isReadBack: boolean },
): Promise<ExportReport | undefined> {
  const { mirror } = exporting
  const medium = new Medium(to, { mirror })
  const begun = begunBefore(mirror, wish, medium, media)
  if (begun === undefined && media !== 'all' && media !== 1) {
    throw new MirrorError('usage', `no export was begun to go on with; begin with --medium 1`)
  }
  const journal = begun ?? (await beginOne(exporting, wish, media === 'all' ? undefined : medium))
  if (journal === undefined) return undefined
  const { bundle, request } = journal
  const numbers = [...new Set(bundle.media.length === 0 ? [1] : bundle.media)]
  const chosen = media === 'all' ? numbers : numbers.filter(number => number === media)
  if (chosen.length === 0) {
    throw new MirrorError('usage', `--medium ${media}: the bundle has ${numbers.length} media`)
  }
  const bags: BagReport[] = []
  for (const number of chosen) {
    const report = await writeBag(exporting, {
      journal,
      number: { kind: 'medium', number },
      volumes: bundle.plan.volumes.filter((_, n) => bundle.media[n] === number),
      medium,
      chain: request.chain,
      also: wish.want?.list.objects ?? new Set(),
      isReadBack,
      agent: wish.tool,
    })
    bags.push(report)
  }
  return { bundle, bags, isContinued: begun !== undefined }
}

/** Stops before anything is written: what would be, past every check that the writing begins with. */
export async function rehearseExport(
  exporting: Exporting,
  wish: ExportWish,
  { to, media }: { readonly to: string; readonly media: 'all' | number },
): Promise<Draft | undefined> {
  const medium = new Medium(to, exporting)
  const drafted = await draft(exporting, wish, media === 'all' ? {} : { medium })
  if (drafted === undefined) return undefined
  const { plan, media: numbers } = drafted.bundle
  const chosen = plan.volumes.filter((_, n) => media === 'all' || numbers[n] === media)
  const bytes = chosen.reduce((sum, volume) => sum + volume.bytes, 0)
  medium.requireRoom({ bytes, files: 2 * chosen.length })
  return drafted
}

/** The same plan of which a bag was written is the same bundle: its media and date stay. */
async function beginOne(
  exporting: Exporting,
  wish: ExportWish,
  medium: Medium | undefined,
): Promise<Journal | undefined> {
  const { mirror } = exporting
  const drafted = await draft(exporting, wish, { ...(medium && { medium }) })
  if (drafted === undefined) return undefined
  const { bundle, state, request } = drafted
  const bytes = bundleBytes(bundle)
  const before = Journal.of(mirror, bundle.bundleId)
  if (before?.isBegun === true) return before
  return await Journal.begin(mirror, bundle, { bytes, files: state.files, request })
}

function begunBefore(
  mirror: string,
  wish: ExportWish,
  medium: Medium,
  media: 'all' | number,
): Journal | undefined {
  const isSame = ({ request }: Journal): boolean =>
    request.base === wish.baseText &&
    request.want === (wish.want?.sha256 ?? null) &&
    request.volumeSize === wish.volumeSize &&
    request.mediumSize === (wish.mediumSize ?? null)
  for (const plan of unfinishedIn(medium.folder)) {
    const journal = Journal.of(mirror, plan.bundleId)
    if (journal !== undefined && isSame(journal)) return journal
  }
  if (media === 'all' || media === 1) return undefined
  const journals = exportsIn(mirror)
    .flatMap(({ bundle }) => (bundle && Journal.of(mirror, bundle.bundleId)) ?? [])
    .filter(journal => isSame(journal) && journal.isBegun)
  return journals.sort((a, b) => (a.bundle.createdAt < b.bundle.createdAt ? 1 : -1))[0]
}

/** The plans of bags that somebody began to write here. */
function unfinishedIn(folder: string): Bundle[] {
  const plans: Bundle[] = []
  for (const name of readdirSync(folder)) {
    const bag = name.endsWith('.partial') ? name.slice(0, -'.partial'.length) : ''
    const file = join(folder, name, 'bundle.json')
    if (!isBagName(bag) || !existsSync(file)) continue
    try {
      plans.push(readBundle(readFileSync(file), file))
    } catch (error) {
      // torn by a kill: whoever writes this bag once more writes it anew
      if (!(error instanceof MirrorError)) throw error
    }
  }
  return plans
}

/**
 * Writes some volumes of an earlier bundle once more, bit for bit, into a bag of their own.
 * @throws {MirrorError} no-mirror where its states are not kept here any more
 */
export async function exportAgain(
  exporting: Exporting,
  given: Bundle,
  options: {
    readonly volumes: readonly string[]
    readonly want: ExportWish['want']
    readonly to: string
    readonly isReadBack: boolean
    readonly tool: string
  },
): Promise<ExportReport> {
  const { mirror } = exporting
  const journal = Journal.of(mirror, given.bundleId)
  if (journal === undefined) {
    throw new MirrorError('no-mirror', `bundle ${given.bundleId} was not exported from ${mirror}`)
  }
  const { bundle, request } = journal
  requireWant(bundle.plan, options.want)
  const unknown = options.volumes.find(name => !bundle.plan.volumes.some(one => one.file === name))
  if (unknown !== undefined) throw new MirrorError('usage', `the bundle has no volume ${unknown}`)
  const medium = new Medium(options.to, { mirror })
  const report = await writeBag(exporting, {
    journal,
    number: { kind: 'repetition', number: freeRepetition(journal, medium) },
    volumes: bundle.plan.volumes.filter(({ file }) => options.volumes.includes(file)),
    medium,
    chain: request.chain,
    also: options.want?.list.objects ?? new Set(),
    isReadBack: options.isReadBack,
    agent: options.tool,
  })
  return { bundle, bags: [report], isContinued: false }
}

function requireWant({ want }: Plan, given: ExportWish['want']): void {
  if (want === (given?.sha256 ?? null)) return
  throw new MirrorError(
    'usage',
    want === null
      ? 'that bundle answers no want-list'
      : `that bundle answers the want-list with sha256 ${want}: give it with --for-want`,
  )
}

const REPETITIONS_MAX = 999

/** The first that was not written yet; one that was begun in this folder is gone on with. */
function freeRepetition(journal: Journal, medium: Medium): number {
  for (let number = 1; number <= REPETITIONS_MAX; number += 1) {
    const name = bagName(journal.bundle, { kind: 'repetition', number })
    const isTaken = journal.sealed(name) !== undefined || existsSync(join(medium.folder, name))
    if (!isTaken) return number
  }
  throw new MirrorError('usage', `bundle ${journal.bundle.bundleId} was repeated too often`)
}
