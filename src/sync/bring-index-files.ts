import { existsSync } from 'node:fs'
import { indexFileByHash } from '../store/layout.ts'
import type { TreeEntry } from '../tree/entry.ts'
import { verifiedIndexFile } from './examine.ts'
import { isVerdict } from './faults.ts'
import { inParallel } from './in-parallel.ts'
import type { Change } from './plan.ts'
import type { Run, Source } from './run.ts'

/** Where index files come from. */
export type IndexSource = Pick<Source, 'name' | 'indexFile'>

/**
 * Lands the index files of these changes by their hash, ahead of any artifact. One that cannot be
 * had is left to the examination of its crate, which asks again and says why it waits.
 */
export async function bringIndexFiles(
  run: Run,
  source: IndexSource,
  changes: readonly Change[],
): Promise<void> {
  const { progress, settings, signal } = run
  const isHere = (entry: TreeEntry): boolean => existsSync(run.writer.at(finalOf(entry)))
  const missing = changes.flatMap(({ want }) => (want === undefined || isHere(want) ? [] : want))
  progress.phase = 'look'
  progress.crates = missing.length
  const bring = async (want: TreeEntry, stop: AbortSignal): Promise<void> => {
    await bringIndexFile(run, source, want, stop)
    progress.cratesExamined += 1
  }
  for await (const _ of inParallel(missing, 2 * settings.connections, bring, signal));
  await run.landing.settle()
  progress.cratesExamined = 0
}

async function bringIndexFile(
  run: Run,
  source: IndexSource,
  want: TreeEntry,
  signal: AbortSignal,
): Promise<void> {
  try {
    const bytes = await verifiedIndexFile(source, want, run.settings.tries, signal)
    await run.landing.addBytes(finalOf(want), bytes)
  } catch (error) {
    if (!isVerdict(error, signal)) throw error
  }
}

function finalOf({ path, sha256 }: TreeEntry): string {
  return indexFileByHash(path, sha256)
}
