import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Chain, DELEGATED, delegatedIn, rootNumbers } from './chain-files.ts'
import { SITE, TRUST, TUF } from './layout.ts'
import type { MetadataVersions } from './snapshot.ts'
import type { Writer } from './writer.ts'

/** Where others read a chain. */
export const SHOWN: Readonly<Record<Chain, string>> = { upstream: TUF, site: SITE }

/**
 * Shows a chain that lies whole in `state/trust`, byte for byte: new roots, delegated roles, targets, snapshot, and
 * `timestamp.json` last, so that who follows it sees the state before or this one, and nothing is
 * named before it is there (P4). Only goes forward: killed anywhere, the same call does the rest.
 * Says whether there was anything to do.
 */
export async function vouch(
  writer: Writer,
  chain: Chain,
  { targets, snapshot }: Pick<MetadataVersions, 'targets' | 'snapshot'>,
): Promise<boolean> {
  const kept = join(writer.mirror.root, TRUST[chain])
  const files = [
    ...rootNumbers(kept).map(n => [`root_history/${n}.root.json`, `${n}.root.json`] as const),
    ...delegatedIn(kept).map(name => [`${DELEGATED}/${name}`, name] as const),
    ['targets.json', `${targets}.targets.json`] as const,
    ['snapshot.json', `${snapshot}.snapshot.json`] as const,
    ['timestamp.json', 'timestamp.json'] as const,
  ]
  await writer.mirror.assertStillHere()
  let isChanged = false
  for (const [from, to] of files) {
    const bytes = readFileSync(join(kept, from))
    isChanged = (await writer.update(`${SHOWN[chain]}/${to}`, bytes)) || isChanged
  }
  return isChanged
}
