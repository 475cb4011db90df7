import { resolve } from 'node:path'
import { type Bag, findBags } from '../bundle/bags.ts'
import { BundleSource } from '../bundle/bundle-source.ts'
import { type Lack, lackingIn } from '../bundle/lacking.ts'
import { type Answer, putAnswer, receiptAnswer, wantListOf } from '../bundle/outbox.ts'
import type { Receipt } from '../bundle/receipt.ts'
import type { Config } from '../config.ts'
import { type ErrorCode, MirrorError } from '../error.ts'
import { readChain } from '../store/chain-files.ts'
import type { Mirror } from '../store/mirror.ts'
import { forgetPending, keepPending } from '../store/pending.ts'
import { readSelection } from '../store/selected.ts'
import { readPublished } from '../store/snapshot.ts'
import { dryRunCarried } from '../sync/dry-run.ts'
import type { Run } from '../sync/run.ts'
import { stamp } from '../sync/run.ts'
import { type SyncReport, sync, type Taking, type VerifiedState } from '../sync/sync.ts'
import { staleness } from '../trust/freshness.ts'
import { type Instant, instantOf } from '../trust/instant.ts'
import { vouchedByKept } from '../trust/kept.ts'
import type { Vouched } from '../trust/vouched.ts'
import { bytesText } from '../units.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { type Context, openConfigured } from './context.ts'
import { TOOL } from './export-wish.ts'
import { acceptedBy, type ImportOptions, takingOf } from './import-options.ts'
import { EXIT, failure } from './report.ts'
import { signAfterSync } from './sign-after-sync.ts'
import { exitOf, told as toldSync } from './sync.ts'
import { asWriter, type Outcome, syncSettings } from './writing.ts'

/** `crateferry bundle import DIR…`: what a courier brought, verified from the pinned root down. */
export async function bundleImportCommand(
  context: Context,
  folders: readonly string[],
  options: ImportOptions,
): Promise<number> {
  const { mirror, config } = await openConfigured(context)
  if (mirror.marker.trust !== 'tuf') {
    throw new MirrorError('usage', `${mirror.root} pins no root, so it cannot verify a bundle`)
  }
  if (folders.length === 0) throw new MirrorError('usage', 'name the folders to import, or --watch')
  const given = folders.map(folder => resolve(context.cwd, folder))
  const taking = takingOf(config, options, context.now())
  const bags = findBags(given)
  const outcome = await asWriter(
    context,
    {
      command: options.dryRun ? 'bundle import --dry-run' : 'bundle import',
      mirror,
      // what is on a medium is there or not: asking again changes nothing, and no medium is an origin
      settings: { ...syncSettings(config, mirror), tries: 1, origin: false },
      accepted: acceptedBy(options),
    },
    run =>
      new Import(context, { mirror, config, bags, folders: given, options, taking }, run).work(),
  )
  return outcome.exit
}

interface Given {
  readonly mirror: Mirror
  readonly config: Config
  readonly bags: readonly Bag[]
  readonly folders: readonly string[]
  readonly options: ImportOptions
  readonly taking: Taking
}

/** How an import ended, before it is told. */
interface Ended {
  readonly result: Receipt['result']
  readonly exit: number
  readonly report: SyncReport | undefined
  readonly error: MirrorError | undefined
}

class Import {
  readonly #context: Context
  readonly #given: Given
  readonly #run: Run
  readonly #source: BundleSource

  constructor(context: Context, given: Given, run: Run) {
    this.#context = context
    this.#given = given
    this.#run = run
    this.#source = new BundleSource(given.bags)
  }

  async work(): Promise<Outcome> {
    try {
      if (this.#given.options.dryRun) return await this.#dryRun()
      const ended = await this.#import()
      return await this.#conclude(ended)
    } finally {
      await this.#source.close()
    }
  }

  async #dryRun(): Promise<Outcome> {
    const plan = await dryRunCarried(this.#run, this.#source, this.#given.taking)
    const { crates, artifacts, bytes, present, foreign, wanted, removedVersions } = plan
    const missing = wanted - artifacts
    const notSeen = this.#source.notSeen.map(({ file, medium }) => `${file} (medium ${medium})`)
    const exit = missing > 0 ? EXIT.incomplete : 0
    this.#context.out.result({ ok: exit === 0, exit, dryRun: plan, missing, notSeen }, [
      `would bring ${crates} crates up to date with ${artifacts} artifacts, ${bytesText(bytes)}; ${present} are here, ${foreign} are not needed, ${missing} are missing`,
      ...(removedVersions > 0 ? [`would no longer name ${removedVersions} versions`] : []),
      ...this.#advice(notSeen),
    ])
    return { exit, facts: { ...plan } }
  }

  /** Trust and form stop at once; what is older first fills the gaps of what waits here. */
  async #import(): Promise<Ended> {
    const { taking } = this.#given
    try {
      return published(await sync(this.#run, this.#source, { ...taking, agree: this.#agree }))
    } catch (error) {
      const filled = isRollback(error) ? await this.#fillGaps(taking) : undefined
      return filled ?? this.#failed(error)
    }
  }

  readonly #agree = (state: VerifiedState): void => {
    const { target } = this.#source.bundle.plan
    const keys = ['root', 'timestamp', 'snapshot', 'targets', 'tree', 'entries'] as const
    const odd = keys.find(key => target[key] !== state[key])
    if (odd === undefined) return
    throw new MirrorError(
      'refused',
      `${this.#source.name}: its plan says ${odd} ${target[odd]}, its metadata proves ${state[odd]}`,
    )
  }

  /** By hash, under the metadata that is trusted here already; undefined: there was no gap to fill. */
  async #fillGaps(taking: Taking): Promise<Ended | undefined> {
    const source = this.#source
    const own: Upstream = {
      name: source.name,
      metadata: async file => this.#keptFile(file),
      tile: (position, hash) => source.tile(position, hash),
      indexFile: entry => source.indexFile(entry),
      artifact: wanted => source.artifact(wanted),
      volumes: tree => source.volumes(tree),
      pause: (attempt, error, options) => source.pause(attempt, error, options),
      close: async () => {},
    }
    try {
      const report = await sync(this.#run, own, taking)
      return report.outcome === 'published' ? published(report) : undefined
    } catch (error) {
      const ended = this.#failed(error)
      // what is trusted here is past its end, or nothing came: the older state is what there is to tell
      const isNothing = ended.result === 'pending' && this.#run.progress.artifactsDone === 0
      return isNothing || ended.exit === EXIT.expired ? undefined : ended
    }
  }

  #keptFile(file: string): Uint8Array | undefined {
    const kept = readChain(this.#run.writer.mirror.root, 'upstream')
    const [, role] = /^(?:[0-9]+\.)?(timestamp|snapshot|targets)\.json$/.exec(file) ?? []
    return role === undefined ? undefined : kept?.[role as 'timestamp' | 'snapshot' | 'targets']
  }

  /**
   * Trust and form refuse a bundle; anything else leaves a state that waits. With damage at hand that
   * is what is told of what is missing. Who was stopped, or lost the lock, tells and writes no more.
   */
  #failed(error: unknown): Ended {
    const isOver = this.#run.signal.aborted || !(error instanceof MirrorError)
    if (isOver || error.code === 'busy') throw error
    const isDamage = error.code === 'incomplete' && this.#source.damage.length > 0
    return {
      result: REFUSALS.has(error.code) ? 'refused' : 'pending',
      exit: isDamage ? EXIT.damaged : EXIT[error.code],
      report: undefined,
      error,
    }
  }

  async #conclude(ended: Ended): Promise<Outcome> {
    const { config, mirror } = this.#given
    const { writer } = this.#run
    const waiting = ended.error?.code === 'incomplete' ? await this.#waiting() : undefined
    if (waiting !== undefined) await keepPending(writer, waiting.record)
    else if (ended.report !== undefined) await forgetPending(writer)
    const receipt = this.#receipt(ended, waiting)
    const answers = [...(waiting?.answers ?? []), ...(receipt ? [receiptAnswer(receipt)] : [])]
    const files = await this.#put(answers)
    const { out } = this.#context
    for (const { folder, unlisted } of this.#source.bags) {
      if (unlisted.count === 0) continue
      const some = unlisted.first.join(', ')
      out.say(`${folder}: ${unlisted.count} files that nothing lists, not opened: ${some}`)
    }
    for (const { volume, what } of this.#source.damage) out.say(`damaged: ${volume}: ${what}`)
    if (ended.report !== undefined) {
      const site = await signAfterSync(this.#context, config, this.#run)
      const outcome = toldSync(this.#context, ended.report, site)
      for (const file of files) out.say(`for the sender: ${file}`)
      return outcome
    }
    const { line } = failure(ended.error, {})
    const notSeen = this.#source.notSeen.map(({ file, medium }) => `${file} (medium ${medium})`)
    const facts = {
      outcome: ended.result,
      error: line,
      notSeen,
      damage: this.#source.damage,
      answers: files,
    }
    out.result({ ok: false, exit: ended.exit, mirror: mirror.root, ...facts }, [])
    out.fail(line)
    for (const more of this.#advice(notSeen)) out.say(more)
    for (const file of files) out.say(`for the sender: ${file}`)
    return { exit: ended.exit, facts }
  }

  #advice(notSeen: readonly string[]): string[] {
    if (notSeen.length === 0) return []
    const some = notSeen.slice(0, 5).join(', ')
    return [
      `not seen: ${some}${notSeen.length > 5 ? ` and ${notSeen.length - 5} more` : ''}; bring that medium and import again`,
    ]
  }

  /** What of the trusted state is not here; undefined where nothing is trusted that could wait. */
  async #waiting(): Promise<Waiting | undefined> {
    const { config } = this.#given
    const { root } = this.#run.writer.mirror
    // what came is to be counted as here; a landing that failed has been told
    await this.#run.landing.settle().catch(() => {})
    const trusted = trustedIn(root)
    if (trusted === undefined) return undefined
    const before = readPublished(root)
    const selection = readSelection(root, before)
    const lacks: Lack[] = []
    const about = { target: trusted.tree, published: before?.tree, selection }
    for await (const lack of lackingIn(root, about)) lacks.push(lack)
    const { bundleId } = this.#source.bundle
    const { targets } = trusted.versions
    const isAll = lacks[0]?.kind === 'tile' && lacks[0].what === 'root'
    const have = before?.metadata ? { targets: before.metadata.targets, tree: before.tree } : null
    const head = {
      site: config.bundle.site,
      bundleId,
      have,
      target: { targets, tree: trusted.tree },
    }
    const { answer, want } = wantListOf(head, lacks, { damage: this.#source.damage, isAll })
    const notSeen = this.#source.notSeen.map(({ file, medium }) => `${file} on medium ${medium}`)
    const at = stamp(this.#run.now())
    return {
      answers: [answer],
      want,
      missing: lacks.length,
      record: { bundleId, targets, tree: trusted.tree, missing: lacks.length, notSeen, at },
    }
  }

  /** Undefined before anything was ever trusted here: there is nothing to start from. */
  #receipt(ended: Ended, waiting: Waiting | undefined): Receipt | undefined {
    const { config } = this.#given
    const { root } = this.#run.writer.mirror
    const trusted = trustedIn(root)
    if (trusted === undefined) return undefined
    const now = readPublished(root)
    const start = instantOf(this.#run.now())
    const { override } = this.#given.taking
    const damaged = this.#source.damage.length
    return {
      site: config.bundle.site,
      bundleId: this.#source.bundle.bundleId,
      tool: TOOL,
      result: ended.result,
      exitCode: ended.exit,
      bags: this.#source.bags.map(bag => ({
        bag: bag.id,
        medium: mediumOf(bag),
        result: ended.result === 'refused' ? 'refused' : this.#source.conditionOf(bag),
      })),
      trusted: { ...trusted.versions, tree: trusted.tree },
      published: now?.metadata ? { targets: now.metadata.targets, tree: now.tree } : null,
      objects: {
        new: ended.report?.artifacts ?? this.#run.progress.artifactsDone,
        present: this.#run.progress.present,
        foreign: this.#run.progress.foreign,
        damaged,
        missing: waiting?.missing ?? 0,
        absent: Object.keys(now?.absent ?? {}).length,
      },
      want: waiting?.want ?? null,
      referenceTime: start,
      staleness: stalenessOf(trusted, start),
      override: override ?? null,
    }
  }

  async #put(answers: readonly Answer[]): Promise<string[]> {
    const { config, mirror, folders, options } = this.#given
    const files: string[] = []
    for (const answer of answers) {
      files.push(await putAnswer(resolve(mirror.root, config.bundle.outbox), answer))
      if (!options.receiptToMedium) continue
      for (const folder of folders) {
        try {
          files.push(await putAnswer(folder, answer))
        } catch (error) {
          this.#context.out.say(`warning: ${folder} takes no receipt (${(error as Error).message})`)
        }
      }
    }
    return files
  }
}

interface Waiting {
  readonly answers: readonly Answer[]
  readonly want: NonNullable<Receipt['want']>
  readonly missing: number
  readonly record: Parameters<typeof keepPending>[1]
}

function published(report: SyncReport): Ended {
  const result = report.outcome === 'published' ? 'published' : 'already'
  return { result, exit: exitOf(report), report, error: undefined }
}

/** Trust and form: what is refused for good. */
const REFUSALS: ReadonlySet<ErrorCode> = new Set([
  'signature',
  'expired',
  'rollback',
  'equivocation',
  'clock',
  'refused',
])

function isRollback(error: unknown): boolean {
  return error instanceof MirrorError && error.code === 'rollback'
}

function mediumOf({ folder, bundle }: Bag): number {
  const number = Number(/-m([0-9]{2,3})$/.exec(folder)?.[1] ?? 1)
  return Math.min(number, bundle.media.at(-1) ?? 1)
}

/** What the chain kept here vouches for, as far as it has come. */
function trustedIn(root: string): Omit<Vouched, 'warnings'> | undefined {
  const kept = readChain(root, 'upstream')
  try {
    return kept && vouchedByKept(kept)
  } catch (error) {
    if (error instanceof MirrorError) return undefined
    throw error
  }
}

function stalenessOf({ expires }: Pick<Vouched, 'expires'>, now: Instant): Receipt['staleness'] {
  return {
    root: staleness(expires.root, now),
    timestamp: staleness(expires.timestamp, now),
    snapshot: staleness(expires.snapshot, now),
    targets: staleness(expires.targets, now),
  }
}
