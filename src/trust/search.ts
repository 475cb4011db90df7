import type { Delegation } from './delegations.ts'
import { FormRefused } from './json.ts'
import { LIMITS } from './limits.ts'
import type { TargetFile, Targets } from './targets.ts'

/** Where a target is listed, and by which role. */
export interface Found {
  readonly role: string
  readonly target: TargetFile
}

/**
 * The search of TUF 5.6.7 for one path: roles in pre-order, each once, none after a terminating one
 * that was trusted with the path. Asks for each role as it comes to it; whoever answers has verified
 * that role for this delegator. Undefined: no role that may list the path does.
 */
export function* search(
  targets: Targets,
  path: string,
): Generator<Delegation, Found | undefined, Targets> {
  const visited = new Set<string>()
  let ahead: Delegation[] = []
  let role = 'targets'
  let listing = targets
  for (;;) {
    const target = listing.targets.get(path)
    if (target !== undefined) return { role, target }
    const below = listing.delegations.matching(path)
    if (below.at(-1)?.isTerminating) ahead = []
    ahead = [...below, ...ahead]
    const next = ahead.find(({ name }) => !visited.has(name))
    if (next === undefined) return undefined
    ahead = ahead.slice(ahead.indexOf(next) + 1)
    if (visited.size === LIMITS.rolesPerSearch) {
      throw new FormRefused(`${targets.file}: more than ${visited.size} delegations for one path`)
    }
    visited.add(next.name)
    role = next.name
    listing = yield next
  }
}
