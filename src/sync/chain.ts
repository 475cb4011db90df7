import { MirrorError } from '../error.ts'
import { dropFromChain, keepInChain, readChain } from '../store/chain-files.ts'
import { keepContradiction } from '../store/evidence.ts'
import { Cycle } from '../trust/cycle.ts'
import { type Freshness, ONLINE } from '../trust/freshness.ts'
import { INDEX_TREE } from '../trust/targets.ts'
import { stateOf, type Vouched, vouchedBy } from '../trust/vouched.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { classicTree } from './classic.ts'
import type { Run } from './run.ts'

/**
 * Follows the upstream's chain from the root we hold to the tree it vouches for (TUF 5.3–5.6), or to
 * index files that it lists one by one, of which the tree is built here.
 * Each file is durable before the next is asked for: a crash in between keeps every floor.
 */
export async function followChain(
  run: Run,
  upstream: Pick<Upstream, 'name' | 'metadata'>,
  freshness: Freshness = ONLINE,
): Promise<Vouched> {
  const { writer, signal } = run
  const kept = readChain(writer.mirror.root, 'upstream')
  if (kept === undefined) {
    throw new MirrorError('no-mirror', `${writer.mirror.root} has no pinned root; use init --root`)
  }
  const cycle = new Cycle(
    kept,
    {
      fetch: (file, bytesMax) => upstream.metadata(file, { bytesMax, signal }),
      keep: (file, bytes) => keepInChain(writer, 'upstream', file, bytes),
      drop: files => dropFromChain(writer, 'upstream', files),
      accuse: (file, contents) => keepContradiction(writer, file, contents),
    },
    { now: run.now(), acceptClock: run.accepted.clock, freshness },
  )
  await cycle.refresh()
  const { root, targets } = cycle.trusted
  if (!root.consistentSnapshot) {
    throw new MirrorError(
      'refused',
      `${upstream.name}: root ${root.version} has no consistent_snapshot, which a mirror needs`,
    )
  }
  const isTree = targets.targets.has(INDEX_TREE)
  const vouched = isTree
    ? vouchedBy(cycle.trusted)
    : { ...stateOf(cycle.trusted), ...(await classicTree(run, cycle)) }
  return { ...vouched, warnings: cycle.warnings }
}
