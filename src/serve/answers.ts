import type { Checksum } from '../registry/checksum.ts'
import { configJson } from '../registry/config-json.ts'
import type { CrateName } from '../registry/crate-name.ts'
import { readIndexFile } from '../registry/index-file.ts'
import { type IndexPath, indexPath, prefixOfPath } from '../registry/sparse-path.ts'
import type { Version } from '../registry/version.ts'
import { type Withdrawal, withdrawalText } from '../store/quarantine.ts'
import type { MirrorReader } from '../store/reader.ts'
import {
  type Answer,
  type Found,
  found,
  IMMUTABLE,
  JSON_TYPE,
  type Look,
  NEVER,
  NOT_HERE,
  type Refused,
  SHORT,
  TEXT,
  whole,
} from './answer.ts'
import { FileDamaged, HashedFiles, type OpenFile } from './files.ts'
import { HotFiles } from './hot-files.ts'
import type { Route } from './routes.ts'
import { newestOf, Search } from './search.ts'
import { StatusAnswers, type StatusSources } from './status-answers.ts'

const INDEX_FILE: Look = { type: TEXT, cache: SHORT }
const NAMED_BY_HASH: Look = { type: TEXT, cache: IMMUTABLE }
// never `Content-Encoding: gzip`: cargo would unpack it and the checksum fail
const ARTIFACT: Look = { type: 'application/gzip', cache: IMMUTABLE, hasRanges: true }

const LANDING: Refused = { status: 503, line: 'landing: this artifact is being written; ask again' }

/** Turns routes into answers from one mirror. Writes nothing, moves nothing. */
export class Answers {
  readonly #reader: MirrorReader
  readonly #url: () => string
  readonly #files = new HashedFiles()
  readonly #hot = new HotFiles()
  readonly #search: Search
  readonly #status: StatusAnswers

  constructor(options: StatusSources & { readonly url: () => string }) {
    this.#reader = options.reader
    this.#url = options.url
    this.#search = new Search(options.reader)
    this.#status = new StatusAnswers(options)
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
      case 'config':
        return whole(configJson({ url: this.#url(), api: this.#url() }), {
          type: JSON_TYPE,
          cache: SHORT,
        })
      case 'index file':
        return await this.#indexFile(route.path)
      case 'index file by hash': {
        const { path, checksum } = route
        return await this.#proved(this.#reader.indexFileByHash(path, checksum), checksum)
      }
      case 'artifact':
        return await this.#artifact(route)
      case 'version':
        return await this.#version(route)
      case 'tile':
        return await this.#proved(this.#reader.metadata(route.file), route.checksum)
      case 'metadata':
        return await this.#metadata(route)
      case 'search':
        return await this.#found(route)
      case 'malformed':
        return { status: 400, line: 'bad request: the target is no path' }
      case 'unknown':
        return NOT_HERE
      default:
        return await this.#status.to(route)
    }
  }

  /**
   * The file that the snapshot or its held record names, from where it lies by hash. Under the path
   * a writer may already have put the next one's, so that file counts only where the disk keeps
   * none by hash: then either of the two is a whole state.
   */
  async #indexFile(path: IndexPath): Promise<Answer> {
    if (this.#reader.published() === undefined) return await this.#appeared(path)
    const checksum = await this.#reader.indexFile(path)
    if (checksum === undefined) return NOT_HERE
    const hot = this.#hot.get(checksum)
    if (hot !== undefined) return proved(hot, checksum)
    const byHash = this.#reader.indexFileByHash(path, checksum)
    const answer = await this.#proved(byHash, checksum, INDEX_FILE)
    if (answer.status === 200) return await this.#kept(answer, checksum)
    return await this.#byPath(path, [checksum, await this.#reader.nextIndexFile(path)])
  }

  /** The same from memory the next time. */
  async #kept(answer: Found, checksum: Checksum): Promise<Answer> {
    const { body } = answer
    if (body instanceof Uint8Array || !this.#hot.isSmall(body.size)) return answer
    const bytes = await bytesOf(body)
    if (this.#hot.put(checksum, bytes)) return proved(bytes, checksum)
    throw new FileDamaged(body.path, 'was changed while it was read')
  }

  async #byPath(path: IndexPath, named: readonly (Checksum | undefined)[]): Promise<Answer> {
    const file = this.#reader.indexFileByPath(path)
    const body = await this.#files.open(file)
    if (body === undefined) throw new FileDamaged(file, 'is named and not here')
    if (named.includes(body.checksum)) return found(body, INDEX_FILE)
    await body[Symbol.asyncDispose]()
    throw new FileDamaged(file, `does not match sha256 ${named[0]}`)
  }

  /**
   * During a first sync a crate's file is under its path as soon as the crate is whole. That its
   * hash is a name too proves the bytes, as no snapshot can yet.
   */
  async #appeared(path: IndexPath): Promise<Answer> {
    const file = this.#reader.indexFileByPath(path)
    const body = await this.#files.open(file)
    if (body === undefined) return NOT_HERE
    await body[Symbol.asyncDispose]()
    const byHash = this.#reader.indexFileByHash(path, body.checksum)
    const answer = await this.#proved(byHash, body.checksum, INDEX_FILE)
    if (answer.status === 200) return answer
    throw new FileDamaged(file, `has sha256 ${body.checksum}, which was never verified`)
  }

  /**
   * Its name is its proof; why one is not here the snapshot may know. One that is withdrawn is not
   * given, though a killed writer may have left it its name.
   */
  async #artifact({
    prefix,
    checksum,
  }: Omit<Route & { kind: 'artifact' }, 'kind'>): Promise<Answer> {
    const withdrawal = this.#reader.withdrawn().get(checksum)
    if (withdrawal !== undefined) return withdrawn(withdrawal)
    const answer = await this.#proved(this.#reader.artifact(prefix, checksum), checksum, ARTIFACT)
    // after the file was opened: a name that leaves the list in between was proved by then
    if (this.#reader.isLanding(prefix, checksum)) {
      if (answer.status === 200) await closeBody(answer)
      return LANDING
    }
    if (answer.status === 200) return answer
    const missing = this.#reader.missing(prefix, checksum)
    return missing === undefined ? answer : { status: missing.status, line: missing.reason }
  }

  /** Of a version on two lines with different checksums the one whose artifact is here counts. */
  async #version({ crate, version }: Route & { kind: 'version' }): Promise<Answer> {
    const path = indexPath(crate)
    const index = await this.#indexFile(path)
    if (index.status !== 200) return this.#withdrawnVersion(crate, version) ?? index
    const { entries } = readIndexFile(await bytesOf(index.body), path, { signed: true })
    const prefix = prefixOfPath(path)
    let refused: Answer = NOT_HERE
    for (const { checksum, ...entry } of entries) {
      if (entry.version !== version || entry.crate !== crate) continue
      const answer = await this.#artifact({ prefix, checksum })
      if (answer.status === 200) return { ...answer, cache: SHORT }
      if (refused === NOT_HERE) refused = answer
    }
    return refused === NOT_HERE ? (this.#withdrawnVersion(crate, version) ?? refused) : refused
  }

  /** As crates.io answers `cargo search`. A crate that is held and was never whole is not told. */
  async #found({ text, atMost }: Route & { kind: 'search' }): Promise<Answer> {
    const { total, best } = await this.#search.find(text, atMost)
    const crates: { readonly name: CrateName; readonly max_version: Version }[] = []
    for (const path of best) {
      const index = await this.#indexFile(path)
      if (index.status !== 200) continue
      const file = readIndexFile(await bytesOf(index.body), path, { signed: true })
      const newest = newestOf(file)
      if (newest) crates.push({ name: newest.crate, max_version: newest.version })
    }
    const body = JSON.stringify({ crates, meta: { total } })
    return whole(Buffer.from(body), { type: JSON_TYPE, cache: NEVER })
  }

  /** The index no longer names malware, and whoever asks for it shall know why. */
  #withdrawnVersion(crate: CrateName, version: Version): Refused | undefined {
    for (const withdrawal of this.#reader.withdrawn().values()) {
      if (withdrawal.crate === crate && withdrawal.version === version) return withdrawn(withdrawal)
    }
    return undefined
  }

  /** No hash names it: whoever follows the chain verifies it. */
  async #metadata({ file, isNumbered }: Route & { kind: 'metadata' }): Promise<Answer> {
    const body = await this.#files.open(this.#reader.metadata(file))
    if (body === undefined) return NOT_HERE
    return found(body, { type: JSON_TYPE, cache: isNumbered ? IMMUTABLE : NEVER })
  }

  /** A file whose bytes must have this hash. @throws {FileDamaged} (P1) */
  async #proved(file: string, checksum: Checksum, look: Look = NAMED_BY_HASH): Promise<Answer> {
    const body = await this.#files.open(file)
    if (body === undefined) return NOT_HERE
    if (body.checksum === checksum) return found(body, look)
    await body[Symbol.asyncDispose]()
    throw new FileDamaged(file, `does not match sha256 ${checksum}`)
  }
}

function proved(body: Uint8Array, checksum: Checksum): Found {
  const { type, cache } = INDEX_FILE
  return { status: 200, type, cache, etag: `"${checksum}"`, body, hasRanges: false }
}

function withdrawn(withdrawal: Withdrawal): Refused {
  return { status: 404, line: `withdrawn: ${withdrawalText(withdrawal)}` }
}

async function closeBody({ body }: Found): Promise<void> {
  if (!(body instanceof Uint8Array)) await body[Symbol.asyncDispose]()
}

async function bytesOf(body: Uint8Array | OpenFile): Promise<Uint8Array> {
  if (body instanceof Uint8Array) return body
  await using file = body
  const bytes = Buffer.allocUnsafe(file.size)
  await file.read(bytes, 0)
  return bytes
}
