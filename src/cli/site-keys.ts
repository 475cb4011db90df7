import { resolve } from 'node:path'
import type { Config } from '../config.ts'
import { MirrorError } from '../error.ts'
import { type Lifetimes, ONLINE_ROLES, type OnlineKeys } from '../trust/sign.ts'
import type { Signer } from '../trust/signer.ts'
import type { Context } from './context.ts'
import { passphraseIn } from './passphrase.ts'
import { signerAt } from './signer-uri.ts'

/**
 * Whether `[sign]` names keys. Some without the others are a mistake.
 * @throws {MirrorError} usage
 */
export function hasSiteKeys({ sign }: Config): boolean {
  const missing = ONLINE_ROLES.filter(role => sign[role] === undefined)
  if (missing.length === ONLINE_ROLES.length) return false
  if (missing.length === 0) return true
  const keys = missing.map(role => `sign.${role}`).join(' and ')
  throw new MirrorError('usage', `${keys} must be set in the configuration as well`)
}

/** Those keys, read where they are used and kept nowhere; undefined where none is configured. */
export async function siteKeys(
  { env }: Pick<Context, 'env'>,
  mirror: string,
  config: Config,
): Promise<OnlineKeys | undefined> {
  if (!hasSiteKeys(config)) return undefined
  const { sign } = config
  const passphrase = async (file: string): Promise<string> => {
    if (sign.passphraseFile !== undefined) return passphraseIn(resolve(mirror, sign.passphraseFile))
    throw new MirrorError('usage', `${file} is sealed: set sign.passphrase-file`)
  }
  const key = (role: (typeof ONLINE_ROLES)[number]): Promise<Signer> =>
    signerAt(sign[role] ?? '', { setting: `sign.${role}`, folder: mirror, env, passphrase })
  return {
    targets: await key('targets'),
    snapshot: await key('snapshot'),
    timestamp: await key('timestamp'),
  }
}

/** How long what the site signs is good for, by `[sign]`. */
export function lifetimesOf({ sign }: Config): Lifetimes {
  return {
    targets: sign.targetsDays * DAY_SECONDS,
    snapshot: sign.snapshotDays * DAY_SECONDS,
    timestamp: sign.timestampHours * 3600,
  }
}

const DAY_SECONDS = 86_400
