import { type Instant, instantOf, secondsAfter } from './instant.ts'
import type { JsonObject } from './json.ts'
import type { PublicHalf, SigningKey } from './key-file.ts'
import { type OnlineRole, ROOT_SECONDS, SPEC_VERSION, signedBytes } from './sign.ts'

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

/** The `signed` of a root; `before` is the last one's, whose other members are kept (TUF 4.2). */
export function rootSigned({ version, expires, roles }: RootText, before?: JsonObject): JsonObject {
  const all = Object.values(roles).flatMap(({ keys }) => keys)
  return {
    consistent_snapshot: true,
    ...before,
    _type: 'root',
    spec_version: SPEC_VERSION,
    version,
    expires,
    keys: Object.fromEntries(all.map(key => [key.keyid, key.public])),
    roles: Object.fromEntries(
      Object.entries(roles).map(([name, { keys, threshold }]) => [
        name,
        { keyids: keys.map(({ keyid }) => keyid), threshold },
      ]),
    ),
  }
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
