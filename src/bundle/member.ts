import { type Checksum, isChecksum } from '../registry/checksum.ts'
import { type CrateName, parseCrateName } from '../registry/crate-name.ts'
import { type IndexPath, parseIndexPath } from '../registry/sparse-path.ts'
import { parseVersion, type Version } from '../registry/version.ts'
import type { Position } from '../tree/entry.ts'
import { liesByHash } from '../upstream/claim.ts'

/** The three kinds of members, in the order in which their volumes lie on media. */
export const KINDS = ['tree', 'index', 'crates'] as const
export type Kind = (typeof KINDS)[number]

/** What a member is by its path. Of an object that lies by its hash the path says nothing else. */
export type Member =
  | { readonly kind: 'tree'; readonly position: Position; readonly checksum: Checksum }
  | { readonly kind: 'index'; readonly path: IndexPath }
  | { readonly kind: 'crates'; readonly crate: CrateName; readonly version: Version }
  | { readonly kind: 'crates'; readonly checksum: Checksum }

/** As over HTTP, below `tuf/`: `tree/{sha256}.8c`, from three digits on `tree/8c/{sha256}.8c1`. */
export function tileMember(position: Position, checksum: Checksum): string {
  const folder = position.length > 2 ? `tree/${position.slice(0, 2)}` : 'tree'
  return `${folder}/${checksum}.${position}`
}

export function indexMember(path: IndexPath): string {
  return `index/${path}`
}

/** Spelled as in the index line. */
export function objectMember(crate: CrateName, version: Version, checksum: Checksum): string {
  if (liesByHash(crate, version)) return `by-hash/${checksum}.crate`
  return `crates/${crate}/${crate}-${version}.crate`
}

/** Undefined: no member of a volume of this kind has such a path. */
export function parseMember(kind: Kind, path: string): Member | undefined {
  switch (kind) {
    case 'tree':
      return parseTile(path)
    case 'index': {
      const found = path.startsWith('index/') ? parseIndexPath(path.slice(6)) : undefined
      return found === undefined ? undefined : { kind, path: found }
    }
    case 'crates':
      return parseObject(path)
    default:
      return kind satisfies never
  }
}

/** Members stand in the order of the bytes of their paths, which are ASCII. */
export function comparePaths(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

const TILE = /^tree\/(?:([0-9a-f]{2})\/)?([0-9a-f]{64})\.([0-9a-f]{1,35})$/

function parseTile(path: string): Member | undefined {
  const [, , checksum, position] = TILE.exec(path) ?? []
  if (!isChecksum(checksum) || position === undefined) return undefined
  const tile = { position: position as Position, checksum }
  return tileMember(tile.position, checksum) === path ? { kind: 'tree', ...tile } : undefined
}

function parseObject(path: string): Member | undefined {
  const byHash = /^by-hash\/([0-9a-f]{64})\.crate$/.exec(path)?.[1]
  if (isChecksum(byHash)) return { kind: 'crates', checksum: byHash }
  const [, folder, file = ''] = /^crates\/([^/]+)\/([^/]+)\.crate$/.exec(path) ?? []
  const crate = parseCrateName(folder)
  const version = parseVersion(file.slice((folder?.length ?? 0) + 1))
  if (crate === undefined || version === undefined) return undefined
  const isExact = objectMember(crate, version, NO_CHECKSUM) === path
  return isExact ? { kind: 'crates', crate, version } : undefined
}

/** Only the path of an object that lies by its hash depends on one. */
const NO_CHECKSUM = '0'.repeat(64) as Checksum
