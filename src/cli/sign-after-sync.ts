import type { Config } from '../config.ts'
import { MirrorError } from '../error.ts'
import { rootNumbers } from '../store/chain-files.ts'
import { TRUST } from '../store/layout.ts'
import type { Run } from '../sync/run.ts'
import { type SiteReport, signSite } from '../sync/site.ts'
import type { Context } from './context.ts'
import { failure } from './report.ts'
import { hasSiteKeys, lifetimesOf, siteKeys } from './site-keys.ts'

/** What became of the site's own signature after a sync; undefined: the site does not sign. */
export type SiteOutcome =
  | SiteReport
  | { readonly outcome: 'failed'; readonly exit: number; readonly reason: string }
  | undefined

/**
 * A site that signs does so after each sync: what is published and not signed would be withheld
 * from all below. What stops the signature does not undo the sync: it is told, with its own code.
 */
export async function signAfterSync(
  { env }: Context,
  config: Config,
  run: Run,
): Promise<SiteOutcome> {
  const { root } = run.writer.mirror
  try {
    const keys = isSitePinned(root) ? await siteKeys({ env }, root, config) : undefined
    return keys && (await signSite(run, keys, { lifetimes: lifetimesOf(config) }))
  } catch (error) {
    if (!(error instanceof MirrorError) || error.code === 'busy') throw error
    const { exit, line } = failure(error, {})
    return { outcome: 'failed', exit, reason: line.replace(/^crateferry: /, '') }
  }
}

/**
 * A pruned index is nobody's but the site's, so it is not shown before the site can sign it.
 * @throws {MirrorError} usage
 */
export function requireSigning(root: string, config: Config): void {
  if (isSitePinned(root) && hasSiteKeys(config)) return
  throw new MirrorError(
    'usage',
    'select.prune-index needs the site to sign: sync without it first, then sign --root FILE with the keys of [sign]',
  )
}

function isSitePinned(root: string): boolean {
  return rootNumbers(`${root}/${TRUST.site}`).length > 0
}
