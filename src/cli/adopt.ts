import { realpathSync, statSync } from 'node:fs'
import { resolve, sep } from 'node:path'
import { MirrorError, quoted } from '../error.ts'
import type { Mirror } from '../store/mirror.ts'
import { type AdoptReport, adopt } from '../sync/adopt.ts'
import { bytesText } from '../units.ts'
import { type Context, openConfigured } from './context.ts'
import { EXIT } from './report.ts'
import { asWriter, type Outcome, syncSettings } from './writing.ts'

/** `crateferry adopt DIR`: what another tool has fetched need not be fetched again. */
export async function adoptCommand(context: Context, folder: string): Promise<number> {
  const { mirror, config } = await openConfigured(context)
  const from = directoryApart(resolve(context.cwd, folder), mirror)
  const settings = syncSettings(config, mirror)
  const outcome = await asWriter(context, { command: 'adopt', mirror, settings }, async run =>
    told(context, from, await adopt(run, from)),
  )
  return outcome.exit
}

/** The folder itself may be a link: that one the operator named. */
function directoryApart(folder: string, mirror: Mirror): string {
  const refusal = (why: string): MirrorError => new MirrorError('usage', `${quoted(folder)} ${why}`)
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw refusal('is no directory')
  }
  const from = realpathSync(folder)
  const root = realpathSync(mirror.root)
  if (isWithin(from, root)) throw refusal(`is part of the mirror ${root}`)
  if (isWithin(root, from)) throw refusal(`holds the mirror ${root}; name the folder of the crates`)
  return from
}

function isWithin(inner: string, outer: string): boolean {
  return `${inner}${sep}`.startsWith(outer.endsWith(sep) ? outer : `${outer}${sep}`)
}

function told({ out }: Context, from: string, report: AdoptReport): Outcome {
  const { warnings, found, adopted, bytes, alreadyHere, leftOut, unread } = report
  const exit = unread > 0 ? EXIT.incomplete : 0
  for (const warning of warnings) out.say(`warning: ${warning}`)
  const facts = { from, found, adopted, bytes, alreadyHere, leftOut, unread }
  out.result({ ok: exit === 0, exit, ...facts, warnings }, [line(report)])
  return { exit, facts }
}

function line({ found, adopted, bytes, alreadyHere, leftOut, unread }: AdoptReport): string {
  if (found + leftOut + unread === 0) return 'no crates there, nothing adopted'
  const here = alreadyHere > 0 ? `, ${alreadyHere} were here already` : ''
  const out = leftOut > 0 ? `, ${leftOut} left out` : ''
  const not = unread > 0 ? `, ${unread} could not be read` : ''
  return `adopted ${adopted} of ${found} crates (${bytesText(bytes)})${here}${out}${not}`
}
