import { exportsKept, forgetExport } from '../bundle/exports.ts'
import { type PruneReport, prune } from '../sync/prune.ts'
import { bytesText } from '../units.ts'
import { type Context, openConfigured } from './context.ts'
import { asWriter, syncSettings } from './writing.ts'

export interface PruneCommandOptions {
  readonly dryRun?: boolean
  readonly yes?: boolean
}

/** `crateferry prune [--dry-run] [--yes]`: removes what nothing names. */
export async function pruneCommand(
  context: Context,
  { dryRun: isDryRun = false, yes: isConfirmed = false }: PruneCommandOptions,
): Promise<number> {
  const { mirror, config } = await openConfigured(context)
  const { keepDays } = config.store
  const exported = exportsKept(mirror.root, {
    keepDays: config.bundle.keepBaseDays,
    now: context.now(),
  })
  const outcome = await asWriter(
    context,
    {
      command: isDryRun ? 'prune --dry-run' : 'prune',
      mirror,
      settings: syncSettings(config, mirror),
    },
    async run => {
      const alsoKept = exported.trees
      const report = await prune(run, { keepDays, alsoKept, isDryRun, isConfirmed })
      if (!isDryRun) for (const folder of exported.expired) await forgetExport(folder)
      const facts = { ...report }
      context.out.result({ ok: true, exit: 0, isDryRun, ...facts }, lines(report, isDryRun))
      return { exit: 0, facts }
    },
  )
  return outcome.exit
}

function lines(report: PruneReport, isDryRun: boolean): string[] {
  const { snapshots, metadata, tiles, indexFiles, artifacts, of, isMuch } = report
  const files = [artifacts, indexFiles, tiles, metadata]
  const bytes = files.reduce((sum, one) => sum + one.bytes, 0)
  if (snapshots.length === 0 && files.every(one => one.files === 0)) {
    return [`nothing to remove: all ${of.files} artifacts are named`]
  }
  const parts = [
    `${artifacts.files} of ${of.files} artifacts (${bytesText(artifacts.bytes)})`,
    `${indexFiles.files} index files`,
    `${tiles.files} tiles`,
    `${metadata.files} metadata files`,
    `${snapshots.length} old snapshots`,
  ]
  const line = `${parts.join(', ')}: ${bytesText(bytes)}`
  if (!isDryRun) return [`removed ${line}`]
  return [`would remove ${line}`, ...(isMuch ? ['so much goes only with --yes'] : [])]
}
