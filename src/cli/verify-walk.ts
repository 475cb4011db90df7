import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { MirrorError } from '../error.ts'
import { sha256 } from '../registry/checksum.ts'
import type { CrateName } from '../registry/crate-name.ts'
import type { Version } from '../registry/version.ts'
import { readChain } from '../store/chain-files.ts'
import { PUBLIC, TRUST } from '../store/layout.ts'
import { type ChainWalk, walkChain } from '../sync/chain-walk.ts'
import { isClassic } from '../trust/kept.ts'
import type { Context } from './context.ts'
import { readGiven } from './given-file.ts'
import { claimedBy, readProof } from './proof-file.ts'
import { walkFacts, walkInWords } from './told-walk.ts'

/**
 * The way to one version along the chain that this mirror follows, where that signs a tree, else along
 * its site's. Undefined: no tree is signed here.
 */
export async function walkOf(
  mirrorRoot: string,
  wanted: { readonly crate: CrateName; readonly version: Version },
): Promise<ChainWalk | undefined> {
  for (const [chain, folder] of [
    ['upstream', 'tuf'],
    ['site', 'site'],
  ] as const) {
    const kept = readChain(mirrorRoot, chain)
    if (kept?.timestamp === undefined || isClassic(kept)) continue
    const pinned = kept.roots[0] ?? kept.root
    const read = (name: string): Uint8Array | undefined => fileBelow(join(mirrorRoot, PUBLIC, name))
    return await walkChain(read, { pinned, folder }, wanted)
  }
  return undefined
}

function fileBelow(file: string): Uint8Array | undefined {
  try {
    return readFileSync(file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new MirrorError('io', `cannot read ${file}`, { cause: error })
  }
}

export interface ProofOptions {
  readonly withProof: string
  readonly root?: string
}

/** `crateferry verify --with-proof FILE some.crate --root ROOT`: needs no mirror and no network. */
export async function verifyWithProof(
  context: Context,
  given: readonly string[],
  { withProof, root }: ProofOptions,
): Promise<number> {
  const [file, ...others] = given
  if (file === undefined || others.length > 0) {
    throw new MirrorError('usage', 'give one file to compare with the proof: some.crate')
  }
  const pinned = root === undefined ? pinnedHere(context) : readGiven(context, root, 'the root')
  const artifact = sha256(bytesOf(context, file))
  const files = readProof(bytesOf(context, withProof), withProof)
  const claimed = claimedBy(files, artifact, withProof)
  const walk = await walkChain(name => files.get(name), { pinned, folder: claimed.folder }, claimed)
  if (walk.checksum !== artifact) {
    throw new MirrorError(
      'signature',
      `${file}: sha256 ${artifact}, the index says ${walk.checksum}`,
    )
  }
  warnOfEnd(context, walk)
  const line = `${file} is ${walk.crate} ${walk.version} as signed under this root`
  context.out.result({ ok: true, exit: 0, file, ...walkFacts(walk) }, [...walkInWords(walk), line])
  return 0
}

function bytesOf({ cwd }: Context, file: string): Uint8Array {
  try {
    return readFileSync(resolve(cwd, file))
  } catch (error) {
    throw new MirrorError('usage', `cannot read ${file}`, { cause: error })
  }
}

/** The root that a mirror has pinned; whoever checks a proof must have one from somewhere else. */
function pinnedHere({ cwd, env, options }: Context): Uint8Array {
  const mirror = options.mirror ?? env['CRATEFERRY_MIRROR'] ?? ''
  const chain = mirror === '' ? undefined : readChain(resolve(cwd, mirror), 'upstream')
  const pinned = chain?.roots[0]
  if (pinned !== undefined) return pinned
  throw new MirrorError(
    'usage',
    `give --root FILE, the root that you trust, or a --mirror with one in ${TRUST.upstream}: a proof cannot vouch for its own`,
  )
}

/** A proof says what was signed then; only a newer one says what is signed now. */
function warnOfEnd({ out, now }: Context, { metadata }: ChainWalk): void {
  const today = now().toISOString()
  for (const { role, version, expires } of metadata.slice(-3)) {
    if (expires < today) out.say(`warning: ${role} ${version} expired at ${expires}`)
  }
}
