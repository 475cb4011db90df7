import { MirrorError } from '../error.ts'
import type { IndexPath } from '../registry/sparse-path.ts'
import { type Held, readPublished, rootRef, type Snapshot, shownTree } from '../store/snapshot.ts'
import { localTiles } from '../store/tiles.ts'
import { lookUp } from '../tree/prove.ts'
import type { Lifetimes, OnlineKeys } from '../trust/sign.ts'
import type { Run } from './run.ts'
import { type SiteStatement, showSite } from './show-site.ts'
import { signPublished } from './sign.ts'
import { type GivenRoot, pinSiteRoot } from './site-root.ts'

/** What the site's own chain says of the published tree. */
export interface SiteReport extends SiteStatement {
  /** Unchanged: this tree was signed and shown before, and nothing is past half its life. */
  readonly outcome: 'signed' | 'unchanged'
  readonly warnings: readonly string[]
}

/**
 * Signs the published tree, that of the pruned index where there is one, into the site's own chain and shows that in `public/site`; the tiles are
 * those of `public/tuf`. Takes the site's root the first time. What a crash leaves:
 *
 *   root    a pinned root under which nothing is signed yet
 *   sign    targets, snapshot, timestamp, each durable in `state/trust/site` before the next; what
 *           is not named yet is taken up by the next `sign`
 *   show    some of the same files in `public/site`, the timestamp last: from here the start of
 *           every writer shows the rest, without keys
 */
export async function signSite(
  run: Run,
  keys: OnlineKeys,
  {
    root,
    lifetimes,
  }: { readonly root?: GivenRoot | undefined; readonly lifetimes?: Lifetimes | undefined } = {},
): Promise<SiteReport> {
  const { writer } = run
  const published = readPublished(writer.mirror.root)
  if (published === undefined) {
    throw new MirrorError('incomplete', `${writer.mirror.root}: nothing is published yet; run sync`)
  }
  // a pruned index names only what is here
  if (published.pruned === undefined) await requireWhole(writer.mirror.root, published)
  const warnings = await pinSiteRoot(run, keys, root)
  await signPublished(
    run,
    shownTree(published),
    { root: [], ...keys },
    { chain: 'site', lifetimes },
  )
  const shown = await showSite(writer)
  if (shown === undefined) throw new Error('the chain is signed by now')
  const { isNew, ...statement } = shown
  return { outcome: isNew ? 'signed' : 'unchanged', ...statement, warnings }
}

/**
 * A site signs only what is whole. The tree of a relayed upstream names a held crate's new file,
 * which is not here; one that this mirror built keeps the old entry, or none, and can be signed.
 */
async function requireWhole(mirrorRoot: string, published: Snapshot): Promise<void> {
  const load = localTiles(mirrorRoot)
  const waiting: IndexPath[] = []
  for (const [path, { want }] of Object.entries(published.held) as [IndexPath, Held][]) {
    const entry = await lookUp(rootRef(published.tree), path, load)
    if (entry?.sha256 === want) waiting.push(path)
  }
  if (waiting.length === 0) return
  throw new MirrorError(
    'incomplete',
    `snapshot ${published.n} is not whole, and only what is whole is signed; held: ${waiting.slice(0, 3).join(', ')}${waiting.length > 3 ? ` and ${waiting.length - 3} more` : ''}`,
  )
}
