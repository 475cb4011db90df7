import type { Envelope } from './envelope.ts'
import { asObject, FormRefused, member } from './json.ts'
import { type Metadata, type RoleType, readMetadata } from './metadata.ts'
import { type Role, readKeys, readRole } from './role.ts'

/** Whose keys sign what (TUF 4.3). */
export interface Root extends Metadata {
  /** Whether snapshot and targets have their version, and targets their hash, in their names. */
  readonly consistentSnapshot: boolean
  readonly roles: Readonly<Record<RoleType, Role>>
}

export function readRoot(envelope: Envelope): Root {
  const { file, signed } = envelope
  const metadata = readMetadata(envelope, 'root')
  const keys = readKeys(member(signed, 'keys'), `${file}: keys`)
  const roles = asObject(member(signed, 'roles'), `${file}: roles`)
  const role = (name: RoleType): Role =>
    readRole(member(roles, name), keys, { name, where: `${file}: roles` })
  const consistentSnapshot = member(signed, 'consistent_snapshot') ?? false
  if (typeof consistentSnapshot !== 'boolean') {
    throw new FormRefused(`${file}: consistent_snapshot is neither true nor false`)
  }
  return {
    ...metadata,
    consistentSnapshot,
    roles: {
      root: role('root'),
      timestamp: role('timestamp'),
      snapshot: role('snapshot'),
      targets: role('targets'),
    },
  }
}
