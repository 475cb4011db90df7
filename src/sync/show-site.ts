import { readChain } from '../store/chain-files.ts'
import { vouch } from '../store/vouch.ts'
import type { Writer } from '../store/writer.ts'
import { vouchedByKept } from '../trust/kept.ts'
import type { Vouched } from '../trust/vouched.ts'
import { ChainDamaged, readKept } from './chain-damaged.ts'

/** Tree, versions and end that the site's chain vouches for. */
export type SiteStatement = Pick<Vouched, 'tree' | 'versions' | 'until'>

/**
 * What the site has signed, verified; undefined where it has signed nothing yet.
 * @throws {ChainDamaged}
 */
export function siteStatement(mirrorRoot: string): SiteStatement | undefined {
  const kept = readChain(mirrorRoot, 'site')
  const vouched = kept && readKept('site', () => vouchedByKept(kept))
  if (vouched === undefined) return undefined
  const { tree, versions, until } = vouched
  return { tree, versions, until }
}

/**
 * Shows in `public/site` what is signed, the timestamp last. Without keys, and only forward: a killed
 * run's rest is shown by the same call. Undefined: nothing is signed; else whether anything was new.
 */
export async function showSite(
  writer: Writer,
): Promise<(SiteStatement & { readonly isNew: boolean }) | undefined> {
  const statement = siteStatement(writer.mirror.root)
  if (statement === undefined) return undefined
  return { ...statement, isNew: await vouch(writer, 'site', statement.versions) }
}

/**
 * The same, at the start of every writer. What does not verify stays where it is: it is unfinished,
 * which the next `sign` ends, or damaged, which `verify` tells; neither may stop a sync.
 */
export async function finishSite(writer: Writer): Promise<void> {
  try {
    await showSite(writer)
  } catch (error) {
    if (!(error instanceof ChainDamaged)) throw error
  }
}
