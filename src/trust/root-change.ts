import { canonicalJson } from './canonical.ts'
import type { Instant } from './instant.ts'
import { asObject, type Json, type JsonObject, member } from './json.ts'
import type { Role } from './role.ts'
import type { RootStep } from './root-step.ts'
import { ONLINE_ROLES } from './sign.ts'

/** What a root changes, for people and machines. */
export interface RootChange {
  readonly version: number
  readonly expires: { readonly before: Instant | undefined; readonly after: Instant }
  readonly roles: readonly RoleChange[]
  /** Other members and roles of the root that are new, gone or different. */
  readonly otherMembers: readonly string[]
}

interface RoleChange {
  readonly role: string
  readonly comes: readonly string[]
  readonly goes: readonly string[]
  readonly stays: readonly string[]
  readonly threshold: { readonly before: number | undefined; readonly after: number }
  readonly keys: number
}

const NOBODY: Pick<Role, 'keys'> = { keys: new Map() }
const KNOWN = new Set(['_type', 'version', 'expires', 'keys', 'roles'])
const TOLD: ReadonlySet<string> = new Set(['root', ...ONLINE_ROLES])

/** `before` is what the previous root signed. */
export function rootChange(
  { draft, next, previous }: RootStep,
  before: JsonObject = {},
): RootChange {
  const roles = (['root', ...ONLINE_ROLES] as const).map(role => {
    const [old, now] = [previous?.roles[role] ?? NOBODY, next.roles[role]]
    const ids = [...now.keys.keys()]
    return {
      role,
      comes: ids.filter(keyid => !old.keys.has(keyid)),
      goes: [...old.keys.keys()].filter(keyid => !now.keys.has(keyid)),
      stays: ids.filter(keyid => old.keys.has(keyid)),
      threshold: { before: previous?.roles[role].threshold, after: now.threshold },
      keys: ids.length,
    }
  })
  const [old, now] = [flat(before), flat(draft.signed)]
  const names = new Set([...old.keys(), ...now.keys()])
  return {
    version: next.version,
    expires: { before: previous?.expires, after: next.expires },
    roles,
    otherMembers: [...names].filter(name => old.get(name) !== now.get(name)).sort(),
  }
}

/** What is told nowhere else, each as its text: members of the root, and roles as `role NAME`. */
function flat(signed: JsonObject): ReadonlyMap<string, string> {
  const members = Object.entries(signed).filter(([name]) => !KNOWN.has(name))
  const roles = Object.entries(asObject(member(signed, 'roles') ?? {}, 'roles'))
    .filter(([name]) => !TOLD.has(name))
    .map(([name, role]) => [`role ${name}`, role] as const)
  return new Map([...members, ...roles].map(([name, value]) => [name, text(value)]))
}

const text = (value: Json): string => Buffer.from(canonicalJson(value)).toString()
