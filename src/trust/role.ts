import { MirrorError, quoted } from '../error.ts'
import {
  asArray,
  asInteger,
  asObject,
  asString,
  FormRefused,
  type Json,
  type JsonObject,
  member,
} from './json.ts'
import { keyidOf, readKey } from './key.ts'
import { LIMITS } from './limits.ts'
import type { PublicKey } from './public-key.ts'

/** Who may sign one kind of file. */
export interface Role {
  readonly name: string
  /** The role's usable keys by key id; the others are left out, as they can never count. */
  readonly keys: ReadonlyMap<string, PublicKey>
  readonly threshold: number
}

/** The usable keys of a file by key id, each read once however many roles have it. */
export type Keys = (keyid: string) => PublicKey | undefined

/** All keys of a file; each key id must be the hash of its key (TUF 4.3). */
export function readKeys(value: Json | undefined, where: string): Keys {
  const entries = Object.entries(asObject(value, where))
  if (entries.length > LIMITS.keys) {
    throw new FormRefused(`${where}: ${entries.length}, at most ${LIMITS.keys} allowed`)
  }
  const keys = new Map<string, JsonObject>()
  for (const [keyid, value] of entries) {
    const key = asObject(value, `${where}: ${quoted(keyid)}`)
    const expected = keyidOf(key)
    if (keyid !== expected) {
      throw new MirrorError(
        'signature',
        `${where}: ${quoted(keyid)} is the key with id ${expected}`,
      )
    }
    keys.set(keyid, key)
  }
  const read = new Map<string, PublicKey | undefined>()
  return keyid => {
    const object = keys.get(keyid)
    if (object !== undefined && !read.has(keyid)) read.set(keyid, readKey(object))
    return read.get(keyid)
  }
}

export function readRole(
  value: Json | undefined,
  keys: Keys,
  { name, where }: { readonly name: string; readonly where: string },
): Role {
  const role = asObject(value, `${where}: role ${quoted(name)}`)
  const keyids = asArray(member(role, 'keyids'), `${where}: keyids of ${quoted(name)}`)
  const threshold = asInteger(
    member(role, 'threshold'),
    `${where}: threshold of ${quoted(name)}`,
    1,
  )
  const usable = new Map<string, PublicKey>()
  const seen = new Set<string>()
  for (const item of keyids) {
    const keyid = asString(item, `${where}: keyids of ${quoted(name)}`)
    if (seen.has(keyid)) {
      throw new MirrorError(
        'signature',
        `${where}: role ${quoted(name)} has ${quoted(keyid)} twice`,
      )
    }
    seen.add(keyid)
    const key = keys(keyid)
    if (key !== undefined) usable.set(keyid, key)
  }
  return { name, keys: usable, threshold }
}
