import { MirrorError } from '../error.ts'
import { NOBODY, recover } from '../sync/recover.ts'
import { type SiteReport, signSite } from '../sync/site.ts'
import { type Context, openConfigured } from './context.ts'
import { readGiven } from './given-file.ts'
import { lifetimesOf, siteKeys } from './site-keys.ts'
import { asWriter, type Outcome, syncSettings } from './writing.ts'

export interface SignOptions {
  readonly root?: string
}

/** `crateferry sign [--root FILE]`: the published tree into the site's own chain. No network. */
export async function signCommand(context: Context, options: SignOptions): Promise<number> {
  const { mirror, config } = await openConfigured(context)
  const keys = await siteKeys(context, mirror.root, config)
  if (keys === undefined) {
    throw new MirrorError(
      'usage',
      `${mirror.root} has no [sign] keys in its configuration: set targets, snapshot, timestamp`,
    )
  }
  const { root: file } = options
  const root =
    file === undefined ? undefined : { bytes: readGiven(context, file, 'the root'), file }
  const settings = syncSettings(config, mirror)
  const outcome = await asWriter(context, { command: 'sign', mirror, settings }, async run => {
    await recover(run, NOBODY)
    return told(context, await signSite(run, keys, { root, lifetimes: lifetimesOf(config) }))
  })
  return outcome.exit
}

function told({ out }: Context, { warnings, ...report }: SiteReport): Outcome {
  for (const warning of warnings) out.say(`warning: ${warning}`)
  const { outcome, tree, versions, until } = report
  const { root, targets, snapshot, timestamp } = versions
  const state = `targets ${targets}, snapshot ${snapshot}, timestamp ${timestamp} under root ${root}`
  out.result({ ok: true, exit: 0, ...report, warnings }, [
    outcome === 'unchanged' ? `nothing to sign: ${state}` : `signed: ${state}`,
    `tree   ${tree}`,
    `until  ${until}`,
  ])
  return { exit: 0, facts: { ...report } }
}
