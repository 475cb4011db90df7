import { MirrorError, quoted } from '../error.ts'
import { type CrateName, parseCrateName } from '../registry/crate-name.ts'

const BYTES_MAX = 64 * 1_048_576
const LINES_MAX = 5_000_000

/**
 * Reads a file of crate names, one a line; `#` begins a comment. A name that comes again in another
 * case is the same index file, and counts once, as first written. That `a-b` and `a_b` exclude each
 * other is a rule of crates.io and of no other registry, so both stay.
 * @throws {MirrorError} usage, with the number of the first line that is no name
 */
export function readNames(text: string, file: string): CrateName[] {
  if (Buffer.byteLength(text) > BYTES_MAX) {
    throw new MirrorError(
      'usage',
      `${file}: longer than ${BYTES_MAX} bytes, the most for a file of names`,
    )
  }
  const names = new Map<string, CrateName>()
  let number = 0
  for (const line of linesOf(text)) {
    number += 1
    if (number > LINES_MAX) throw new MirrorError('usage', `${file}: more than ${LINES_MAX} lines`)
    const [before = ''] = line.split('#', 1)
    const word = before.trim()
    if (word === '') continue
    const name = parseCrateName(word)
    if (name === undefined) {
      throw new MirrorError('usage', `${file}: line ${number}: ${quoted(word)} is not a crate name`)
    }
    names.getOrInsert(name.toLowerCase(), name)
  }
  return [...names.values()]
}

/** Not `split`: a file of the largest size would be millions of strings at once. */
function* linesOf(text: string): Generator<string> {
  // Editors on Windows put a byte order mark first.
  for (let start = text.startsWith('\ufeff') ? 1 : 0; start < text.length; ) {
    const newline = text.indexOf('\n', start)
    const end = newline < 0 ? text.length : newline
    yield text.slice(start, end)
    start = end + 1
  }
}
