import type { Role } from './role.ts'
import type { Root } from './root.ts'

/** Whether a key of timestamp or snapshot was removed, or a threshold changed (TUF 5.3.11). */
export function isRotated(before: Root, after: Root): boolean {
  return (['timestamp', 'snapshot'] as const).some(name =>
    hasLost(before.roles[name], after.roles[name]),
  )
}

function hasLost(before: Role, after: Role): boolean {
  const identities = new Set([...after.keys.values()].map(({ identity }) => identity))
  const isKept = [...before.keys.values()].every(({ identity }) => identities.has(identity))
  return !isKept || before.threshold !== after.threshold
}
