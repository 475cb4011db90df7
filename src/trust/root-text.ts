import { type Instant, instantOf, secondsAfter } from './instant.ts'
import { asArray, asObject, type JsonObject, member } from './json.ts'
import type { PublicHalf, SigningKey } from './key-file.ts'
import { ONLINE_ROLES, type OnlineRole, ROOT_SECONDS, SPEC_VERSION, signedBytes } from './sign.ts'

/** Who signs for one role. */
export interface Members {
  readonly keys: readonly PublicHalf[]
  readonly threshold: number
}

/** What a root says; whoever changes one says it anew. */
export interface RootText {
  readonly version: number
  readonly expires: Instant
  readonly roles: Readonly<Record<'root' | OnlineRole, Members>>
}

/** The `signed` of a root; `before` is the last one's, whose other members and roles are kept (TUF 4.2). */
export function rootSigned({ version, expires, roles }: RootText, before?: JsonObject): JsonObject {
  const others = before === undefined ? NO_OTHERS : othersOf(before)
  const all = Object.values(roles).flatMap(({ keys }) => keys)
  return {
    consistent_snapshot: true,
    ...before,
    _type: 'root',
    spec_version: SPEC_VERSION,
    version,
    expires,
    keys: { ...others.keys, ...Object.fromEntries(all.map(key => [key.keyid, key.public])) },
    roles: {
      ...others.roles,
      ...Object.fromEntries(
        Object.entries(roles).map(([name, { keys, threshold }]) => [
          name,
          { keyids: keys.map(({ keyid }) => keyid), threshold },
        ]),
      ),
    },
  }
}

interface Others {
  readonly keys: JsonObject
  readonly roles: JsonObject
}
const NO_OTHERS: Others = { keys: {}, roles: {} }
const OURS: ReadonlySet<string> = new Set(['root', ...ONLINE_ROLES])

/** Roles that this version knows nothing of, as `mirrors`, and their keys. */
function othersOf(before: JsonObject): Others {
  const keys = asObject(member(before, 'keys'), 'keys')
  const all = Object.entries(asObject(member(before, 'roles'), 'roles'))
  const roles = all.filter(([name]) => !OURS.has(name))
  const named = roles.flatMap(([name, role]) =>
    asArray(member(asObject(role, name), 'keyids'), name),
  )
  const kept = Object.entries(keys).filter(([keyid]) => named.includes(keyid))
  return { keys: Object.fromEntries(kept), roles: Object.fromEntries(roles) }
}

/** Whom a first root names. Its own keys sign it; of the others it lists the public halves. */
interface Founders extends Readonly<Record<OnlineRole, PublicHalf>> {
  readonly root: readonly SigningKey[]
}

/** A first root, all of whose keys are at hand: M of these people, one key for each other role. */
export async function foundRoot(
  founders: Founders,
  { threshold, now }: { readonly threshold: number; readonly now: Date },
): Promise<Uint8Array> {
  const one = (role: OnlineRole): Members => ({ keys: [founders[role]], threshold: 1 })
  const roles = {
    root: { keys: founders.root, threshold },
    targets: one('targets'),
    snapshot: one('snapshot'),
    timestamp: one('timestamp'),
  }
  const expires = secondsAfter(instantOf(now), ROOT_SECONDS)
  const signed = rootSigned({ version: 1, expires, roles })
  return await signedBytes(signed, founders.root)
}
