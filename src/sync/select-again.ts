import { publish } from '../store/publish.ts'
import { keepSelection } from '../store/selected.ts'
import { readPublished, rootRef } from '../store/snapshot.ts'
import { localTiles } from '../store/tiles.ts'
import { pruneAgain } from './prune-again.ts'
import { NOBODY } from './recover.ts'
import { type Run, stamp } from './run.ts'
import { select } from './select.ts'

/**
 * A selection whose record was lost is chosen again from the published index, by the rules that hold
 * now. What else was selected before is not known any more; it stays here all the same.
 */
export async function selectAgain(run: Run): Promise<void> {
  const { root } = run.writer.mirror
  const published = readPublished(root)
  if (published === undefined) return
  const { selected: before, ...rest } = published
  const planned = { published, tree: rootRef(rest.tree), load: localTiles(root), changes: [] }
  const { selection } = await select(run, NOBODY, planned)
  const selected = await keepSelection(run.writer, selection)
  if (selected === before) return
  const next = { ...rest, n: rest.n + 1, at: stamp(run.now()) }
  await publish(run.writer, selected === undefined ? next : { ...next, selected })
  await pruneAgain(run)
}
