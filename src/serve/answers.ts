import { sha256 } from '../registry/checksum.ts'
import { configJson } from '../registry/config-json.ts'
import { readIndexFile } from '../registry/index-file.ts'
import { type IndexPath, indexPath, prefixOfPath } from '../registry/sparse-path.ts'
import type { MirrorReader } from '../store/reader.ts'
import { FileDamaged, type OpenFile, readWhole, VerifiedFiles } from './files.ts'
import type { Route } from './routes.ts'

/** What to answer. A file is closed by whoever sends it. */
export type Answer =
  | {
      readonly status: 200
      readonly type: string
      readonly cache: string
      readonly etag: string
      readonly body: Uint8Array | OpenFile
      readonly hasRanges: boolean
    }
  | { readonly status: 400 | 404 | 500 | 503; readonly line: string; readonly fault?: string }

const IMMUTABLE = 'public, max-age=31536000, immutable'
/** cargo revalidates by ETag; a minute spares a mirror the storm of one build farm. */
const SHORT = 'public, max-age=60'
const NEVER = 'no-cache'
const TEXT = 'text/plain; charset=utf-8'
const JSON_TYPE = 'application/json'
const CRATE = 'application/gzip'

const NOT_HERE: Answer = { status: 404, line: 'not here: this mirror has nothing of that name' }

/** Turns routes into answers from one mirror. Writes nothing, moves nothing. */
export class Answers {
  readonly #reader: MirrorReader
  readonly #url: () => string
  readonly #files = new VerifiedFiles()

  constructor(reader: MirrorReader, { url }: { readonly url: () => string }) {
    this.#reader = reader
    this.#url = url
  }

  async to(route: Route): Promise<Answer> {
    try {
      return await this.#answer(route)
    } catch (error) {
      const fault = error instanceof Error ? error.message : String(error)
      const line = 'damaged: what lies here is not what its hash says; the operator is told'
      const failed = 'failed: this mirror cannot read its files; the operator is told'
      return { status: 500, line: error instanceof FileDamaged ? line : failed, fault }
    }
  }

  async #answer(route: Route): Promise<Answer> {
    switch (route.kind) {
      case 'about':
        return text('crateferry: a verified mirror of a crates registry; its index is at /index/\n')
      case 'config': {
        const body = configJson({ url: this.#url() })
        return whole(body, { type: JSON_TYPE, cache: SHORT })
      }
      case 'index file':
        return await this.#indexFile(route.path)
      case 'index file by hash': {
        const { path, checksum } = route
        const file = this.#reader.indexFileByHash(path, checksum)
        return await this.#named(file, checksum, { type: TEXT, cache: IMMUTABLE })
      }
      case 'artifact':
        return await this.#artifact(route)
      case 'version':
        return await this.#version(route)
      case 'tile': {
        const file = this.#reader.metadata(route.file)
        return await this.#named(file, route.checksum, { type: TEXT, cache: IMMUTABLE })
      }
      case 'metadata': {
        const found = await readWhole(this.#reader.metadata(route.file))
        if (found === undefined) return NOT_HERE
        return whole(found.bytes, { type: JSON_TYPE, cache: route.isNumbered ? IMMUTABLE : NEVER })
      }
      case 'malformed':
        return { status: 400, line: 'bad request: the target is no path' }
      case 'unknown':
        return NOT_HERE
    }
    return route satisfies never
  }

  /** By what the snapshot names; on a disk without by-hash files, the one under the path. */
  async #indexFile(path: IndexPath): Promise<Answer> {
    const named = await this.#reader.indexFile(path)
    if (named === undefined) return NOT_HERE
    const look = { type: TEXT, cache: SHORT }
    for (const file of named.files) {
      const answer = await this.#named(file, named.checksum, look)
      if (answer.status === 200) return answer
    }
    throw new Error(`index/${path}: sha256 ${named.checksum} is named and not here`)
  }

  /** Its name is its proof; why one is not here the snapshot may know. */
  async #artifact({ prefix, checksum }: Route & { kind: 'artifact' }): Promise<Answer> {
    if (await this.#reader.isLanding(prefix, checksum)) {
      return { status: 503, line: 'landing: this artifact is being written; ask again' }
    }
    const file = this.#reader.artifact(prefix, checksum)
    const answer = await this.#named(file, checksum, {
      type: CRATE,
      cache: IMMUTABLE,
      ranges: true,
    })
    if (answer.status !== 404) return answer
    const missing = await this.#reader.missing(prefix, checksum)
    return missing === undefined ? answer : { status: missing.status, line: missing.reason }
  }

  /** Of a version on two lines with different checksums the one whose artifact is here counts. */
  async #version({ crate, version }: Route & { kind: 'version' }): Promise<Answer> {
    const path = indexPath(crate)
    const index = await this.#indexFile(path)
    if (index.status !== 200) return index
    const bytes = await bytesOf(index.body)
    const { entries } = readIndexFile(bytes, path, { signed: true })
    const prefix = prefixOfPath(path)
    let last: Answer = NOT_HERE
    for (const entry of entries) {
      if (entry.version !== version || entry.crate !== crate) continue
      last = await this.#artifact({ kind: 'artifact', prefix, checksum: entry.checksum })
      if (last.status === 200) return { ...last, cache: SHORT }
    }
    return last
  }

  async #named(
    file: string,
    checksum: Parameters<VerifiedFiles['open']>[1],
    look: { readonly type: string; readonly cache: string; readonly ranges?: boolean },
  ): Promise<Answer> {
    const body = await this.#files.open(file, checksum)
    if (body === undefined) return NOT_HERE
    const { type, cache, ranges = false } = look
    return { status: 200, type, cache, etag: `"${checksum}"`, body, hasRanges: ranges }
  }
}

async function bytesOf(body: Uint8Array | OpenFile): Promise<Uint8Array> {
  if (body instanceof Uint8Array) return body
  await using file = body
  return await file.handle.readFile()
}

function text(line: string): Answer {
  return whole(Buffer.from(line), { type: TEXT, cache: NEVER })
}

function whole(
  body: Uint8Array,
  { type, cache }: { readonly type: string; readonly cache: string },
): Answer {
  return { status: 200, type, cache, etag: `"${sha256(body)}"`, body, hasRanges: false }
}
