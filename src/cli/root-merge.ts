import { MirrorError } from '../error.ts'
import { sha256 } from '../registry/checksum.ts'
import { readSignature } from '../trust/draft.ts'
import { type Count, merged, requireSignable } from '../trust/root-step.ts'
import { TrustedSet, verifyRoot } from '../trust/trusted.ts'
import type { Context } from './context.ts'
import { readGiven } from './given-file.ts'
import { writeOnce } from './once.ts'
import { readStep, type StepOptions } from './root-step.ts'

export interface RootMergeOptions extends StepOptions {
  readonly sig: readonly string[]
  readonly out: string
}

/** `crateferry root merge DRAFT`: the root, once both thresholds hold. */
export async function rootMergeCommand(
  context: Context,
  file: string,
  options: RootMergeOptions,
): Promise<number> {
  const { step } = readStep(context, file, options)
  requireSignable(step, { now: context.now(), acceptSingle: true })
  const signatures = options.sig.map(file => ({
    ...readSignature(readGiven(context, file, 'the signature'), file),
    file,
  }))
  const { bytes, old, new: now, isWhole } = merged(step, signatures)
  const counts = [old && `old ${shown(old)}`, `new ${shown(now)}`].filter(one => one !== undefined)
  const state = counts.join(', ')
  if (!isWhole) {
    throw new MirrorError(
      'signature',
      `${file}: ${state}; nothing is written until enough have signed`,
    )
  }
  requireAccepted(context, bytes, options)
  await writeOnce(context, options.out, bytes)
  const { version } = step.draft
  context.out.result(
    { ok: true, exit: 0, file: options.out, version, old, new: now, sha256: sha256(bytes) },
    [`${state}`, `root ${version} in ${options.out}`, `sha256  ${sha256(bytes)}`],
  )
  return 0
}

function shown({ have, need }: Count): string {
  return `${have}/${need}`
}

/** Whoever follows the old root will judge the new one so. */
function requireAccepted(
  context: Context,
  bytes: Uint8Array,
  { prev, out }: RootMergeOptions,
): void {
  if (prev === undefined) verifyRoot(bytes, out)
  else new TrustedSet(readGiven(context, prev, 'the root'), prev).updateRoot(bytes, out)
}
