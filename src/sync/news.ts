import { type IndexPath, indexPath } from '../registry/sparse-path.ts'
import type { FeedPosition, Observation, Pending } from '../store/observation.ts'
import type { FeedName, SparseRegistry, Validators } from '../upstream/sparse-registry.ts'
import { type Run, stamp } from './run.ts'

/** What the feeds tell since they were last read. */
export interface News {
  readonly paths: ReadonlySet<IndexPath>
  /** Why a sweep must come instead: something was missed. */
  readonly gap: string | undefined
  readonly positions: Observation['feeds']
  /** What the index does not show yet though the feeds told it: to be asked for again. */
  pendingAfter(versionsOf: (path: IndexPath) => ReadonlySet<string> | undefined): Pending
}

const FEEDS: readonly FeedName[] = ['updates', 'crates']
const PENDING_MS = 86_400_000

/** Two requests where nothing is new. A registry without feeds never has news. */
export async function readNews(
  registry: SparseRegistry,
  observation: Observation,
  run: Run,
): Promise<News> {
  const now = run.now()
  const told = new Map<IndexPath, { readonly version: string | null; readonly since: string }>()
  for (const [path, one] of Object.entries(observation.pending) as [
    IndexPath,
    Pending[IndexPath],
  ][]) {
    if (one !== undefined && now.getTime() - Date.parse(one.since) < PENDING_MS) told.set(path, one)
  }
  const positions: Record<string, FeedPosition> = { ...observation.feeds }
  let gap: string | undefined
  for (const name of registry.has.feeds ? FEEDS : []) {
    const before = observation.feeds[name]
    const look = await registry.feed(name, validators(before), { signal: run.signal })
    if (look === undefined) continue
    const at = look.items.findIndex(({ guid }) => guid === before?.newest)
    const isMissed = before?.newest != null && at === -1
    if (isMissed) gap = `the feed of ${name} no longer has what was read last`
    const fresh = at === -1 ? look.items : look.items.slice(0, at)
    for (const { crate, version } of fresh) {
      told.set(indexPath(crate), { version: version ?? null, since: stamp(now) })
    }
    positions[name] = {
      newest: look.items[0]?.guid ?? before?.newest ?? null,
      etag: look.validators.etag ?? null,
      lastModified: look.validators.lastModified ?? null,
    }
  }
  return {
    paths: new Set(told.keys()),
    gap,
    positions,
    pendingAfter: versionsOf => {
      const open = [...told].filter(([path, { version }]) => {
        const versions = versionsOf(path)
        return versions === undefined || (version !== null && !versions.has(version))
      })
      return Object.fromEntries(open)
    },
  }
}

function validators(position: FeedPosition | undefined): Validators {
  return {
    ...(position?.etag && { etag: position.etag }),
    ...(position?.lastModified && { lastModified: position.lastModified }),
  }
}
