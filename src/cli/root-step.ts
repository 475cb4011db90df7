import { type Draft, readDraft } from '../trust/draft.ts'
import { openEnvelope } from '../trust/envelope.ts'
import { type RootChange, rootChange } from '../trust/root-change.ts'
import { type RootStep, rootStep } from '../trust/root-step.ts'
import type { Context } from './context.ts'
import { readGiven } from './given-file.ts'

export interface StepOptions {
  readonly prev?: string
}

/** The draft and the root before it as they were given, found to belong together. */
export function readStep(
  context: Context,
  file: string,
  { prev }: StepOptions,
): { readonly step: RootStep; readonly change: RootChange } {
  const draft = readDraft(readGiven(context, file, 'the draft'), file)
  const previous =
    prev === undefined ? undefined : { bytes: readGiven(context, prev, 'the root'), file: prev }
  const step = rootStep(draft, file, previous)
  const before = previous && openEnvelope(previous.bytes, previous.file).signed
  return { step, change: rootChange(step, before) }
}

/** What changes, one line each, in words. */
export function changeInWords(
  change: RootChange,
  { owners }: Pick<Draft, 'owners'>,
): readonly string[] {
  const name = (keyid: string): string => {
    const owner = owners.get(keyid)
    return owner === undefined ? keyid : `${keyid}  (said to be ${owner})`
  }
  const { before, after } = change.expires
  const lines = [
    before === undefined
      ? `until      ${after}`
      : `until      ${after}, the one before until ${before}`,
  ]
  for (const { role, comes, goes, stays, threshold, keys } of change.roles) {
    const was = threshold.before ?? threshold.after
    const rule = `${threshold.after} of ${keys} sign`
    const isOther = was !== threshold.after
    lines.push(`${role.padEnd(9)}  ${rule}${isOther ? `, ${was} before` : ''}`)
    for (const keyid of goes) lines.push(`  goes     ${name(keyid)}`)
    for (const keyid of comes) lines.push(`  comes    ${name(keyid)}`)
    for (const keyid of stays) lines.push(`  stays    ${name(keyid)}`)
  }
  for (const one of change.otherMembers) lines.push(`also changes: ${one}`)
  return lines
}
