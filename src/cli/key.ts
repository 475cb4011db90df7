import { randomBytes } from 'node:crypto'
import { resolve } from 'node:path'
import { createOnce } from '../store/durable.ts'
import { type PublicHalf, plainKeyFile, publicHalf, readPublicHalf } from '../trust/key-file.ts'
import type { Context } from './context.ts'
import { readGiven } from './given-file.ts'
import { refuseKeysInPublic } from './key-place.ts'

/** `crateferry key new FILE`: one key, plain, that only its owner can read. */
export async function keyNewCommand(context: Context, given: string): Promise<number> {
  const file = resolve(context.cwd, given)
  refuseKeysInPublic(file)
  const bytes = plainKeyFile(randomBytes(32))
  await createOnce(file, bytes, { mode: 0o600 })
  tellPublic(context, readPublicHalf(bytes, file))
  context.out.say(`the key is in ${file}, unsealed: whoever reads the file can sign`)
  return 0
}

/** `crateferry key show FILE`: the half that may be known, of a key file or of what this printed. */
export async function keyShowCommand(context: Context, given: string): Promise<number> {
  tellPublic(context, readPublicHalf(readGiven(context, given, 'the key'), given))
  return 0
}

function tellPublic({ out }: Context, key: PublicHalf): void {
  const { public: object } = key
  const { keyval } = object as { keyval: { public: string } }
  out.result(publicHalf(key), [`keyid   ${key.keyid}`, `public  ed25519 ${keyval.public}`])
}
