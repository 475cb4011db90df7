import { sha256 } from '../registry/checksum.ts'
import { digestOf, openEnvelope } from '../trust/envelope.ts'
import { ONLINE_ROLES } from '../trust/sign.ts'
import { countedKeys } from '../trust/threshold.ts'
import { TrustedSet } from '../trust/trusted.ts'
import type { Context } from './context.ts'
import { readGiven } from './given-file.ts'
import { aloud } from './read-aloud.ts'
import type { StepOptions } from './root-step.ts'

/** `crateferry root show ROOT`: what it says and who signed it; with the one before, that it follows. */
export async function rootShowCommand(
  context: Context,
  file: string,
  { prev }: StepOptions,
): Promise<number> {
  const bytes = readGiven(context, file, 'the root')
  const { root } = new TrustedSet(bytes, file)
  const envelope = openEnvelope(bytes, file)
  const old =
    prev === undefined ? undefined : new TrustedSet(readGiven(context, prev, 'the root'), prev)
  const before = old?.root
  old?.updateRoot(bytes, file)
  const signers = [...countedKeys(envelope, root.roles.root)]
  const digest = digestOf(envelope)
  const roles = (['root', ...ONLINE_ROLES] as const).map(role => ({
    role,
    threshold: root.roles[role].threshold,
    keyids: [...root.roles[role].keys.keys()],
  }))
  const { version, expires } = root
  const said = { version, expires, roles, signers, digest, sha256: sha256(bytes) }
  context.out.result({ ok: true, exit: 0, ...said, ...(before && { follows: before.version }) }, [
    `root ${version}, until ${expires}, signed by ${signers.length} of its own keys, ${root.roles.root.threshold} needed`,
    ...(before === undefined ? [] : [`it follows root ${before.version}: both thresholds hold`]),
    ...roles.flatMap(({ role, threshold, keyids }) => [
      `${role.padEnd(9)}  ${threshold} of ${keyids.length} sign`,
      ...keyids.map(
        keyid => `  ${keyid}${role === 'root' && signers.includes(keyid) ? '  signed' : ''}`,
      ),
    ]),
    `digest     ${digest}`,
    `aloud      ${aloud(digest)}`,
    `sha256     ${sha256(bytes)}`,
  ])
  return 0
}
