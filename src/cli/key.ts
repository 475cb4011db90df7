import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { MirrorError, quoted } from '../error.ts'
import { createOnce } from '../store/durable.ts'
import {
  keyFile,
  type PublicHalf,
  publicHalf,
  publicHalfBytes,
  readPublicHalf,
} from '../trust/key-file.ts'
import type { Context } from './context.ts'
import { readGiven } from './given-file.ts'
import { refuseKeysInPublic } from './key-place.ts'
import { type PassphraseOptions, readPassphrase } from './passphrase.ts'
import { aloud } from './read-aloud.ts'

export interface KeyNewOptions extends PassphraseOptions {
  readonly owner?: string
  readonly insecurePlaintext?: boolean
}

/** `crateferry key new FILE`: a key that only its owner can read, and its public half beside it. */
export async function keyNewCommand(
  context: Context,
  given: string,
  options: KeyNewOptions,
): Promise<number> {
  const { owner, insecurePlaintext = false } = options
  const file = resolve(context.cwd, given)
  const half = `${file.replace(/\.key$/, '')}.pub.json`
  refuseKeysInPublic(file)
  requireName(owner)
  for (const place of [file, half]) {
    if (existsSync(place)) throw new MirrorError('usage', `${place} is there already`)
  }
  const passphrase = insecurePlaintext
    ? undefined
    : await readPassphrase(context, given, options, { twice: true })
  const bytes = await keyFile(randomBytes(32), { owner, passphrase })
  const key = readPublicHalf(bytes, file)
  await createOnce(file, bytes, { mode: 0o600 })
  await createOnce(half, publicHalfBytes(key), { mode: 0o644 })
  tellPublic(context, key)
  const state = insecurePlaintext ? 'unsealed: whoever reads the file can sign' : 'sealed'
  context.out.say(`the key is in ${file}, ${state}; what others need of it is in ${half}`)
  return 0
}

/** `crateferry key show FILE`: the half that may be known, of a key file, of what this printed, or a PEM. */
export async function keyShowCommand(context: Context, given: string): Promise<number> {
  tellPublic(context, readPublicHalf(readGiven(context, given, 'the key'), given))
  return 0
}

function tellPublic({ out }: Context, key: PublicHalf): void {
  const { scheme, keyval } = key.public as { scheme: string; keyval: { public: string } }
  const spelled = keyval.public.startsWith('-----') ? 'PEM' : keyval.public
  out.result(publicHalf(key), [
    ...(key.owner === undefined ? [] : [`owner   ${key.owner}`]),
    `keyid   ${key.keyid}`,
    `aloud   ${aloud(key.keyid)}`,
    `public  ${scheme} ${spelled}`,
  ])
}

/** A name ends in files and on terminals: printable, and short enough for a file's name. */
function requireName(owner: string | undefined): void {
  if (owner === undefined || /^[\p{L}\p{N}][\p{L}\p{N} ._@-]{0,63}$/u.test(owner)) return
  throw new MirrorError(
    'usage',
    `--owner ${quoted(owner)}: expected letters, digits, spaces and ._@-, at most 64`,
  )
}
