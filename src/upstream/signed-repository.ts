import type { Checksum } from '../registry/checksum.ts'
import { downloadUrl } from '../registry/config-json.ts'
import { nameOfPath, prefixOf, prefixOfPath } from '../registry/sparse-path.ts'
import type { Position, TreeEntry } from '../tree/entry.ts'
import { NotThere } from './faults.ts'
import type { HttpClient } from './http.ts'
import { LIMITS } from './limits.ts'
import type { Upstream, Wanted } from './upstream.ts'
import { type Place, parseBase, placeOf } from './url-policy.ts'

/**
 * A signed repository over HTTP: a base URL with a mirror's `public/` below it (the names are in
 * docs/formats.md). `chain` says which folder holds the metadata; tiles and the root tile lie in
 * `tuf/` whichever it is. Its config.json is signed by nobody and never asked for.
 */
export function signedRepository(
  baseUrl: string,
  client: HttpClient,
  { chain }: { readonly chain: 'tuf' | 'site' },
): Upstream {
  const base = parseBase(baseUrl)
  const places = {
    name: `${base.origin}${base.path}`,
    metadata: below(base, `${chain}/`),
    targets: below(base, 'tuf/'),
    index: below(base, 'index/'),
    artifact: (wanted: Wanted) => below(base, artifactName(wanted)),
  }
  return repository(places, client)
}

/** Where the parts of somebody else's repository are; `artifacts` is a `dl` as in config.json. */
export interface TufUrls {
  readonly metadata: string
  readonly targets: string
  readonly artifacts: string
}

/**
 * A TUF repository that is laid out as TUF says and no further: metadata below one base, targets (tiles,
 * or index files under their own paths) below another, artifacts where a `dl` leads.
 */
export function tufRepository(urls: TufUrls, client: HttpClient): Upstream {
  const metadata = parseBase(urls.metadata)
  const targets = parseBase(urls.targets)
  const places = {
    name: `${metadata.origin}${metadata.path}`,
    metadata,
    targets,
    index: targets,
    artifact: (wanted: Wanted) => placeOf(downloadUrl(urls.artifacts, wanted)),
  }
  return repository(places, client)
}

interface Places {
  readonly name: string
  /** Bases. */
  readonly metadata: Place
  readonly targets: Place
  readonly index: Place
  artifact(wanted: Wanted): Place
}

function repository(places: Places, client: HttpClient): Upstream {
  return {
    name: places.name,
    metadata: (file, { bytesMax, signal }) =>
      unlessMissing(
        client.get(below(places.metadata, file), { kind: 'metadata', bytesMax, signal }),
      ),
    tile: (position, hash, { signal }) => {
      const bytesMax = LIMITS.tileBytes
      const place = below(places.targets, tileName(position, hash))
      return client.get(place, { kind: 'tile', bytesMax, signal })
    },
    indexFile: async (entry, { signal }) => {
      const { length } = entry
      const request = { kind: 'index file', bytesMax: length, length, signal } as const
      const byHash = await unlessMissing(
        client.get(below(places.index, byHashName(entry)), request),
      )
      // An upstream that is no mirror of ours may serve files by path only; the length still decides.
      return byHash ?? client.get(below(places.index, entry.path), request)
    },
    artifact: (wanted, options) => client.artifact(places.artifact(wanted), options),
    pause: (attempt, error, options) => client.pause(attempt, error, options),
    close: () => client.close(),
  }
}

function below({ origin, path }: Place, name: string): Place {
  return { origin, path: `${path}${name}` }
}

/** 403 is what object storage says of a name it does not have and may not list. */
async function unlessMissing(bytes: Promise<Uint8Array>): Promise<Uint8Array | undefined> {
  try {
    return await bytes
  } catch (error) {
    if (error instanceof NotThere && (error.status === 404 || error.status === 403))
      return undefined
    throw error
  }
}

function tileName(position: Position, hash: Checksum): string {
  if (position === '') return `${hash}.index-tree`
  const folder = position.length <= 2 ? 'tree' : `tree/${position.slice(0, 2)}`
  return `${folder}/${hash}.${position}`
}

function byHashName({ path, sha256 }: TreeEntry): string {
  return `${prefixOfPath(path)}/${sha256}.${nameOfPath(path)}`
}

function artifactName({ crate, checksum }: Wanted): string {
  return `crates/${prefixOf(crate)}/${checksum}.crate`
}
