import { resolve } from 'node:path'
import { MirrorError } from '../error.ts'
import { sha256 } from '../registry/checksum.ts'
import { createOnce } from '../store/durable.ts'
import { openKeyFile, type PublicHalf, readPublicHalf, type SigningKey } from '../trust/key-file.ts'
import { foundRoot } from '../trust/root-text.ts'
import { ONLINE_ROLES } from '../trust/sign.ts'
import type { Context } from './context.ts'
import { readGiven } from './given-file.ts'
import { type PassphraseOptions, readPassphrase } from './passphrase.ts'

export interface RootNewOptions extends PassphraseOptions {
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
  options: RootNewOptions,
): Promise<number> {
  const { threshold } = options
  const halfOf = (file: string): PublicHalf =>
    readPublicHalf(readGiven(context, file, 'the key'), file)
  const online = {
    targets: halfOf(options.targets),
    snapshot: halfOf(options.snapshot),
    timestamp: halfOf(options.timestamp),
  }
  const people = options.key.map(halfOf)
  requireQuorum(people, threshold)
  for (const role of ONLINE_ROLES) requireApart(people, role, online[role])
  const root: SigningKey[] = []
  for (const file of options.key) {
    const bytes = readGiven(context, file, 'the key')
    root.push(await openKeyFile(bytes, file, () => readPassphrase(context, file, options)))
  }
  const bytes = await foundRoot({ root, ...online }, { threshold, now: context.now() })
  await createOnce(resolve(context.cwd, out), bytes, { mode: 0o644 })

  const fingerprint = sha256(bytes)
  const keyids = { root: root.map(({ keyid }) => keyid), ...onlineIds(online) }
  context.out.result({ file: out, version: 1, threshold, keyids, sha256: fingerprint }, [
    `root 1 in ${out}: ${threshold} of ${root.length} keys sign the next one`,
    ...keyids.root.map(keyid => `root       ${keyid}`),
    ...ONLINE_ROLES.map(role => `${role.padEnd(9)}  ${online[role].keyid}`),
    `sha256     ${fingerprint}`,
    'pass the file on together with its sha256, by a way that those who pin it trust',
  ])
  return 0
}

/** @throws {MirrorError} usage */
export function requireQuorum(root: readonly PublicHalf[], threshold: number): void {
  const keyids = new Set(root.map(({ keyid }) => keyid))
  if (keyids.size < root.length) {
    throw new MirrorError('usage', 'one root key is given twice: it would count once')
  }
  if (threshold >= 1 && threshold <= root.length) return
  throw new MirrorError(
    'usage',
    `--threshold is ${threshold}, expected 1 to ${root.length}, the number of root keys`,
  )
}

/** A key that signs every day lies on a machine with a network: there it must not name keys. */
export function requireApart(
  root: readonly PublicHalf[],
  role: string,
  { keyid }: PublicHalf,
): void {
  if (!root.some(key => key.keyid === keyid)) return
  throw new MirrorError('usage', `the ${role} key is one of the root keys, which stay offline`)
}

function onlineIds(
  keys: Readonly<Record<(typeof ONLINE_ROLES)[number], PublicHalf>>,
): Record<string, string> {
  return Object.fromEntries(ONLINE_ROLES.map(role => [role, keys[role].keyid]))
}
