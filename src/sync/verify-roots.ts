import { MirrorError } from '../error.ts'
import { type Checksum, sha256 } from '../registry/checksum.ts'
import type { Root } from '../trust/root.ts'
import { TrustedSet } from '../trust/trusted.ts'
import type { ChainCopies, Copy } from './chain-copies.ts'
import type { Finding } from './verify-finding.ts'

interface Expected {
  /** The fingerprint of the pinned root; null: the first root kept is the one believed. */
  readonly pinned: Checksum | null
  /** Roots up to this version must be shown, whatever is. */
  readonly lastShown: number
}

/**
 * The roots of a chain, one after the other (TUF 5.3), and nothing after the first that is lost.
 * Returns those that are right.
 */
export function* rootFindings(
  copies: ChainCopies,
  { pinned, lastShown }: Expected,
): Generator<Finding, readonly Root[]> {
  const history = `${copies.kept}/root_history`
  const [kept, shown] = [copies.rootsIn(history), copies.rootsIn(copies.shown)]
  const last = Math.max(0, ...kept, ...shown)
  const right: Root[] = []
  for (let n = firstRoot(copies, pinned); n <= last; n += 1) {
    const files = [`${history}/${n}.root.json`]
    if (n <= Math.max(lastShown, ...shown)) files.push(`${copies.shown}/${n}.root.json`)
    const read = (copy: Copy): Root => nextRoot(right.at(-1), copy, pinned)
    const bytes = yield* copies.judge(files, read, right)
    if (bytes === undefined) return right
    right.push(read({ file: files[0] ?? '', bytes }))
  }
  yield* newestRoot(copies, right)
  return right
}

/** Verified against the pinned fingerprint, or against the root before it (TUF 5.3.4, 5.3.5). */
function nextRoot(before: Root | undefined, { file, bytes }: Copy, pinned: Checksum | null): Root {
  if (before !== undefined) {
    const trusted = new TrustedSet(before.bytes, file)
    trusted.updateRoot(bytes, file)
    return trusted.root
  }
  const found = sha256(bytes)
  if (pinned !== null && found !== pinned) {
    throw new MirrorError('damaged', `${file}: sha256 ${found}, but ${pinned} is pinned`)
  }
  return new TrustedSet(bytes, file).root
}

/** `root.json` is a copy of one that is right: of the last but one where a run was killed. */
function* newestRoot(copies: ChainCopies, right: readonly Root[]): Generator<Finding> {
  const newest = copies.copy(`${copies.kept}/root.json`)
  if (newest === undefined) return
  if (right.some(({ bytes }) => Buffer.compare(bytes, newest.bytes) === 0)) return
  yield copies.fault('damaged', newest.file, 'is none of the roots kept', right.at(-1)?.bytes)
}

/** The one that is pinned, else the lowest. */
function firstRoot(copies: ChainCopies, pinned: Checksum | null): number {
  const folders = [`${copies.kept}/root_history`, copies.shown]
  const numbers = folders.flatMap(folder => copies.rootsIn(folder))
  const isPinned = (n: number): boolean =>
    folders.some(folder => {
      const copy = copies.copy(`${folder}/${n}.root.json`)
      return copy !== undefined && sha256(copy.bytes) === pinned
    })
  return numbers.find(isPinned) ?? Math.min(...numbers, Number.MAX_SAFE_INTEGER)
}
