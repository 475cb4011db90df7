import { type Checksum, isChecksum } from '../registry/checksum.ts'
import { type IndexPath, type Prefix, parseIndexPath } from '../registry/sparse-path.ts'

/**
 * The names of `layout.ts` read backwards, for those who walk a mirror: what a file is by its name
 * alone. Pure. A name that none of these knows is none of ours, which is for `verify` to say.
 */

/** The crate and the checksum in a by-hash name, as it stands in the index folder of `prefix`. */
export function parseByHash(
  prefix: string,
  name: string,
): { readonly path: IndexPath; readonly checksum: Checksum } | undefined {
  const checksum = name.slice(0, 64)
  const path = parseIndexPath(`${prefix}/${name.slice(65)}`)
  if (!isChecksum(checksum) || name[64] !== '.' || path === undefined) return undefined
  return { path, checksum }
}

/** The checksum in an artifact's name: `{sha256}.crate`. */
export function parseArtifactName(name: string): Checksum | undefined {
  const checksum = name.slice(0, 64)
  return isChecksum(checksum) && name === `${checksum}.crate` ? checksum : undefined
}

const TILE =
  /^public\/tuf\/(?:[0-9a-f]{64}\.index-tree|tree\/[0-9a-f]{64}\.[0-9a-f]{1,2}|tree\/([0-9a-f]{2})\/[0-9a-f]{64}\.\1[0-9a-f]{1,62})$/

/** Whether a path below the mirror's root is that of a tile, the root tile included. */
export function isTileFile(file: string): boolean {
  return TILE.test(file)
}

/** Role and version of metadata that keeps its name for ever; roots are for those who verify them. */
export function parseNumbered(
  name: string,
): { readonly role: 'snapshot' | 'targets'; readonly version: number } | undefined {
  const [, version, role] = /^([1-9][0-9]{0,15})\.(snapshot|targets)\.json$/.exec(name) ?? []
  if (role !== 'snapshot' && role !== 'targets') return undefined
  return { role, version: Number(version) }
}

/** `3.bin-2a.json`: version and percent-encoded name of a role that no root names. */
export function isDelegatedFile(name: string): boolean {
  return /^[1-9][0-9]{0,15}\.(?!(?:root|snapshot|targets)\.json$)[A-Za-z0-9._~%-]{1,200}\.json$/.test(
    name,
  )
}

/** The number of a snapshot by the name of its record. */
export function parseSnapshotName(name: string): number | undefined {
  const n = /^([1-9][0-9]{0,15})\.json$/.exec(name)?.[1]
  return n === undefined ? undefined : Number(n)
}

/** Whether `folder` below `top` is one of the folders that prefixes make: `1`, `3/a`, `se/rd`. */
export function asPrefix(folder: string): Prefix | undefined {
  return PREFIX.test(folder) ? (folder as Prefix) : undefined
}

const PREFIX = /^(?:[12]|3\/[a-z]|[a-z][a-z0-9_-]\/[a-z0-9_-]{2})$/
