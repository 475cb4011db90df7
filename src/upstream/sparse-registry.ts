import { downloadUrl } from '../registry/config-json.ts'
import type { CrateName } from '../registry/crate-name.ts'
import type { IndexPath } from '../registry/sparse-path.ts'
import { type Advisory, readAdvisories } from './advisories.ts'
import { namesInDump } from './database-dump.ts'
import { NotThere } from './faults.ts'
import { type Feed, readFeed } from './feed.ts'
import type { HttpClient } from './http.ts'
import { LIMITS } from './limits.ts'
import type { RemoteFile } from './remote-file.ts'
import type { Upstream } from './upstream.ts'
import { type Place, parseBase, placeOf, shown } from './url-policy.ts'
import type { Validators as Known } from './validators.ts'

/** What a server gave with a file, to be asked later whether it is still the same. */
export type Validators = Partial<Known>

/** One look at a file that nobody signed. */
type Look =
  | { readonly kind: 'same' }
  | { readonly kind: 'file'; readonly bytes: Uint8Array; readonly validators: Validators }
  | { readonly kind: 'gone'; readonly status: number }

/** The feeds of a registry that tell of news; neither tells of yanks and removals. */
export type FeedName = 'updates' | 'crates'

/**
 * A sparse registry as it is, crates.io first of all: an index without tree and signature, asked
 * file by file, and artifacts where its `dl` says. What is seen is believed by nobody here.
 */
export interface SparseRegistry extends Pick<Upstream, 'name' | 'artifact' | 'pause' | 'close'> {
  /** Whether it has feeds, a dump and advisories at all. */
  readonly has: { readonly feeds: boolean; readonly dump: boolean; readonly advisories: boolean }
  /** The index file as it is now; `same` only where validators were given. */
  indexFile(path: IndexPath, known: Validators, options: Options): Promise<Look>
  /** Undefined: as it was. */
  feed(name: FeedName, known: Validators, options: Options): Promise<FeedLook | undefined>
  advisories(known: Validators, options: Options): Promise<AdvisoriesLook | undefined>
  /** The names of all crates, as of the day of the dump; told of those that are none. */
  names(
    options: Options & { readonly onSkipped: (name: string) => void },
  ): AsyncGenerator<CrateName>
}

interface Options {
  readonly signal: AbortSignal
}
interface FeedLook extends Feed {
  readonly validators: Validators
}
interface AdvisoriesLook {
  readonly advisories: readonly Advisory[]
  readonly validators: Validators
}

/** Where the parts of a registry are; `artifacts` is a `dl` as in config.json, with its markers. */
export interface RegistryUrls {
  readonly index: string
  readonly artifacts: string
  readonly feeds: string | undefined
  readonly dump: string | undefined
  readonly advisories: string | undefined
}

export function sparseRegistry(urls: RegistryUrls, client: HttpClient): SparseRegistry {
  const index = parseBase(urls.index)
  const feeds = urls.feeds === undefined ? undefined : parseBase(urls.feeds)
  const has = {
    feeds: feeds !== undefined,
    dump: urls.dump !== undefined,
    advisories: urls.advisories !== undefined,
  }
  return {
    name: `${index.origin}${index.path}`,
    has,
    indexFile: (path, known, { signal }) => {
      const place = { origin: index.origin, path: `${index.path}${path}` }
      return look(client, place, 'index file', known, signal)
    },
    feed: async (name, known, { signal }) => {
      if (feeds === undefined) return undefined
      const place = { origin: feeds.origin, path: `${feeds.path}${name}.xml` }
      const seen = await must(client, place, known, signal)
      return seen && { ...readFeed(seen.bytes, shown(place)), validators: seen.validators }
    },
    advisories: async (known, { signal }) => {
      if (urls.advisories === undefined) return undefined
      const seen = await must(client, placeOf(urls.advisories), known, signal)
      return (
        seen && {
          advisories: readAdvisories(seen.bytes, urls.advisories),
          validators: seen.validators,
        }
      )
    },
    names: options => names(client, urls.dump, options),
    artifact: (wanted, options) =>
      client.artifact(placeOf(downloadUrl(urls.artifacts, wanted)), options),
    pause: (attempt, error, options) => client.pause(attempt, error, options),
    close: () => client.close(),
  }
}

/**
 * 403 is no answer about an index file: a firewall says it to those it does not like. 404, 410 and
 * 451 are sightings.
 */
async function look(
  client: HttpClient,
  place: Place,
  kind: 'index file' | 'feed',
  known: Validators,
  signal: AbortSignal,
): Promise<Look> {
  const bytesMax = kind === 'feed' ? LIMITS.feedBytes : LIMITS.indexFileBytes
  try {
    const seen = await client.revalidate(place, { kind, bytesMax, ...known, signal })
    if (seen.isUnchanged) return { kind: 'same' }
    const { bytes, etag, lastModified } = seen
    return { kind: 'file', bytes, validators: { etag, lastModified } }
  } catch (error) {
    if (!(error instanceof NotThere) || error.status === 403) throw error
    return { kind: 'gone', status: error.status }
  }
}

/** A feed that is gone is a fault of the registry or of its configuration, never "no news". */
async function must(
  client: HttpClient,
  place: Place,
  known: Validators,
  signal: AbortSignal,
): Promise<{ readonly bytes: Uint8Array; readonly validators: Validators } | undefined> {
  const seen = await look(client, place, 'feed', known, signal)
  if (seen.kind === 'same') return undefined
  if (seen.kind === 'file') return seen
  throw new NotThere(`${place.origin}${place.path}`, seen.status)
}

async function* names(
  client: HttpClient,
  dump: string | undefined,
  options: Parameters<SparseRegistry['names']>[0],
): AsyncGenerator<CrateName> {
  if (dump === undefined) return
  const place = placeOf(dump)
  const { signal } = options
  const { total, etag } = await client.part(place, { offset: 0, length: 1, signal })
  // The dump's own signal: it ends with the reader, what was asked for ahead with it.
  const read: RemoteFile['read'] = async (offset, length, ending) =>
    (await client.part(place, { offset, length, signal: ending, etag })).bytes
  yield* namesInDump({ name: dump, size: total, read }, options)
}
