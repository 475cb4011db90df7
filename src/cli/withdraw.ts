import { MirrorError, quoted } from '../error.ts'
import { parseCrateName } from '../registry/crate-name.ts'
import { parseVersion } from '../registry/version.ts'
import { readWithdrawn, restore } from '../store/quarantine.ts'
import { pruneAgain } from '../sync/prune-again.ts'
import { NOBODY, recover } from '../sync/recover.ts'
import type { Run } from '../sync/run.ts'
import { entriesEver, type Named, withdrawEntries } from '../sync/withdraw.ts'
import { type Context, openConfigured } from './context.ts'
import { signAfterSync } from './sign-after-sync.ts'
import { asWriter, type Outcome, syncSettings } from './writing.ts'

export interface WithdrawOptions {
  readonly reason: string
  readonly restore?: boolean
}

/** `crateferry withdraw CRATE@VERSION… --reason TEXT [--restore]`: takes artifacts away, or back. */
export async function withdrawCommand(
  context: Context,
  versions: readonly string[],
  { reason, restore: isRestore = false }: WithdrawOptions,
): Promise<number> {
  const named = versions.map(parseNamed)
  const { mirror, config } = await openConfigured(context)
  const settings = syncSettings(config, mirror)
  const command = isRestore ? 'withdraw --restore' : 'withdraw'
  const outcome = await asWriter(context, { command, mirror, settings }, async run => {
    await recover(run, NOBODY)
    const { exit, facts } = isRestore
      ? await restored(context, run, named)
      : await withdrawn(context, run, named, reason)
    const isPruned = await pruneAgain(run)
    const site = isPruned ? await signAfterSync(context, config, run) : undefined
    if (site?.outcome !== 'failed') return { exit, facts: { ...facts, reason } }
    context.out.say(`not signed: ${site.reason}`)
    return { exit: site.exit, facts: { ...facts, reason } }
  })
  return outcome.exit
}

function parseNamed(text: string): Named {
  const [before = '', after] = text.split('@')
  const [crate, version] = [parseCrateName(before), parseVersion(after)]
  if (crate !== undefined && version !== undefined) return { crate, version }
  throw new MirrorError('usage', `${quoted(text)} is not CRATE@VERSION`)
}

/** All or none: a name that is written wrong leaves everything as it is. */
async function withdrawn(
  { out }: Context,
  run: Run,
  named: readonly Named[],
  reason: string,
): Promise<Outcome> {
  const { root } = run.writer.mirror
  const entries = named.flatMap(one => {
    const found = entriesEver(root, one)
    if (found.length > 0) return found
    throw new MirrorError('usage', `no index file here names ${one.crate}@${one.version}`)
  })
  const count = await withdrawEntries(run, entries, reason)
  const facts = { withdrawn: entries.map(({ checksum }) => checksum), count }
  out.result({ ok: true, exit: 0, ...facts }, [
    ...entries.map(e => `withdrawn: ${e.crate}@${e.version} (sha256 ${e.checksum})`),
    ...(count < entries.length ? [`${entries.length - count} of them were withdrawn before`] : []),
  ])
  return { exit: 0, facts }
}

async function restored(
  { out }: Context,
  { writer }: Run,
  named: readonly Named[],
): Promise<Outcome> {
  const records = [...readWithdrawn(writer.mirror.root)]
  const chosen = named.flatMap(({ crate, version }) => {
    const found = records.filter(([, one]) => one.crate === crate && one.version === version)
    if (found.length > 0) return found
    throw new MirrorError('usage', `${crate}@${version} is not withdrawn`)
  })
  const lines: string[] = []
  for (const [checksum, { crate, version }] of chosen) {
    const isHere = await restore(writer, checksum)
    const rest = isHere
      ? ''
      : `; its bytes are not here: verify ${crate}@${version} --repair fetches them`
    lines.push(`restored: ${crate}@${version} (sha256 ${checksum})${rest}`)
  }
  const facts = { restored: chosen.map(([checksum]) => checksum) }
  out.result({ ok: true, exit: 0, ...facts }, lines)
  return { exit: 0, facts }
}
