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
import { verifyRoot } from '../trust/trusted.ts'
import { readKept } from './chain-damaged.ts'
import type { Run } from './run.ts'

/** A root file as an operator gave it. */
export interface GivenRoot {
  readonly bytes: Uint8Array
  readonly file: string
}

/**
 * The root that the site signs under: the one kept, or the first time the one given, which is kept
 * only when it fits keys and clock. Returns what an operator should know of it.
 */
export async function pinSiteRoot(
  { writer, now }: Run,
  keys: OnlineKeys,
  given: GivenRoot | undefined,
): Promise<readonly string[]> {
  const kept = readChain(writer.mirror.root, 'site')
  if (kept !== undefined && given !== undefined) requireSame(kept, given)
  const root = kept === undefined ? rootGiven(writer.mirror.root, given) : rootKept(kept)
  const today = instantOf(now())
  requireListed(root, keys)
  requireFresh('root', root, today, ONLINE)
  if (kept === undefined) {
    await keepInChain(writer, 'site', `root_history/${root.version}.root.json`, root.bytes)
  }
  const isEnding = root.expires < secondsAfter(today, WARNED_BEFORE_SECONDS)
  return isEnding ? [`root ${root.version} of this site expires at ${root.expires}`] : []
}

const WARNED_BEFORE_SECONDS = 60 * 86_400

function rootKept(kept: KeptChain): Root {
  return readKept('site', () => rootOf(kept.root, `root.json of ${TRUST.site}`))
}

function rootGiven(mirrorRoot: string, given: GivenRoot | undefined): Root {
  if (given === undefined) {
    throw new MirrorError(
      'usage',
      `${mirrorRoot} has no root of its own yet: give one with --root FILE; "root new" makes it`,
    )
  }
  verifyRoot(given.bytes, given.file)
  const root = rootOf(given.bytes, given.file)
  if (root.consistentSnapshot) return root
  throw new MirrorError(
    'refused',
    `${given.file} has no consistent_snapshot, which an index tree needs`,
  )
}

/** Whoever follows the site has pinned its root: under another one it would be another site. */
function requireSame({ roots }: KeptChain, { bytes, file }: GivenRoot): void {
  if (roots.some(root => Buffer.compare(root, bytes) === 0)) return
  throw new MirrorError(
    'usage',
    `${file} (sha256 ${sha256(bytes)}) is none of the roots of this site, which are in ${TRUST.site}`,
  )
}
