import { MirrorError } from '../error.ts'
import { parseCrateName } from '../registry/crate-name.ts'
import { parseVersion } from '../registry/version.ts'
import { repair } from '../sync/repair.ts'
import { Progress } from '../sync/run.ts'
import { type Target, verify } from '../sync/verify.ts'
import { type Finding, isFault } from '../sync/verify-finding.ts'
import { type Context, mirrorFolder, openConfigured } from './context.ts'
import { ProgressLine } from './progress.ts'
import { EXIT } from './report.ts'
import { asWriter, syncSettings, withUpstream } from './writing.ts'

export interface VerifyOptions {
  readonly index?: boolean
  readonly repair?: boolean
}

/** `crateferry verify [CRATE[@VERSION]…] [--index] [--repair]`: reads back, names every fault. */
export async function verifyCommand(
  context: Context,
  crates: readonly string[],
  options: VerifyOptions,
): Promise<number> {
  const target = targetOf(crates, options)
  const { mirror, config } = await openConfigured(mirrorFolder(context))
  const progress = new Progress()
  const look = {
    target,
    url: config.serve.url,
    progress,
    now: context.now(),
    signal: context.signal,
  }
  const findings: Finding[] = []
  {
    using _line = new ProgressLine(progress, context.out)
    for await (const finding of verify(mirror.root, look)) {
      findings.push(finding)
      tell(context, finding)
    }
  }
  const faults = findings.filter(isFault)
  if (faults.length === 0 || !options.repair) {
    return concluded(context, { faults: faults.length, mended: 0, left: faults.length })
  }
  const outcome = await asWriter(
    context,
    { command: 'verify --repair', mirror, settings: syncSettings(config) },
    async run => {
      const mend = async (
        upstream: Parameters<typeof repair>[1],
      ): Promise<Awaited<ReturnType<typeof repair>>> => repair(run, upstream, findings)
      const report =
        config.upstream.url === undefined
          ? await mend(undefined)
          : await withUpstream(config, mirror, mend)
      for (const { what } of report.left) context.out.say(`not mended: ${what}`)
      const left = report.left.length
      const exit = concluded(context, { faults: faults.length, mended: report.mended, left })
      return { exit, facts: { faults: faults.length, mended: report.mended, left } }
    },
  )
  return outcome.exit
}

function targetOf(crates: readonly string[], { index }: VerifyOptions): Target {
  if (crates.length === 0) return { kind: index ? 'index' : 'all' }
  if (index) throw new MirrorError('usage', 'either name crates or give --index')
  return {
    kind: 'crates',
    crates: crates.map(text => {
      const [before = '', after] = text.split('@')
      const [name, version] = [parseCrateName(before), parseVersion(after)]
      if (name === undefined || (after !== undefined && version === undefined)) {
        throw new MirrorError('usage', `${JSON.stringify(text)} is not CRATE or CRATE@VERSION`)
      }
      return { name, ...(version !== undefined && { version }) }
    }),
  }
}

function tell({ out }: Context, finding: Finding): void {
  if (!isFault(finding)) {
    out.say(`warning: ${finding.what}`)
    return
  }
  const { kind, what } = finding
  if (!out.isJson) out.item(finding, `${kind}: ${what}`)
}

function concluded(
  { out }: Context,
  count: { readonly faults: number; readonly mended: number; readonly left: number },
): number {
  const exit = count.left > 0 ? EXIT.damaged : 0
  const { faults, mended, left } = count
  const line =
    faults === 0
      ? 'no fault found'
      : mended === 0
        ? `${faults} faults; verify --repair mends what can be`
        : `${faults} faults, ${mended} mended, ${left} left`
  out.result({ ok: exit === 0, exit, ...count }, [line])
  return exit
}
