import { MirrorError } from '../error.ts'
import { canonicalJson, fileJson } from './canonical.ts'
import type { KeptChain } from './chain-io.ts'
import { openEnvelope } from './envelope.ts'
import { type Instant, instantOf, secondsAfter } from './instant.ts'
import type { JsonObject } from './json.ts'
import type { PublicHalf, SigningKey } from './key-file.ts'
import type { Metadata, RoleType } from './metadata.ts'
import { type Root, readRoot } from './root.ts'
import { readSnapshot, readTimestamp } from './snapshot.ts'
import { EMPTY_HASH, indexTreeTarget, type Statement } from './statement.ts'
import { indexTreeOf, readTargets } from './targets.ts'
import { requireThreshold } from './threshold.ts'

/** The roles that sign day by day, on the machine that publishes. */
export const ONLINE_ROLES = ['targets', 'snapshot', 'timestamp'] as const
type OnlineRole = (typeof ONLINE_ROLES)[number]

export type OnlineKeys = Readonly<Record<OnlineRole, SigningKey>>

/** Who signs what. The keys of root are people's; where they are not at hand root is not renewed. */
export interface ChainKeys extends OnlineKeys {
  readonly root: readonly SigningKey[]
}

/** Whom a first root names. Its own keys sign it; of the others it lists the public halves. */
interface Founders extends Readonly<Record<OnlineRole, PublicHalf>> {
  readonly root: readonly SigningKey[]
}

const DAY_SECONDS = 86_400
/** How long each role's signature lasts, and so how soon it must be renewed (docs/trust.md). */
const LIFETIME_SECONDS: Readonly<Record<RoleType, number>> = {
  root: 365 * DAY_SECONDS,
  targets: 60 * DAY_SECONDS,
  snapshot: 7 * DAY_SECONDS,
  timestamp: 2 * DAY_SECONDS,
}

/**
 * `{"signatures":[…],"signed":…}`, keys sorted, one line without a final newline.
 * @public
 */
export function signedBytes(signed: JsonObject, keys: readonly SigningKey[]): Uint8Array {
  const bytes = canonicalJson(signed)
  const signatures = keys.map(key => ({ keyid: key.keyid, sig: key.sign(bytes).toHex() }))
  return fileJson({ signatures, signed })
}

/** A first root: M of these people, one key for each of the other roles. */
export function foundRoot(
  keys: Founders,
  { threshold, now }: { readonly threshold: number; readonly now: Date },
): Uint8Array {
  const all = [...keys.root, keys.targets, keys.snapshot, keys.timestamp]
  const role = (members: readonly PublicHalf[], needed: number): JsonObject => ({
    keyids: members.map(({ keyid }) => keyid),
    threshold: needed,
  })
  const signed = {
    ...head('root', 1, now),
    consistent_snapshot: true,
    keys: Object.fromEntries(all.map(key => [key.keyid, key.public])),
    roles: {
      root: role(keys.root, threshold),
      targets: role([keys.targets], 1),
      snapshot: role([keys.snapshot], 1),
      timestamp: role([keys.timestamp], 1),
    },
  }
  return signedBytes(signed, keys.root)
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
 * where it is the same, only what is past half its life, and what names it, is renewed. What a
 * killed run had signed and not yet named is taken up.
 */
export function signTree(
  kept: KeptChain,
  statement: Statement,
  keys: ChainKeys,
  now: Date,
): SignedChain {
  const files: SignedFile[] = []
  const root = renewedRoot(kept, keys, now, files)

  const oldTargets = kept.targets && readTargets(openEnvelope(kept.targets, 'targets.json'))
  const oldTree = oldTargets && indexTreeOf(oldTargets).tree
  let targets: Metadata | undefined = oldTargets
  if (targets === undefined || oldTree !== statement.tree || isDue(targets, 'targets', now)) {
    const version = (targets?.version ?? 0) + 1
    const target = indexTreeTarget(statement, oldTree ?? EMPTY_HASH)
    targets = signed('targets', version, { targets: target }, keys.targets, root, now, files)
  }

  const oldSnapshot = kept.snapshot && readSnapshot(openEnvelope(kept.snapshot, 'snapshot.json'))
  let snapshot: Metadata | undefined = oldSnapshot
  if (oldSnapshot?.targets.version !== targets.version || isDue(oldSnapshot, 'snapshot', now)) {
    const version = (oldSnapshot?.version ?? 0) + 1
    const meta = { 'targets.json': { version: targets.version } }
    snapshot = signed('snapshot', version, { meta }, keys.snapshot, root, now, files)
  }
  if (snapshot === undefined) throw new Error('a snapshot is signed by now')

  const oldTimestamp =
    kept.timestamp && readTimestamp(openEnvelope(kept.timestamp, 'timestamp.json'))
  let timestamp: Metadata | undefined = oldTimestamp
  if (
    oldTimestamp?.snapshot.version !== snapshot.version ||
    isDue(oldTimestamp, 'timestamp', now)
  ) {
    const version = (oldTimestamp?.version ?? 0) + 1
    const meta = { 'snapshot.json': { version: snapshot.version } }
    timestamp = signed('timestamp', version, { meta }, keys.timestamp, root, now, files)
  }
  if (timestamp === undefined) throw new Error('a timestamp is signed by now')
  return {
    files,
    versions: {
      root: root.version,
      targets: targets.version,
      snapshot: snapshot.version,
      timestamp: timestamp.version,
    },
  }
}

/** @throws {MirrorError} usage, naming the first role whose key the root does not list */
export function requireListed(root: Root, keys: OnlineKeys): void {
  for (const name of ONLINE_ROLES) {
    const { keyid } = keys[name]
    if (root.roles[name].keys.has(keyid)) continue
    const listed = [...root.roles[name].keys.keys()].join(', ')
    throw new MirrorError(
      'usage',
      `the ${name} key ${keyid} is not one that root ${root.version} lists for it: ${listed}`,
    )
  }
}

/** The next root differs from the last in version and expiry alone. */
function renewedRoot(kept: KeptChain, keys: ChainKeys, now: Date, files: SignedFile[]): Root {
  const envelope = openEnvelope(kept.root, 'root.json')
  const root = readRoot(envelope)
  if (!isDue(root, 'root', now) || keys.root.length === 0) return root
  const version = root.version + 1
  const next = { ...envelope.signed, version, expires: expiry('root', now) }
  const bytes = signedBytes(next, keys.root)
  const renewed = openEnvelope(bytes, `${version}.root.json`)
  requireSigned(() => requireThreshold(renewed, root.roles.root, `root ${root.version}`))
  files.push({ file: `root_history/${version}.root.json`, bytes }, { file: 'root.json', bytes })
  return readRoot(renewed)
}

function signed(
  type: OnlineRole,
  version: number,
  body: JsonObject,
  key: SigningKey,
  root: Root,
  now: Date,
  files: SignedFile[],
): Metadata {
  const bytes = signedBytes({ ...head(type, version, now), ...body }, [key])
  const file = `${type}.json`
  const envelope = openEnvelope(bytes, file)
  requireSigned(() => requireThreshold(envelope, root.roles[type], `root ${root.version}`))
  files.push({ file, bytes })
  const read = { targets: readTargets, snapshot: readSnapshot, timestamp: readTimestamp }[type]
  return read(envelope)
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

function head(type: RoleType, version: number, now: Date): JsonObject {
  return { _type: type, spec_version: '1.0.34', version, expires: expiry(type, now) }
}

function expiry(type: RoleType, now: Date): Instant {
  return secondsAfter(instantOf(now), LIFETIME_SECONDS[type])
}

/** Past half its life. */
function isDue({ expires }: Metadata, type: RoleType, now: Date): boolean {
  return expires < secondsAfter(instantOf(now), LIFETIME_SECONDS[type] / 2)
}
