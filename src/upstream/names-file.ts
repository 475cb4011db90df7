import { MirrorError, quoted } from '../error.ts'
import { type CrateName, parseCrateName } from '../registry/crate-name.ts'

const NAMES_MAX = 5_000_000

/** Names of crates, one a line; empty lines and what follows a `#` say nothing. */
export function readNames(text: string, file: string): CrateName[] {
  const names = new Map<string, CrateName>()
  for (const [index, line] of text.split('\n').entries()) {
    const word = line.replace(/#.*/, '').trim()
    if (word === '') continue
    const name = parseCrateName(word)
    if (name === undefined || names.size >= NAMES_MAX) {
      throw new MirrorError('usage', `${file}:${index + 1}: ${quoted(word)} is not a crate name`)
    }
    names.getOrInsert(name.toLowerCase(), name)
  }
  return [...names.values()]
}
