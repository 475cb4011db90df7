import type { Config } from '../config.ts'
import type { Mirror } from '../store/mirror.ts'
import { readScrub, writeScrub } from '../store/scrub.ts'
import { readPublished } from '../store/snapshot.ts'
import { Progress } from '../sync/run.ts'
import { afterBite, scrubBite, scrubShare } from '../sync/scrub.ts'
import type { Fault } from '../sync/verify-finding.ts'
import { bytesText } from '../units.ts'
import { Traffic } from '../upstream/traffic.ts'
import { type Context, openConfigured } from './context.ts'
import { mendFindings } from './mending.ts'
import { EXIT } from './report.ts'

/** How many crates the daemon should read back now; 0: none are due. */
export function scrubDue(root: string, days: number, now: Date): number {
  const crates = days === 0 ? 0 : (readPublished(root)?.entries ?? 0)
  return crates === 0 ? 0 : scrubShare(readScrub(root), { crates, days, now })
}

/** Reads so many back, until `stop`, and mends what is wrong. */
export async function scrubNow(
  context: Context,
  { share, stop }: { readonly share: number; readonly stop: AbortSignal },
): Promise<number> {
  const { mirror, config } = await openConfigured(context)
  const { out, now } = context
  const scrub = readScrub(mirror.root)
  const progress = new Progress()
  context.daemon?.onRun('scrub', progress)
  const bite = await scrubBite(mirror.root, {
    after: scrub?.after ?? null,
    share,
    url: config.serve.url,
    pace: new Traffic(() => config.store.scrubBytesPerSecond),
    progress,
    now: now(),
    signal: AbortSignal.any([context.signal, stop]),
  })
  context.signal.throwIfAborted()
  const left = await mended(context, { mirror, config, faults: bite.faults })
  const after = afterBite(scrub, bite, { now: now(), left })
  writeScrub(mirror.root, after)
  if (after.before !== null && after.before.ended !== scrub?.before?.ended) {
    const { crates, bytes, faults } = after.before
    out.say(
      `all is read back: ${crates} crates, ${bytesText(bytes)}; files that were wrong: ${faults}`,
    )
  }
  return left > 0 ? EXIT.damaged : 0
}

/** How many could not be mended. What was wrong is told, and kept as the record of a run. */
async function mended(
  context: Context,
  {
    faults,
    ...given
  }: { readonly mirror: Mirror; readonly config: Config; readonly faults: readonly Fault[] },
): Promise<number> {
  if (faults.length === 0) return 0
  for (const { what } of faults) context.out.say(what)
  const names = new Set(faults.flatMap(({ crate }) => crate ?? []))
  const again = { kind: 'crates', crates: [...names].map(name => ({ name })) } as const
  const found = { command: 'scrub', findings: faults, faults: faults.length, again }
  const { left } = await mendFindings(context, { ...given, ...found })
  return left.length
}
