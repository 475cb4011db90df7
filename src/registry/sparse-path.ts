import { type CrateName, parseCrateName } from './crate-name.ts'

/** A crate's path in the sparse index, `se/rd/serde`: lower case, computed from the name alone. */
export type IndexPath = string & { readonly __brand: 'IndexPath' }

/** The folder part of a crate's index path: `se/rd`, `3/a`, `2`, `1`. cargo calls it lowerprefix. */
export type Prefix = string & { readonly __brand: 'Prefix' }

export function prefixOf(name: CrateName): Prefix {
  const lower = name.toLowerCase()
  if (lower.length <= 2) return String(lower.length) as Prefix
  if (lower.length === 3) return `3/${lower[0]}` as Prefix
  return `${lower.slice(0, 2)}/${lower.slice(2, 4)}` as Prefix
}

export function indexPath(name: CrateName): IndexPath {
  return `${prefixOf(name)}/${name.toLowerCase()}` as IndexPath
}

/** The path, or undefined unless it is exactly the one computed from a valid crate name. */
export function parseIndexPath(text: string): IndexPath | undefined {
  const name = parseCrateName(text.slice(text.lastIndexOf('/') + 1))
  return name !== undefined && indexPath(name) === text ? (text as IndexPath) : undefined
}

/** The crate's name as the path spells it: lower case. */
export function nameOfPath(path: IndexPath): CrateName {
  return path.slice(path.lastIndexOf('/') + 1) as CrateName
}

export function prefixOfPath(path: IndexPath): Prefix {
  return path.slice(0, path.lastIndexOf('/')) as Prefix
}
