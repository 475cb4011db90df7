import { MirrorError } from '../error.ts'
import { sha256 } from '../registry/checksum.ts'
import { keepInChain, readChain } from '../store/chain-files.ts'
import { TRUST } from '../store/layout.ts'
import type { KeptChain } from '../trust/chain-io.ts'
import { ONLINE, requireFresh } from '../trust/freshness.ts'
import { instantOf, secondsAfter } from '../trust/instant.ts'
import { rootOf } from '../trust/kept.ts'
import type { Root } from '../trust/root.ts'
import { type OnlineKeys, requireListed } from '../trust/sign.ts'
import { TrustedSet } from '../trust/trusted.ts'
import { readKept } from './chain-damaged.ts'
import type { Run } from './run.ts'

/** A root file as an operator gave it. */
export interface GivenRoot {
  readonly bytes: Uint8Array
  readonly file: string
}

/**
 * The root that the site signs under: the one kept, one given that follows it, or the first one
 * given; kept only when it fits keys and clock. Returns what an operator should know of it.
 */
export async function pinSiteRoot(
  { writer, now }: Run,
  keys: OnlineKeys,
  given: GivenRoot | undefined,
): Promise<readonly string[]> {
  const kept = readChain(writer.mirror.root, 'site')
  const fresh = given !== undefined && (kept === undefined || !isOneOf(kept, given))
  const root = fresh ? rootGiven(kept, given) : rootKept(writer.mirror.root, kept)
  const today = instantOf(now())
  requireListed(root, keys)
  requireFresh('root', root, today, ONLINE)
  // the newest of them is the one that holds: nothing else is written, so nothing is left half done
  if (fresh) {
    await keepInChain(writer, 'site', `root_history/${root.version}.root.json`, root.bytes)
  }
  const isEnding = root.expires < secondsAfter(today, WARNED_BEFORE_SECONDS)
  return isEnding ? [`root ${root.version} of this site expires at ${root.expires}`] : []
}

const WARNED_BEFORE_SECONDS = 60 * 86_400

function rootKept(mirrorRoot: string, kept: KeptChain | undefined): Root {
  if (kept !== undefined) {
    return readKept('site', () => rootOf(kept.root, `root.json of ${TRUST.site}`))
  }
  throw new MirrorError(
    'usage',
    `${mirrorRoot} has no root of its own yet: give one with --root FILE; "root new" makes it`,
  )
}

/**
 * Whoever follows the site has pinned its root: the next one must be signed by the old keys and the
 * new ones, else it would be another site.
 */
function rootGiven(kept: KeptChain | undefined, { bytes, file }: GivenRoot): Root {
  const trusted = kept === undefined ? new TrustedSet(bytes, file) : trustedKept(kept)
  if (kept !== undefined) follow(trusted, { bytes, file })
  const { root } = trusted
  if (root.consistentSnapshot) return root
  throw new MirrorError('refused', `${file} has no consistent_snapshot, which an index tree needs`)
}

function trustedKept(kept: KeptChain): TrustedSet {
  return readKept('site', () => new TrustedSet(kept.root, `root.json of ${TRUST.site}`))
}

function follow(trusted: TrustedSet, { bytes, file }: GivenRoot): void {
  const { version } = trusted.root
  try {
    trusted.updateRoot(bytes, file)
  } catch (cause) {
    throw new MirrorError(
      'usage',
      `${file} (sha256 ${sha256(bytes)}) is none of the roots of this site, which are in ${TRUST.site}, and does not follow root ${version}`,
      { cause },
    )
  }
}

function isOneOf({ roots }: KeptChain, { bytes }: GivenRoot): boolean {
  return roots.some(root => Buffer.compare(root, bytes) === 0)
}
