import type { Config } from '../config.ts'
import { readChain } from '../store/chain-files.ts'
import { openEnvelope } from '../trust/envelope.ts'
import { instantOf } from '../trust/instant.ts'
import { readMetadata } from '../trust/metadata.ts'
import { isDue, ONLINE_ROLES } from '../trust/sign.ts'
import { hasSiteKeys, lifetimesOf } from './site-keys.ts'

/** Whether a signature of the site is past half its life: what no sync renews is renewed by itself. */
export function isSignDue(mirrorRoot: string, config: Config, now: Date): boolean {
  if (!hasSiteKeys(config)) return false
  const chain = readChain(mirrorRoot, 'site')
  const lifetimes = lifetimesOf(config)
  return ONLINE_ROLES.some(role => {
    const bytes = chain?.[role]
    if (bytes === undefined) return false
    const metadata = readMetadata(openEnvelope(bytes, `${role}.json`), role)
    return isDue(metadata, lifetimes[role], instantOf(now))
  })
}
