import { quoted } from '../error.ts'
import { sha256 } from '../registry/checksum.ts'
import { allBins, type Bins, binOf, readBins } from './bins.ts'
import {
  asArray,
  asObject,
  asString,
  FormRefused,
  type Json,
  type JsonObject,
  member,
} from './json.ts'
import { LIMITS } from './limits.ts'
import { matchesPattern } from './path-pattern.ts'
import { type Keys, type Role, readKeys, readRole } from './role.ts'
import { fileOfRole } from './role-file.ts'

/** A role that another one trusts with some paths (TUF 4.5). Its authority is this delegator's alone. */
export interface Delegation extends Role {
  /** After a path has matched, no role further on is asked for it. */
  readonly isTerminating: boolean
  readonly delegator: string
}

/** What one targets role delegates. */
export interface Delegations {
  /** The roles trusted with a path, in order of appearance, none after a terminating one. */
  matching(path: string): readonly Delegation[]
  all(): Iterable<Delegation>
  /** Whether paths are divided by hash: there a role that lists a path of another is wrong. */
  readonly isHashed: boolean
}

const NO_DELEGATIONS: Delegations = { matching: () => [], all: () => [], isHashed: false }

/** `file` names the delegator's file, `delegator` its role. */
export function readDelegations(
  value: Json | undefined,
  { file, delegator }: { readonly file: string; readonly delegator: string },
): Delegations {
  if (value === undefined) return NO_DELEGATIONS
  const where = `${file}: delegations`
  const object = asObject(value, where)
  const keys = readKeys(member(object, 'keys'), `${where}: keys`)
  const [roles, succinct] = [member(object, 'roles'), member(object, 'succinct_roles')]
  if ((roles === undefined) === (succinct === undefined)) {
    throw new FormRefused(`${where}: expected either roles or succinct_roles`)
  }
  return succinct === undefined
    ? listed(readListed(roles, keys, { where, delegator }))
    : succinctly(asObject(succinct, `${where}: succinct_roles`), keys, { where, delegator })
}

interface Listed {
  readonly delegation: Delegation
  readonly paths: readonly string[] | undefined
  readonly hashPrefixes: readonly string[] | undefined
}

function readListed(
  value: Json | undefined,
  keys: Keys,
  { where, delegator }: { readonly where: string; readonly delegator: string },
): readonly Listed[] {
  const items = asArray(value, `${where}: roles`)
  if (items.length > LIMITS.delegations) {
    throw new FormRefused(`${where}: ${items.length} roles, at most ${LIMITS.delegations} allowed`)
  }
  const seen = new Set<string>()
  return items.map(item => {
    const object = asObject(item, `${where}: roles`)
    const name = asString(member(object, 'name'), `${where}: name`)
    if (seen.has(name)) throw new FormRefused(`${where}: role ${quoted(name)} twice`)
    seen.add(name)
    fileOfRole(name, where)
    const terminating = member(object, 'terminating')
    if (typeof terminating !== 'boolean') {
      throw new FormRefused(`${where}: terminating of ${quoted(name)} is neither true nor false`)
    }
    const delegation = {
      ...readRole(object, keys, { name, where }),
      isTerminating: terminating,
      delegator,
    }
    return { delegation, ...readPaths(object, `${where}: role ${quoted(name)}`) }
  })
}

function readPaths(object: JsonObject, where: string): Omit<Listed, 'delegation'> {
  const [paths, prefixes] = [member(object, 'paths'), member(object, 'path_hash_prefixes')]
  if ((paths === undefined) === (prefixes === undefined)) {
    throw new FormRefused(`${where}: expected either paths or path_hash_prefixes`)
  }
  const texts = (list: Json): readonly string[] =>
    asArray(list, where).map(item => asString(item, where))
  if (paths !== undefined) return { paths: texts(paths), hashPrefixes: undefined }
  const hashPrefixes = texts(prefixes as Json)
  const odd = hashPrefixes.find(prefix => !/^[0-9a-f]{1,64}$/.test(prefix))
  if (odd !== undefined) {
    throw new FormRefused(`${where}: path hash prefix ${quoted(odd)}, expected lower-case hex`)
  }
  return { paths: undefined, hashPrefixes }
}

/** Hash prefixes are looked up, so that thousands of hashed bins cost no more than a few. */
function listed(items: readonly Listed[]): Delegations {
  const byPrefix = new Map<string, number[]>()
  const byPattern: number[] = []
  for (const [i, { hashPrefixes }] of items.entries()) {
    if (hashPrefixes === undefined) byPattern.push(i)
    for (const prefix of hashPrefixes ?? []) {
      const others = byPrefix.get(prefix)
      if (others === undefined) byPrefix.set(prefix, [i])
      else others.push(i)
    }
  }
  const lengths = [...new Set([...byPrefix.keys()].map(prefix => prefix.length))]

  function matching(path: string): readonly Delegation[] {
    const hash = lengths.length === 0 ? '' : sha256(path)
    const hashed = lengths.flatMap(length => byPrefix.get(hash.slice(0, length)) ?? [])
    const patterned = byPattern.filter(i =>
      items[i]?.paths?.some(pattern => matchesPattern(pattern, path)),
    )
    const order = [...new Set([...hashed, ...patterned])].sort((a, b) => a - b)
    const found = order.map(i => (items[i] as Listed).delegation)
    const last = found.findIndex(({ isTerminating }) => isTerminating)
    return last === -1 ? found : found.slice(0, last + 1)
  }

  return {
    matching,
    all: () => items.map(({ delegation }) => delegation),
    isHashed: byPrefix.size > 0 && byPattern.length === 0,
  }
}

/** TAP 15. Terminating, as all clients have it that read bins at all. */
function succinctly(
  object: JsonObject,
  keys: Keys,
  { where, delegator }: { readonly where: string; readonly delegator: string },
): Delegations {
  const bins: Bins = readBins(object, where)
  fileOfRole(`${bins.prefix}-ffff`, where)
  const shared = readRole(object, keys, { name: bins.prefix, where })
  const role = (name: string): Delegation => ({ ...shared, name, isTerminating: true, delegator })
  return {
    matching: path => [role(binOf(bins, sha256(path)))],
    all: function* () {
      for (const name of allBins(bins)) yield role(name)
    },
    isHashed: true,
  }
}
