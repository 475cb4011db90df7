import type { Instant } from './instant.ts'
import type { Role } from './role.ts'
import type { RootStep } from './root-step.ts'
import { ONLINE_ROLES } from './sign.ts'

/** What a root changes, for people and machines. */
export interface RootChange {
  readonly version: number
  readonly expires: { readonly before: Instant | undefined; readonly after: Instant }
  readonly roles: readonly RoleChange[]
  /** Other members of the root that are new, gone or different. */
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
const KNOWN = new Set(['_type', 'spec_version', 'version', 'expires', 'keys', 'roles'])

/** `before` is what the previous root signed. */
export function rootChange(
  { draft, next, previous }: RootStep,
  before: Readonly<Record<string, unknown>> = {},
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
  const names = new Set([...Object.keys(before), ...Object.keys(draft.signed)])
  const differs = (name: string): boolean =>
    JSON.stringify(before[name]) !== JSON.stringify(draft.signed[name])
  return {
    version: next.version,
    expires: { before: previous?.expires, after: next.expires },
    roles,
    otherMembers: [...names].filter(name => !KNOWN.has(name) && differs(name)).sort(),
  }
}
