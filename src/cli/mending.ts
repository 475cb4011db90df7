import type { Config } from '../config.ts'
import type { Mirror } from '../store/mirror.ts'
import { type Mender, type RepairReport, repair } from '../sync/repair.ts'
import type { Run } from '../sync/run.ts'
import type { Target } from '../sync/verify.ts'
import type { Finding } from '../sync/verify-finding.ts'
import type { Context } from './context.ts'
import { withObserver } from './observing.ts'
import { EXIT } from './report.ts'
import { asWriter, hasSignedUpstream, syncSettings, trafficFor, withUpstream } from './writing.ts'

/** Mends what was found, as the one writer, from whatever this mirror is filled from; says what it could not. */
export async function mendFindings(
  context: Context,
  {
    command,
    mirror,
    config,
    ...found
  }: {
    readonly command: string
    readonly mirror: Mirror
    readonly config: Config
    readonly findings: readonly Finding[]
    readonly faults: number
    /** What is read once more when it is mended. */
    readonly again: Target
  },
): Promise<RepairReport> {
  const options = { command, mirror, settings: syncSettings(config, mirror) }
  const reports: RepairReport[] = []
  await asWriter(context, options, async run => {
    const report = await withSource(context, config, run, source => repair(run, source, found))
    for (const { what } of report.left) context.out.say(`not mended: ${what}`)
    reports.push(report)
    const left = report.left.length
    const facts = { faults: found.faults, mended: report.mended, left }
    return { exit: left > 0 ? EXIT.damaged : 0, facts }
  })
  return reports[0] as RepairReport
}

/** Lends whatever this mirror is filled from, where it can be asked at all. */
async function withSource<Result>(
  context: Context,
  config: Config,
  run: Run,
  work: (source: Mender | undefined) => Promise<Result>,
): Promise<Result> {
  const { trust } = config.upstream
  const traffic = trafficFor(context, config)
  if (trust === 'observed') {
    return await withObserver(config, run, { isSweepAsked: false, traffic }, work)
  }
  return hasSignedUpstream(config)
    ? await withUpstream(config, run.writer.mirror, traffic, work)
    : await work(undefined)
}
