import type { Checksum } from '../registry/checksum.ts'
import { nameOfPath, prefixOf, prefixOfPath } from '../registry/sparse-path.ts'
import type { Position, TreeEntry } from '../tree/entry.ts'
import { NotThere } from './faults.ts'
import type { HttpClient } from './http.ts'
import { LIMITS } from './limits.ts'
import type { Upstream, Wanted } from './upstream.ts'
import { type Place, parseBase } from './url-policy.ts'

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
  const at = (path: string): Place => ({ origin: base.origin, path: `${base.path}${path}` })
  return {
    name: `${base.origin}${base.path}`,
    metadata: (file, { bytesMax, signal }) =>
      unlessMissing(client.get(at(`${chain}/${file}`), { kind: 'metadata', bytesMax, signal })),
    tile: (position, hash, { signal }) => {
      const bytesMax = LIMITS.tileBytes
      return client.get(at(tileName(position, hash)), { kind: 'tile', bytesMax, signal })
    },
    indexFile: async (entry, { signal }) => {
      const { length } = entry
      const request = { kind: 'index file', bytesMax: length, length, signal } as const
      const byHash = await unlessMissing(client.get(at(byHashName(entry)), request))
      // An upstream that is no mirror of ours may serve files by path only; the length still decides.
      return byHash ?? client.get(at(`index/${entry.path}`), request)
    },
    artifact: (wanted, options) => client.artifact(at(artifactName(wanted)), options),
    pause: (attempt, error, options) => client.pause(attempt, error, options),
    close: () => client.close(),
  }
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
  if (position === '') return `tuf/${hash}.index-tree`
  const folder = position.length <= 2 ? 'tuf/tree' : `tuf/tree/${position.slice(0, 2)}`
  return `${folder}/${hash}.${position}`
}

function byHashName({ path, sha256 }: TreeEntry): string {
  return `index/${prefixOfPath(path)}/${sha256}.${nameOfPath(path)}`
}

function artifactName({ crate, checksum }: Wanted): string {
  return `crates/${prefixOf(crate)}/${checksum}.crate`
}
