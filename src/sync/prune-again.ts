import { publish } from '../store/publish.ts'
import { readSelection } from '../store/selected.ts'
import { readPublished, rootRef } from '../store/snapshot.ts'
import { localTiles } from '../store/tiles.ts'
import { type Pruning, prunedAnew } from './pruned-index.ts'
import { type Run, stamp } from './run.ts'

/**
 * The published snapshot once more, with its pruned index as it follows from what is here now. False
 * where the index is whole, or nothing changed; files and tiles that were lost are here again all
 * the same.
 */
export async function pruneAgain(run: Run): Promise<boolean> {
  const { root } = run.writer.mirror
  const published = readPublished(root)
  if (published?.pruned === undefined) return false
  const { pruned: before, selected, ...rest } = published
  const selection = readSelection(root, published)
  const tree = rootRef(published.tree)
  const next: Pruning = { ...rest, tree, load: localTiles(root), selection, selected }
  const pruned = await prunedAnew(run, next)
  await run.landing.settle()
  if (pruned.tree === before.tree) return false
  await publish(run.writer, { ...published, n: published.n + 1, pruned, at: stamp(run.now()) })
  return true
}
