import { requireSignable } from '../trust/root-step.ts'
import type { Context } from './context.ts'
import { aloud } from './read-aloud.ts'
import { changeInWords, readStep, type StepOptions } from './root-step.ts'

/** `crateferry root review DRAFT`: what it changes, in words, and the digest to compare by voice. */
export async function rootReviewCommand(
  context: Context,
  file: string,
  options: StepOptions,
): Promise<number> {
  const { step, change } = readStep(context, file, options)
  const { draft, digest, previous, next } = step
  requireSignable(step, { now: context.now(), acceptSingle: true })
  const needed = [previous, next].flatMap(root =>
    root === undefined ? [] : [`${root.roles.root.threshold} keys of root ${root.version}`],
  )
  const isSingle = next.roles.root.threshold === 1
  context.out.result({ ok: true, exit: 0, file, digest, ...change }, [
    `root ${change.version}${previous === undefined ? ', a first one' : ` after root ${previous.version}`}`,
    ...changeInWords(change, draft),
    ...(isSingle ? ['warning: one key alone would sign the next root'] : []),
    `to be signed by ${needed.join(' and ')}`,
    `digest     ${digest}`,
    `aloud      ${aloud(digest)}`,
  ])
  return 0
}
