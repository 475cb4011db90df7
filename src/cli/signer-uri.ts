import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { MirrorError } from '../error.ts'
import { openKeyFile } from '../trust/key-file.ts'
import type { Signer } from '../trust/signer.ts'
import type { Context } from './context.ts'
import { execSigner } from './exec-signer.ts'
import { refuseKeysInPublic } from './key-place.ts'

/** What a signer's URI is read with. */
interface Where {
  /** Where the URI stands, for messages: `sign.targets`. */
  readonly setting: string
  /** Relative paths count from here, and nothing below its `public/` may be a key. */
  readonly folder: string
  readonly env: Context['env']
  /** Asked for only where a key is sealed; `file` says of which. */
  readonly passphrase: (file: string) => Promise<string>
}

/** `file:PATH`, `env:NAME` or `exec:COMMAND`. @throws {MirrorError} usage */
export async function signerAt(uri: string, where: Where): Promise<Signer> {
  const { setting, env } = where
  const colon = uri.indexOf(':')
  const [kind, place] = [uri.slice(0, colon), uri.slice(colon + 1)]
  if (kind === 'exec') return execSigner(place, setting)
  const { bytes, name } = kind === 'env' ? inVariable(place, setting, env) : inFile(place, where)
  return await openKeyFile(bytes, name, () => where.passphrase(name))
}

interface Found {
  readonly bytes: Uint8Array
  readonly name: string
}

function inFile(place: string, { setting, folder }: Where): Found {
  const file = resolve(folder, place)
  refuseKeysInPublic(file, folder)
  try {
    return { bytes: readFileSync(file), name: `${setting} (${file})` }
  } catch (error) {
    throw new MirrorError('usage', `${setting}: cannot read ${file}`, { cause: error })
  }
}

function inVariable(name: string, setting: string, env: Context['env']): Found {
  const text = env[name] ?? ''
  if (text === '') throw new MirrorError('usage', `${setting}: the variable ${name} is not set`)
  return { bytes: Buffer.from(text), name: `${setting} (variable ${name})` }
}
