import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Config } from '../config.ts'
import { MirrorError } from '../error.ts'
import { readKeyFile, type SigningKey } from '../trust/key-file.ts'
import { ONLINE_ROLES, type OnlineKeys } from '../trust/sign.ts'
import type { Context } from './context.ts'
import { refuseKeysInPublic } from './key-place.ts'

/**
 * The keys that `[sign]` names, read where they are used and kept nowhere; undefined where none is
 * configured. Some without the others are a mistake.
 */
export function siteKeys(
  { env }: Pick<Context, 'env'>,
  mirror: string,
  { sign }: Config,
): OnlineKeys | undefined {
  const missing = ONLINE_ROLES.filter(role => sign[role] === undefined)
  if (missing.length === ONLINE_ROLES.length) return undefined
  if (missing.length > 0) {
    const keys = missing.map(role => `sign.${role}`).join(' and ')
    throw new MirrorError('usage', `${keys} must be set in the configuration as well`)
  }
  const key = (role: (typeof ONLINE_ROLES)[number]): SigningKey =>
    readKey(sign[role] ?? '', `sign.${role}`, { mirror, env })
  return { targets: key('targets'), snapshot: key('snapshot'), timestamp: key('timestamp') }
}

function readKey(
  uri: string,
  setting: string,
  { mirror, env }: { readonly mirror: string; readonly env: Context['env'] },
): SigningKey {
  const colon = uri.indexOf(':')
  const [kind, place] = [uri.slice(0, colon), uri.slice(colon + 1)]
  if (kind === 'env') return keyInVariable(place, setting, env)
  const file = resolve(mirror, place)
  refuseKeysInPublic(file, mirror)
  let bytes: Uint8Array
  try {
    bytes = readFileSync(file)
  } catch (error) {
    throw new MirrorError('usage', `${setting}: cannot read ${file}`, { cause: error })
  }
  return readKeyFile(bytes, `${setting} (${file})`)
}

function keyInVariable(name: string, setting: string, env: Context['env']): SigningKey {
  const text = env[name] ?? ''
  if (text === '') throw new MirrorError('usage', `${setting}: the variable ${name} is not set`)
  return readKeyFile(Buffer.from(text), `${setting} (variable ${name})`)
}
