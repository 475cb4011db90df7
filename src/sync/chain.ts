import { MirrorError } from '../error.ts'
import { dropFromChain, keepInChain, readChain } from '../store/chain-files.ts'
import { keepContradiction } from '../store/evidence.ts'
import { type Freshness, ONLINE } from '../trust/freshness.ts'
import { refresh } from '../trust/refresh.ts'
import type { Vouched } from '../trust/vouched.ts'
import type { Upstream } from '../upstream/upstream.ts'
import type { Run } from './run.ts'

/**
 * Follows the upstream's chain from the root we hold to the tree it vouches for (TUF 5.3–5.6).
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
  const vouched = await refresh(
    kept,
    {
      fetch: (file, bytesMax) => upstream.metadata(file, { bytesMax, signal }),
      keep: (file, bytes) => keepInChain(writer, 'upstream', file, bytes),
      drop: files => dropFromChain(writer, 'upstream', files),
      accuse: (file, contents) => keepContradiction(writer, file, contents),
    },
    { now: run.now(), acceptClock: run.accepted.clock, freshness },
  )
  if (!vouched.consistentSnapshot) {
    throw new MirrorError(
      'refused',
      `${upstream.name}: root ${vouched.versions.root} has no consistent_snapshot, which an index tree needs`,
    )
  }
  return vouched
}
