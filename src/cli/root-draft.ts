import { MirrorError, quoted } from '../error.ts'
import { type Draft, draftBytes, signedDigest } from '../trust/draft.ts'
import { openEnvelope } from '../trust/envelope.ts'
import { instantOf, secondsAfter } from '../trust/instant.ts'
import { asObject, type JsonObject, member } from '../trust/json.ts'
import { type PublicHalf, readPublicHalf } from '../trust/key-file.ts'
import type { Root } from '../trust/root.ts'
import { type Members, type RootText, rootSigned } from '../trust/root-text.ts'
import { ONLINE_ROLES, type OnlineRole } from '../trust/sign.ts'
import { TrustedSet } from '../trust/trusted.ts'
import type { Context } from './context.ts'
import { readGiven } from './given-file.ts'
import { writeOnce } from './once.ts'
import { aloud } from './read-aloud.ts'
import { requireApart, requireQuorum } from './root.ts'

export interface RootDraftOptions {
  readonly new?: boolean
  readonly from?: string
  readonly addRoot?: readonly string[]
  readonly removeRoot?: readonly string[]
  readonly threshold?: number
  readonly online?: readonly string[]
  /** Days. */
  readonly expires: number
  readonly out: string
}

const DAY_SECONDS = 86_400

/** `crateferry root draft`: the next root, or a first one, for its members to review and sign. */
export async function rootDraftCommand(
  context: Context,
  options: RootDraftOptions,
): Promise<number> {
  const { from } = options
  if ((from === undefined) !== (options.new === true)) {
    throw new MirrorError('usage', 'give either --from FILE, the root before, or --new')
  }
  const before = from === undefined ? undefined : previous(context, from)
  const owners = new Map<string, string>()
  const keyIn = (file: string): PublicHalf => {
    const half = readPublicHalf(readGiven(context, file, 'the key'), file)
    if (half.owner !== undefined) owners.set(half.keyid, half.owner)
    return half
  }
  const roles = {
    root: rootMembers(before, options, keyIn),
    ...onlineMembers(before, options.online ?? [], keyIn),
  }
  requireQuorum(roles.root.keys, roles.root.threshold)
  for (const role of ONLINE_ROLES) {
    for (const key of roles[role].keys) requireApart(roles.root.keys, role, key)
  }
  const text: RootText = {
    version: (before?.root.version ?? 0) + 1,
    expires: secondsAfter(instantOf(context.now()), options.expires * DAY_SECONDS),
    roles,
  }
  const draft: Draft = {
    version: text.version,
    before: before && { version: before.root.version, digest: signedDigest(before.signed) },
    signed: rootSigned(text, before?.signed),
    owners,
  }
  await writeOnce(context, options.out, draftBytes(draft))
  const digest = signedDigest(draft.signed)
  const { version, expires } = text
  context.out.result({ file: options.out, version, expires, digest }, [
    `draft of root ${version} in ${options.out}, until ${expires}`,
    `digest  ${digest}`,
    `aloud   ${aloud(digest)}`,
    'send it to the members: each reviews it, compares the digest by voice, and signs',
  ])
  return 0
}

interface Before {
  readonly root: Root
  readonly signed: JsonObject
}

function previous(context: Context, file: string): Before {
  const bytes = readGiven(context, file, 'the root')
  return { root: new TrustedSet(bytes, file).root, signed: openEnvelope(bytes, file).signed }
}

type KeyIn = (file: string) => PublicHalf

function rootMembers(
  before: Before | undefined,
  { addRoot = [], removeRoot = [], threshold }: RootDraftOptions,
  keyIn: KeyIn,
): Members {
  const old = before === undefined ? [] : listed(before, 'root')
  const gone = new Set(removeRoot.map(text => found(old, text).keyid))
  const keys = [...old.filter(({ keyid }) => !gone.has(keyid)), ...addRoot.map(keyIn)]
  const needed = threshold ?? before?.root.roles.root.threshold
  if (needed === undefined) throw new MirrorError('usage', 'a first root needs --threshold M')
  return { keys, threshold: needed }
}

/** By its key id, or as many digits of it as are read aloud. */
function found(keys: readonly PublicHalf[], text: string): PublicHalf {
  const digits = text.replaceAll(' ', '').toLowerCase()
  const [key, ...others] = keys.filter(({ keyid }) => keyid.startsWith(digits))
  if (key !== undefined && others.length === 0 && digits.length >= 8) return key
  throw new MirrorError(
    'usage',
    `--remove-root ${quoted(text)}: not the key id, or its first 8 digits or more, of one root key`,
  )
}

/** `ROLE=FILE`: all that are given for a role take the place of those it had. */
function onlineMembers(
  before: Before | undefined,
  given: readonly string[],
  keyIn: KeyIn,
): Record<OnlineRole, Members> {
  const chosen = new Map<string, PublicHalf[]>()
  for (const one of given) {
    const [, role = '', file = ''] = /^(targets|snapshot|timestamp)=(.+)$/.exec(one) ?? []
    if (role === '') {
      throw new MirrorError(
        'usage',
        `--online ${quoted(one)}: expected ROLE=FILE with targets, snapshot or timestamp`,
      )
    }
    chosen.set(role, [...(chosen.get(role) ?? []), keyIn(file)])
  }
  const members = (role: OnlineRole): Members => {
    const keys = chosen.get(role)
    if (keys !== undefined) return { keys, threshold: 1 }
    if (before === undefined) {
      throw new MirrorError('usage', `a first root needs --online ${role}=FILE`)
    }
    return { keys: listed(before, role), threshold: before.root.roles[role].threshold }
  }
  return {
    targets: members('targets'),
    snapshot: members('snapshot'),
    timestamp: members('timestamp'),
  }
}

/** The keys of a role as the root before wrote them, those that nobody can use included. */
function listed({ signed }: Before, role: string): readonly PublicHalf[] {
  const keys = asObject(member(signed, 'keys'), 'keys')
  const { keyids } = asObject(member(asObject(member(signed, 'roles'), 'roles'), role), role)
  return (keyids as readonly PublicHalf['keyid'][]).map(keyid => ({
    keyid,
    public: asObject(member(keys, keyid), keyid),
  }))
}
