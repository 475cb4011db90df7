import { MirrorError, quoted } from '../error.ts'
import type { Delegation } from './delegations.ts'
import { FormRefused } from './json.ts'
import { LIMITS } from './limits.ts'
import { type Found, search } from './search.ts'
import type { Targets } from './targets.ts'

/** Verifies roles for their delegators, in the order asked; those of one call may come at once. */
export type LoadRoles = (delegations: readonly Delegation[]) => Promise<readonly Targets[]>

/**
 * All targets that `isWanted`, each from the role at which the search for its path would end: what a
 * mirror wants of a repository, where TUF only describes how to look for one path. A role that
 * divides paths by hash and lists one of another's is refused: it could shadow that one, and only
 * who reads all of them can notice.
 */
export async function enumerate(
  top: Targets,
  load: LoadRoles,
  isWanted: (path: string) => boolean,
): Promise<ReadonlyMap<string, Found>> {
  const roles = await allRoles(top, load)
  const found = new Map<string, Found>()
  for (const { targets } of [{ targets: top }, ...roles.values()]) {
    for (const path of targets.targets.keys()) {
      if (!isWanted(path) || found.has(path)) continue
      const one = searchKnown(top, path, roles)
      if (one !== undefined) found.set(path, one)
    }
  }
  for (const { name, isHashed, targets } of roles.values()) {
    if (isHashed) requireOwn(name, targets, found, isWanted)
  }
  return found
}

interface Known {
  readonly name: string
  readonly isHashed: boolean
  readonly targets: Targets
}

/** Level by level, so that many bins come at once; a role counts anew for each who delegates to it. */
async function allRoles(top: Targets, load: LoadRoles): Promise<ReadonlyMap<string, Known>> {
  const roles = new Map<string, Known>()
  let level: readonly Targets[] = [top]
  while (level.length > 0) {
    const edges: Known[] = []
    const delegations: Delegation[] = []
    const queued = new Set<string>()
    for (const { delegations: all } of level) {
      for (const delegation of all.all()) {
        const edge = edgeOf(delegation)
        if (roles.has(edge) || queued.has(edge)) continue
        queued.add(edge)
        delegations.push(delegation)
        edges.push({ name: delegation.name, isHashed: all.isHashed, targets: top })
      }
    }
    if (roles.size + edges.length > LIMITS.delegations) {
      throw new FormRefused(`${top.file}: more than ${LIMITS.delegations} delegations in all`)
    }
    level = await load(delegations)
    for (const [i, targets] of level.entries()) {
      roles.set(edgeOf(delegations[i] as Delegation), { ...(edges[i] as Known), targets })
    }
  }
  return roles
}

function searchKnown(
  top: Targets,
  path: string,
  roles: ReadonlyMap<string, Known>,
): Found | undefined {
  const steps = search(top, path)
  let step = steps.next()
  while (!step.done) step = steps.next((roles.get(edgeOf(step.value)) as Known).targets)
  return step.value
}

function requireOwn(
  name: string,
  { file, targets }: Targets,
  found: ReadonlyMap<string, Found>,
  isWanted: (path: string) => boolean,
): void {
  for (const path of targets.keys()) {
    if (!isWanted(path) || found.get(path)?.role === name) continue
    throw new MirrorError(
      'signature',
      `${file}: lists ${quoted(path)}, which is not of role ${quoted(name)}`,
    )
  }
}

/** No role is called with a NUL in two ways. */
function edgeOf({ delegator, name }: Delegation): string {
  return `${delegator}\0${name}`
}
