import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { readBundle } from '../bundle/bundle-json.ts'
import { Carrying } from '../bundle/carrying.ts'
import {
  type Draft,
  draft,
  type ExportReport,
  exportAgain,
  exportBundle,
  rehearseExport,
} from '../bundle/export.ts'
import type { BagReport, Exporting } from '../bundle/export-bag.ts'
import { readWantFile } from '../bundle/want-file.ts'
import { MirrorError } from '../error.ts'
import { bytesText, durationText } from '../units.ts'
import { type Context, openConfigured } from './context.ts'
import { exportWish, TOOL, type WishOptions } from './export-wish.ts'
import { carryingLine, ProgressLine } from './progress.ts'
import { failure } from './report.ts'
import { recorder } from './run-record.ts'

export interface ExportOptions extends WishOptions {
  readonly to: string
  readonly medium?: string
  readonly again?: string
  readonly volumes?: string
  readonly readback?: boolean
  readonly dryRun?: boolean
}

/** `crateferry bundle plan`: what an export would write, and how much of everything that is. */
export async function bundlePlanCommand(context: Context, options: WishOptions): Promise<number> {
  const { mirror, config } = await openConfigured(context)
  const exporting = exportingOf(context, mirror.root)
  using _line = new ProgressLine(carryingLine(exporting.carrying), context.out)
  const drafted = await draft(exporting, exportWish(context, mirror.root, config, options))
  return told(context, drafted)
}

function told({ out }: Context, drafted: Draft | undefined): number {
  if (drafted === undefined) {
    out.result({ ok: true, nothing: true }, [NOTHING])
    return 0
  }
  const { bundle, state } = drafted
  const { plan, media } = bundle
  const bytes = plan.volumes.reduce((sum, volume) => sum + volume.bytes, 0)
  const { expires } = state
  out.result({ ok: true, bundle, chain: state.chain, bytes, expires }, [
    `bundle ${bundle.bundleId}: ${leading(plan)}, under the ${state.chain}'s chain`,
    `${plan.volumes.length} volumes, ${bytesText(bytes)}, on ${media.at(-1) ?? 1} media: about ${durationText(bytes / SLOW)} to ${durationText(bytes / FAST)} each way`,
    ...plan.volumes.map(
      ({ file, bytes, members }, n) =>
        `  medium ${media[n]}  ${file}  ${bytesText(bytes)}, ${members} members`,
    ),
    `metadata ends: ${Object.entries(expires)
      .map(([role, end]) => `${role} ${end}`)
      .join(', ')}`,
    ...(plan.absent.length > 0
      ? [`${plan.absent.length} objects are absent: the far side must accept them by number`]
      : []),
  ])
  return 0
}

const NOTHING = 'nothing to send: whoever gave the receipt has it all'
/** Bytes a second of slow sticks and of good ones. */
const SLOW = 20_000_000
const FAST = 150_000_000

function leading({ target, base, want }: Draft['bundle']['plan']): string {
  const from = base === null ? 'full' : `from targets ${base.targets}`
  const answering = want === null ? '' : `, answering want-list ${want.slice(0, 8)}`
  return `state ${target.targets} (${target.entries} crates), ${from}${answering}`
}

/** `crateferry bundle export`: a bundle on media. */
export async function bundleExportCommand(
  context: Context,
  options: ExportOptions,
): Promise<number> {
  const { mirror, config } = await openConfigured(context)
  const { root } = mirror
  const exporting = exportingOf(context, root)
  using _line = new ProgressLine(carryingLine(exporting.carrying), context.out)
  if (options.dryRun) {
    if (options.again !== undefined) {
      throw new MirrorError(
        'usage',
        '--again writes what was planned before: there is no dry run of it',
      )
    }
    const wish = exportWish(context, root, config, options)
    const to = resolve(context.cwd, options.to)
    const media = mediaOf(options.medium)
    return told(context, await rehearseExport(exporting, wish, { to, media }))
  }
  const keep = recorder(context, mirror, 'bundle export')
  let report: ExportReport | undefined
  try {
    report = await exported(context, exporting, config, options)
  } catch (error) {
    const { exit, line } = failure(error, {})
    keep(exit, { error: line })
    throw error
  }
  if (report === undefined) {
    context.out.result({ ok: true, nothing: true }, [NOTHING])
    return 0
  }
  const { bundle, bags, isContinued } = report
  keep(0, { bundleId: bundle.bundleId, bags })
  context.out.result({ ok: true, exit: 0, bundleId: bundle.bundleId, isContinued, bags }, [
    ...(isContinued ? [`went on with bundle ${bundle.bundleId}`] : []),
    ...bags.map(bagLine),
    ...nextLine(report),
  ])
  return 0
}

async function exported(
  context: Context,
  exporting: Exporting,
  config: Parameters<typeof exportWish>[2],
  options: ExportOptions,
): Promise<ExportReport | undefined> {
  const to = resolve(context.cwd, options.to)
  const isReadBack = options.readback !== false
  if (options.again === undefined) {
    if (options.volumes !== undefined) {
      throw new MirrorError('usage', '--volumes goes with --again BUNDLE.json')
    }
    const wish = exportWish(context, exporting.mirror, config, options)
    return await exportBundle(exporting, wish, { to, media: mediaOf(options.medium), isReadBack })
  }
  const file = resolve(context.cwd, options.again)
  const given = readBundle(readFileSync(file), file)
  const volumes = (options.volumes ?? '').split(',').filter(Boolean)
  if (volumes.length === 0) throw new MirrorError('usage', '--again needs --volumes LIST')
  const { forWant } = options
  const want = forWant === undefined ? undefined : readWantFile(resolve(context.cwd, forWant))
  return await exportAgain(exporting, given, { volumes, want, to, isReadBack, tool: TOOL })
}

function mediaOf(text = 'all'): 'all' | number {
  if (text === 'all') return 'all'
  if (/^[1-9][0-9]{0,2}$/.test(text)) return Number(text)
  throw new MirrorError('usage', `--medium ${text}: expected a number or "all"`)
}

function exportingOf({ signal, now }: Context, mirror: string): Exporting {
  return { mirror, carrying: new Carrying(), signal, now }
}

const PROOFS: Readonly<Record<BagReport['readBack'], string>> = {
  direct: 'written, read back, safe to remove',
  cached:
    'written and read back, but through the cache of the system, which proves less; safe to remove',
  none: 'written, not read back',
  before: 'was written before',
}

function bagLine({ folder, bag, volumes, bytes, readBack }: BagReport): string {
  return `${folder}: ${PROOFS[readBack]} (bag ${bag}, ${volumes} volumes, ${bytesText(bytes)})`
}

function nextLine({ bundle, bags }: ExportReport): string[] {
  const last = bundle.media.at(-1) ?? 1
  const name = bags.at(-1)?.folder ?? ''
  const medium = Number(/-m([0-9]+)$/.exec(name)?.[1] ?? last)
  return medium < last ? [`next: the same command with --medium ${medium + 1} of ${last}`] : []
}
