import { resolve } from 'node:path'
import { MirrorError } from '../error.ts'
import { sha256 } from '../registry/checksum.ts'
import { createOnce } from '../store/durable.ts'
import { type PublicHalf, readKeyFile, readPublicHalf, type SigningKey } from '../trust/key-file.ts'
import { foundRoot, ONLINE_ROLES } from '../trust/sign.ts'
import type { Context } from './context.ts'
import { readGiven } from './given-file.ts'

export interface RootOptions {
  readonly key: readonly string[]
  readonly threshold: number
  readonly targets: string
  readonly snapshot: string
  readonly timestamp: string
}

/** `crateferry root new OUT`: version 1 of a root, signed on the spot by all whose keys it names. */
export async function rootNewCommand(
  context: Context,
  out: string,
  options: RootOptions,
): Promise<number> {
  const { threshold } = options
  const root = options.key.map(file => readKeyFile(readGiven(context, file, 'the key'), file))
  const online = (role: (typeof ONLINE_ROLES)[number]): PublicHalf =>
    readPublicHalf(readGiven(context, options[role], 'the key'), options[role])
  const founders = {
    root,
    targets: online('targets'),
    snapshot: online('snapshot'),
    timestamp: online('timestamp'),
  }
  requireQuorum(root, threshold)
  for (const role of ONLINE_ROLES) requireApart(root, role, founders[role])
  const bytes = foundRoot(founders, { threshold, now: context.now() })
  await createOnce(resolve(context.cwd, out), bytes, { mode: 0o644 })

  const fingerprint = sha256(bytes)
  const keyids = { root: root.map(({ keyid }) => keyid), ...onlineIds(founders) }
  context.out.result({ file: out, version: 1, threshold, keyids, sha256: fingerprint }, [
    `root 1 in ${out}: ${threshold} of ${root.length} keys sign the next one`,
    ...keyids.root.map(keyid => `root       ${keyid}`),
    ...ONLINE_ROLES.map(role => `${role.padEnd(9)}  ${founders[role].keyid}`),
    `sha256     ${fingerprint}`,
    'pass the file on together with its sha256, by a way that those who pin it trust',
  ])
  return 0
}

function requireQuorum(root: readonly SigningKey[], threshold: number): void {
  const keyids = new Set(root.map(({ keyid }) => keyid))
  if (keyids.size < root.length) {
    throw new MirrorError('usage', 'one key is given twice with --key: it would count once')
  }
  if (threshold >= 1 && threshold <= root.length) return
  throw new MirrorError(
    'usage',
    `--threshold is ${threshold}, expected 1 to ${root.length}, the number of root keys`,
  )
}

/** A key that signs every day lies on a machine with a network: there it must not name keys. */
function requireApart(root: readonly SigningKey[], role: string, { keyid }: PublicHalf): void {
  if (!root.some(key => key.keyid === keyid)) return
  throw new MirrorError('usage', `--${role} is one of the root keys, which stay offline`)
}

function onlineIds(
  keys: Readonly<Record<(typeof ONLINE_ROLES)[number], PublicHalf>>,
): Record<string, string> {
  return Object.fromEntries(ONLINE_ROLES.map(role => [role, keys[role].keyid]))
}
