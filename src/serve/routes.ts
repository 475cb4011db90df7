import { type Checksum, isChecksum } from '../registry/checksum.ts'
import { type CrateName, parseCrateName } from '../registry/crate-name.ts'
import { type IndexPath, type Prefix, parseIndexPath } from '../registry/sparse-path.ts'
import { parseVersion, type Version } from '../registry/version.ts'

/** What a request is for. Whatever is not one of these is not there. */
export type Route =
  | { readonly kind: 'page' }
  | { readonly kind: 'status' }
  | { readonly kind: 'asset'; readonly name: string }
  | { readonly kind: 'config' }
  | { readonly kind: 'metrics' }
  | { readonly kind: 'health' }
  | { readonly kind: 'readiness' }
  | { readonly kind: 'index file'; readonly path: IndexPath }
  | { readonly kind: 'index file by hash'; readonly path: IndexPath; readonly checksum: Checksum }
  | { readonly kind: 'artifact'; readonly prefix: Prefix; readonly checksum: Checksum }
  | { readonly kind: 'version'; readonly crate: CrateName; readonly version: Version }
  | { readonly kind: 'tile'; readonly file: string; readonly checksum: Checksum }
  | { readonly kind: 'metadata'; readonly file: string; readonly isNumbered: boolean }
  | { readonly kind: 'search'; readonly text: string; readonly atMost: number }
  | { readonly kind: 'malformed' }
  | { readonly kind: 'unknown' }

const SEARCH = '/api/v1/crates?'
const SEGMENT = /^[A-Za-z0-9_+.-]{1,255}$/

/**
 * The one grammar of paths, applied before anything is decoded: a target is cut into segments of
 * plain characters, of which only `%2B` may be spelled otherwise. So nothing can climb out.
 */
export function routeOf(target: string): Route {
  if (!target.startsWith('/')) return { kind: 'malformed' }
  if (target === '/') return { kind: 'page' }
  if (target === '/metrics') return { kind: 'metrics' }
  if (target === '/healthz') return { kind: 'health' }
  if (target === '/readyz') return { kind: 'readiness' }
  if (target.startsWith(SEARCH)) return searchRoute(target.slice(SEARCH.length))
  const segments = target.slice(1).replaceAll(/%2b/gi, '+').split('/')
  const isPlain = segments.every(one => SEGMENT.test(one) && one !== '.' && one !== '..')
  if (!isPlain) return { kind: 'unknown' }
  const [room, ...rest] = segments
  switch (room) {
    case 'index':
      return indexRoute(rest)
    case 'crates':
      return crateRoute(rest)
    case 'api':
      return apiRoute(rest)
    case 'tuf':
      return tileRoute(rest) ?? metadataRoute('tuf', rest)
    case 'assets':
      return rest.length === 1 ? { kind: 'asset', name: rest[0] ?? '' } : { kind: 'unknown' }
    case 'site':
      return metadataRoute('site', rest)
    default:
      return { kind: 'unknown' }
  }
}

function indexRoute(segments: readonly string[]): Route {
  const text = segments.join('/')
  if (text === 'config.json') return { kind: 'config' }
  const plain = parseIndexPath(text)
  if (plain !== undefined) return { kind: 'index file', path: plain }
  const last = segments.at(-1) ?? ''
  const checksum = last.slice(0, 64)
  const path = parseIndexPath([...segments.slice(0, -1), last.slice(65)].join('/'))
  if (path === undefined || !isChecksum(checksum) || last[64] !== '.') return { kind: 'unknown' }
  return { kind: 'index file by hash', path, checksum }
}

const CRATE = '.crate'

function crateRoute(segments: readonly string[]): Route {
  const last = segments.at(-1) ?? ''
  if (!last.endsWith(CRATE)) return { kind: 'unknown' }
  const stem = last.slice(0, -CRATE.length)
  const folder = segments.slice(0, -1).join('/')
  if (isChecksum(stem)) {
    return isPrefix(folder)
      ? { kind: 'artifact', prefix: folder, checksum: stem }
      : { kind: 'unknown' }
  }
  if (segments.length !== 2 || !stem.startsWith(`${folder}-`)) return { kind: 'unknown' }
  return versionRoute(folder, stem.slice(folder.length + 1))
}

function isPrefix(text: string): text is Prefix {
  return /^(?:1|2|3\/[a-z]|[a-z][a-z0-9_-]\/[a-z0-9_-]{2})$/.test(text)
}

function apiRoute(segments: readonly string[]): Route {
  if (segments.length === 1 && segments[0] === 'status') return { kind: 'status' }
  const [v1, crates, crate, version, download, ...rest] = segments
  const isDownload = v1 === 'v1' && crates === 'crates' && download === 'download'
  if (!isDownload || rest.length > 0) return { kind: 'unknown' }
  return versionRoute(crate, version)
}

const FOUND_MAX = 100

/** The one route that takes a query: `cargo search` sends `q` and `per_page`. */
function searchRoute(query: string): Route {
  const asked = new URLSearchParams(query)
  const wanted = Math.trunc(Number(asked.get('per_page') ?? 10))
  const atMost = Math.min(Math.max(wanted || 1, 1), FOUND_MAX)
  return { kind: 'search', text: asked.get('q') ?? '', atMost }
}

function versionRoute(name: string | undefined, text: string | undefined): Route {
  const [crate, version] = [parseCrateName(name), parseVersion(text)]
  if (crate === undefined || version === undefined) return { kind: 'unknown' }
  return { kind: 'version', crate, version }
}

const ROOT_TILE = /^([0-9a-f]{64})\.index-tree$/
const SHORT_TILE = /^tree\/([0-9a-f]{64})\.[0-9a-f]{1,2}$/
const LONG_TILE = /^tree\/([0-9a-f]{2})\/([0-9a-f]{64})\.\1[0-9a-f]{1,62}$/

function tileRoute(segments: readonly string[]): Route | undefined {
  const text = segments.join('/')
  const checksum =
    ROOT_TILE.exec(text)?.[1] ?? SHORT_TILE.exec(text)?.[1] ?? LONG_TILE.exec(text)?.[2]
  if (!isChecksum(checksum)) return undefined
  return { kind: 'tile', file: `tuf/${text}`, checksum }
}

const METADATA = /^(?:timestamp\.json|([1-9][0-9]{0,15})\.(?:root|snapshot|targets)\.json)$/

function metadataRoute(chain: 'tuf' | 'site', segments: readonly string[]): Route {
  const found = segments.length === 1 ? METADATA.exec(segments[0] ?? '') : null
  if (found === null) return { kind: 'unknown' }
  const isNumbered = found[1] !== undefined
  return { kind: 'metadata', file: `${chain}/${segments[0]}`, isNumbered }
}
