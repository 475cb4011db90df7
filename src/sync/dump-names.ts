import { quoted } from '../error.ts'
import type { CrateName } from '../registry/crate-name.ts'
import type { SparseRegistry } from '../upstream/sparse-registry.ts'
import { type Run, stamp } from './run.ts'

/** When the dump was read last, and what is to be told of it. */
export interface DumpRead {
  readonly namesAt: string | null
  readonly warnings: readonly string[]
}

const AGE_MS_MAX = 7 * 86_400_000

/**
 * Gives the names that the registry's dump has, where it has one that is due: it is big and a day old
 * at best, so once a week is enough beside the feed of new crates.
 */
export async function readDumpNames(
  registry: SparseRegistry,
  { namesAt, run }: { readonly namesAt: string | null; readonly run: Run },
  take: (name: CrateName) => void,
): Promise<DumpRead> {
  const now = run.now()
  const isFresh = namesAt !== null && now.getTime() - Date.parse(namesAt) < AGE_MS_MAX
  if (!registry.has.dump || isFresh) return { namesAt, warnings: [] }
  let count = 0
  let first = ''
  const onSkipped = (name: string): void => {
    if (count === 0) first = name
    count += 1
  }
  for await (const name of registry.names({ signal: run.signal, onSkipped })) take(name)
  const skipped = `the dump has ${count} names that are no crate's, the first ${quoted(first)}: left out`
  return { namesAt: stamp(now), warnings: count === 0 ? [] : [skipped] }
}
