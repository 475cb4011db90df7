import { MirrorError, quoted } from '../error.ts'
import type { Checksum } from '../registry/checksum.ts'
import { sortedByPath } from './entry.ts'
import { checkAscending, entryLine, type Refuse, readEntry, readLines, readPath } from './lines.ts'
import type { TreeChange } from './update.ts'

/** How to come from one tree to another, by their root hashes. */
export interface Delta {
  readonly from: Checksum
  readonly to: Checksum
  readonly changes: readonly TreeChange[]
}

/** From one version to a later one: `FROM-TO` in a delta's name. */
export interface Span {
  readonly from: number
  readonly to: number
}

/** A delta is a hint that nobody signed: what is refused here is had by tiles instead. */
export class DeltaRefused extends MirrorError {
  constructor(fault: string) {
    super('refused', `delta: ${fault}`)
  }
}

const HEADER = /^index-tree 1 delta ([0-9a-f]{64}) ([0-9a-f]{64}) (0|[1-9][0-9]{0,11})$/
const REMOVED = '- - '
const SPANS = [4096, 256, 16, 1]
const FULL_LISTING = 256

/** The one spelling of a delta, in whatever order the changes come. */
export function encodeDelta({ from, to, changes }: Delta): Uint8Array {
  const lines = sortedByPath(changes).map(changeLine)
  return Buffer.from(`index-tree 1 delta ${from} ${to} ${lines.length}\n${lines.join('')}`)
}

/**
 * A delta of the right form, which is trusted for nothing: that its changes lead from the one tree
 * to the other shows only when they were applied. Whoever fetches it bounds its size.
 */
export function parseDelta(bytes: Uint8Array): Delta {
  const refuse: Refuse = fault => new DeltaRefused(fault)
  const lines = readLines(bytes, refuse)
  const header = lines.shift() ?? ''
  const [, from, to, count] = HEADER.exec(header) ?? []
  if (count === undefined) throw refuse(`header ${quoted(header)} is not of index tree version 1`)
  if (lines.length !== Number(count)) {
    throw refuse(`${lines.length} changes, but its header says ${count}`)
  }
  // equal roots are equal trees, so that a line would change nothing, or none be missing
  if ((from === to) !== (lines.length === 0)) throw refuse(`${count} changes from ${from} to ${to}`)
  const changes = lines.map(line => readChange(line, refuse))
  checkAscending(changes, refuse)
  return { from: from as Checksum, to: to as Checksum, changes }
}

/**
 * The deltas that lead from one version to a later one: the largest aligned spans. From nothing
 * (version 0) the full listing comes first.
 */
export function* cover(from: number, to: number): Generator<Span> {
  let at = from
  const listed = to - (to % FULL_LISTING)
  if (from === 0 && listed > 0) {
    yield { from, to: listed }
    at = listed
  }
  while (at < to) {
    const start = at
    at += SPANS.find(span => start % span === 0 && start + span <= to) ?? 1
    yield { from: start, to: at }
  }
}

function changeLine({ path, after }: TreeChange): string {
  return after === undefined ? `${REMOVED}${path}\n` : entryLine(after)
}

function readChange(line: string, refuse: Refuse): TreeChange {
  if (line.startsWith(REMOVED)) {
    return { path: readPath(line.slice(REMOVED.length), refuse), after: undefined }
  }
  const after = readEntry(line, refuse)
  return { path: after.path, after }
}
