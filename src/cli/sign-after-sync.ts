import type { Config } from '../config.ts'
import { MirrorError } from '../error.ts'
import { rootNumbers } from '../store/chain-files.ts'
import { TRUST } from '../store/layout.ts'
import type { Run } from '../sync/run.ts'
import { type SiteReport, signSite } from '../sync/site.ts'
import type { Context } from './context.ts'
import { failure } from './report.ts'
import { siteKeys } from './site-keys.ts'

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
  const isPinned = rootNumbers(`${root}/${TRUST.site}`).length > 0
  try {
    const keys = isPinned ? siteKeys({ env }, root, config) : undefined
    return keys && (await signSite(run, keys))
  } catch (error) {
    if (!(error instanceof MirrorError) || error.code === 'busy') throw error
    const { exit, line } = failure(error, {})
    return { outcome: 'failed', exit, reason: line.replace(/^crateferry: /, '') }
  }
}
