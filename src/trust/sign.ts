import { MirrorError } from '../error.ts'
import { canonicalJson, fileJson } from './canonical.ts'
import type { KeptChain } from './chain-io.ts'
import { openEnvelope } from './envelope.ts'
import { type Instant, instantOf, secondsAfter } from './instant.ts'
import type { JsonObject } from './json.ts'
import type { Metadata, RoleType } from './metadata.ts'
import { type Root, readRoot } from './root.ts'
import type { Signer } from './signer.ts'
import { readSnapshot, readTimestamp } from './snapshot.ts'
import { EMPTY_HASH, indexTreeTarget, type Statement } from './statement.ts'
import { indexTreeOf, readTargets } from './targets.ts'
import { isSignedBy, requireThreshold } from './threshold.ts'

/** The roles that sign day by day, on the machine that publishes. */
export const ONLINE_ROLES = ['targets', 'snapshot', 'timestamp'] as const
export type OnlineRole = (typeof ONLINE_ROLES)[number]

export type OnlineKeys = Readonly<Record<OnlineRole, Signer>>

/** Who signs what. The keys of root are people's; where they are not at hand root is not renewed. */
export interface ChainKeys extends OnlineKeys {
  readonly root: readonly Signer[]
}

const DAY_SECONDS = 86_400
/** Seconds that each role's signature lasts, and so how soon it must be renewed (docs/trust.md). */
export type Lifetimes = Readonly<Record<OnlineRole, number>>

const LIFETIMES: Lifetimes = {
  targets: 60 * DAY_SECONDS,
  snapshot: 7 * DAY_SECONDS,
  timestamp: 2 * DAY_SECONDS,
}
export const ROOT_SECONDS: number = 365 * DAY_SECONDS
export const SPEC_VERSION = '1.0.34'

/**
 * `{"signatures":[…],"signed":…}`, keys sorted, one line without a final newline.
 * @public
 */
export async function signedBytes(
  signed: JsonObject,
  signers: readonly Signer[],
): Promise<Uint8Array> {
  const bytes = canonicalJson(signed)
  const signatures: JsonObject[] = []
  for (const signer of signers) signatures.push({ ...(await signer.signature(bytes)) })
  return fileJson({ signatures, signed })
}

/** Files to be kept, in this order: each is durable before the next. */
interface SignedFile {
  readonly file: string
  readonly bytes: Uint8Array
}

/** What is signed after this: the files that are new, none where nothing was due. */
export interface SignedChain {
  readonly files: readonly SignedFile[]
  readonly versions: Readonly<Record<RoleType, number>>
}

/**
 * Signs a tree: where it is another one than before, targets, snapshot and timestamp rise by one;
 * where it is the same, only what is past half its life, or not signed by who signs now, and what
 * names it, is renewed. What a killed run had signed and not yet named is taken up.
 */
export async function signTree(
  kept: KeptChain,
  statement: Statement,
  keys: ChainKeys,
  { now, lifetimes = LIFETIMES }: { readonly now: Date; readonly lifetimes?: Lifetimes },
): Promise<SignedChain> {
  const files: SignedFile[] = []
  const root = await renewedRoot(kept, keys, now, files)
  const pen = new Pen(root, keys, { now, lifetimes, files })

  const oldTargets = kept.targets && readTargets(openEnvelope(kept.targets, 'targets.json'))
  const oldTree = oldTargets && indexTreeOf(oldTargets).tree
  const isSameTree = oldTree === statement.tree
  const targets = await pen.renewed('targets', oldTargets, isSameTree, () => ({
    targets: indexTreeTarget(statement, oldTree ?? EMPTY_HASH),
  }))

  const oldSnapshot = kept.snapshot && readSnapshot(openEnvelope(kept.snapshot, 'snapshot.json'))
  const isSameTargets = oldSnapshot?.targets.version === targets.version
  const snapshot = await pen.renewed('snapshot', oldSnapshot, isSameTargets, () => ({
    meta: { 'targets.json': { version: targets.version } },
  }))

  const oldTimestamp =
    kept.timestamp && readTimestamp(openEnvelope(kept.timestamp, 'timestamp.json'))
  const isSameSnapshot = oldTimestamp?.snapshot.version === snapshot.version
  const timestamp = await pen.renewed('timestamp', oldTimestamp, isSameSnapshot, () => ({
    meta: { 'snapshot.json': { version: snapshot.version } },
  }))
  const { version } = root
  const versions = {
    root: version,
    targets: targets.version,
    snapshot: snapshot.version,
    timestamp: timestamp.version,
  }
  return { files, versions }
}

/** Signs for one root at one time. */
class Pen {
  readonly #root: Root
  readonly #keys: OnlineKeys
  readonly #now: Instant
  readonly #lifetimes: Lifetimes
  readonly #files: SignedFile[]

  constructor(
    root: Root,
    keys: OnlineKeys,
    {
      now,
      lifetimes,
      files,
    }: { readonly now: Date; readonly lifetimes: Lifetimes; files: SignedFile[] },
  ) {
    this.#root = root
    this.#keys = keys
    this.#now = instantOf(now)
    this.#lifetimes = lifetimes
    this.#files = files
  }

  /** The old one where it says the same, is signed as this root wants, and has half its life before it. */
  async renewed(
    role: OnlineRole,
    old: Metadata | undefined,
    isSame: boolean,
    body: () => JsonObject,
  ): Promise<Metadata> {
    const isGood =
      old !== undefined &&
      isSame &&
      !isDue(old, this.#lifetimes[role], this.#now) &&
      isSignedBy(openEnvelope(old.bytes, old.file), this.#root.roles[role], { isKept: true })
    return isGood ? old : await this.#sign(role, (old?.version ?? 0) + 1, body())
  }

  async #sign(role: OnlineRole, version: number, body: JsonObject): Promise<Metadata> {
    const expires = secondsAfter(this.#now, this.#lifetimes[role])
    const head = { _type: role, spec_version: SPEC_VERSION, version, expires }
    const bytes = await signedBytes({ ...head, ...body }, [this.#keys[role]])
    const file = `${role}.json`
    const envelope = openEnvelope(bytes, file)
    requireSigned(() =>
      requireThreshold(envelope, this.#root.roles[role], `root ${this.#root.version}`),
    )
    this.#files.push({ file, bytes })
    return { targets: readTargets, snapshot: readSnapshot, timestamp: readTimestamp }[role](
      envelope,
    )
  }
}

/** @throws {MirrorError} usage, naming the first role whose key the root does not list */
export function requireListed(root: Root, keys: OnlineKeys): void {
  for (const name of ONLINE_ROLES) {
    const { keyid } = keys[name]
    // a program says whose key it has when it signs, and is refused then
    if (keyid === undefined || root.roles[name].keys.has(keyid)) continue
    const listed = [...root.roles[name].keys.keys()].join(', ')
    throw new MirrorError(
      'usage',
      `the ${name} key ${keyid} is not one that root ${root.version} lists for it: ${listed}`,
    )
  }
}

/** The next root differs from the last in version and expiry alone. */
async function renewedRoot(
  kept: KeptChain,
  keys: ChainKeys,
  now: Date,
  files: SignedFile[],
): Promise<Root> {
  const envelope = openEnvelope(kept.root, 'root.json')
  const root = readRoot(envelope)
  const today = instantOf(now)
  if (!isDue(root, ROOT_SECONDS, today) || keys.root.length === 0) return root
  const version = root.version + 1
  const next = { ...envelope.signed, version, expires: secondsAfter(today, ROOT_SECONDS) }
  const bytes = await signedBytes(next, keys.root)
  const renewed = openEnvelope(bytes, `${version}.root.json`)
  requireSigned(() => requireThreshold(renewed, root.roles.root, `root ${root.version}`))
  files.push({ file: `root_history/${version}.root.json`, bytes }, { file: 'root.json', bytes })
  return readRoot(renewed)
}

/** Keys that the root does not list are the caller's mistake, not an attack. */
function requireSigned(check: () => void): void {
  try {
    check()
  } catch (error) {
    throw new MirrorError('usage', 'these keys are not the ones that the root lists', {
      cause: error,
    })
  }
}

/** Past half its life: time to be signed anew. */
export function isDue(
  { expires }: Pick<Metadata, 'expires'>,
  lifetimeSeconds: number,
  now: Instant,
): boolean {
  return expires < secondsAfter(now, lifetimeSeconds / 2)
}
