import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { MirrorError } from '../error.ts'
import { envelopeOf, readSignature, signatureBytes } from '../trust/draft.ts'
import { type RootStep, requireMember, requireSignable } from '../trust/root-step.ts'
import type { Context } from './context.ts'
import { readGiven } from './given-file.ts'
import { writeOnce } from './once.ts'
import { type PassphraseOptions, readPassphrase } from './passphrase.ts'
import { aloud } from './read-aloud.ts'
import { changeInWords, readStep, type StepOptions } from './root-step.ts'
import { signerAt } from './signer-uri.ts'

export interface RootSignOptions extends StepOptions, PassphraseOptions {
  readonly key: string
  readonly out?: string
  readonly acceptSingle?: boolean
}

/** `crateferry root sign DRAFT`: one member's signature, a small file for whoever merges them. */
export async function rootSignCommand(
  context: Context,
  file: string,
  options: RootSignOptions,
): Promise<number> {
  const { step, change } = readStep(context, file, options)
  const { draft, digest } = step
  requireSignable(step, { now: context.now(), acceptSingle: options.acceptSingle === true })
  const isUri = /^(?:file|env|exec):/.test(options.key)
  const signer = await signerAt(isUri ? options.key : `file:${options.key}`, {
    setting: '--key',
    folder: context.cwd,
    env: context.env,
    passphrase: of => readPassphrase(context, of, options),
  })
  // over what is written out here and now, never over bytes found in the file
  const { keyid, sig } = await signer.signature(envelopeOf(draft, file).canonical)
  requireMember(step, { keyid, sig }, '--key')
  const out = options.out ?? `${draft.version}.root.${keyid.slice(0, 8)}.sig.json`
  const signature = { version: draft.version, digest, keyid, sig }
  if (!isThere(context, out, step, keyid)) await writeOnce(context, out, signatureBytes(signature))
  context.out.result({ file: out, ...signature }, [
    `root ${draft.version} as signed by ${keyid}`,
    ...changeInWords(change, draft),
    `aloud      ${aloud(digest)}`,
    `the signature is in ${out}`,
  ])
  return 0
}

/** A signature of the same draft by the same key, which another signature could only repeat. */
function isThere(context: Context, out: string, step: RootStep, keyid: string): boolean {
  if (!existsSync(resolve(context.cwd, out))) return false
  try {
    const before = readSignature(readGiven(context, out, 'the signature'), out)
    if (before.keyid !== keyid || before.digest !== step.digest) return false
    requireMember(step, before, out)
    return true
  } catch (error) {
    if (error instanceof MirrorError) return false
    throw error
  }
}
