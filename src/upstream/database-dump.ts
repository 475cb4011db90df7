import { PassThrough, Readable } from 'node:stream'
import { CsvError, parse } from 'csv-parse'
import { fromRandomAccessReaderPromise, RandomAccessReader, type ZipFile } from 'yauzl'
import { MirrorError } from '../error.ts'
import { type CrateName, parseCrateName } from '../registry/crate-name.ts'

/** A big file elsewhere, read piece by piece. */
export interface RemoteFile {
  readonly name: string
  readonly size: number
  /** Exactly these bytes, which lie within the file. */
  read(offset: number, length: number): Promise<Uint8Array>
}

/**
 * The dump is not the zip we know.
 * @public
 */
export class DumpRefused extends MirrorError {
  constructor(name: string, fault: string, cause?: unknown) {
    super('incomplete', `${name}: ${fault}`, { cause })
  }
}

const PIECE_BYTES = 1_048_576
const MEMBER_BYTES_MAX = 8 * 1024 ** 3
const RECORD_BYTES_MAX = 16 * 1024 ** 2
const ENTRIES_MAX = 1000
const MEMBER = /(?:^|\/)data\/crates\.csv$/

/**
 * The names of all crates in crates.io's database dump. Of the zip, which has gigabytes, only its
 * directory and the one member are read, by ranges, a piece at a time; nothing of it is kept.
 */
export async function* namesInDump(
  remote: RemoteFile,
  { signal }: { readonly signal: AbortSignal },
): AsyncGenerator<CrateName> {
  const zip = await opened(remote)
  try {
    yield* namesIn(await memberOf(zip, remote.name), signal)
  } catch (error) {
    signal.throwIfAborted()
    throw refusal(remote.name, error)
  } finally {
    zip.close()
  }
}

async function opened(remote: RemoteFile): Promise<ZipFile> {
  try {
    const reader = new RemoteReader(remote)
    return await fromRandomAccessReaderPromise(reader, remote.size, { autoClose: false })
  } catch (error) {
    throw refusal(remote.name, error)
  }
}

async function memberOf(zip: ZipFile, name: string): Promise<Readable> {
  if (zip.entryCount > ENTRIES_MAX) throw new DumpRefused(name, `has ${zip.entryCount} members`)
  for await (const entry of zip.eachEntry()) {
    if (!MEMBER.test(entry.fileName)) continue
    if (entry.uncompressedSize > MEMBER_BYTES_MAX) {
      throw new DumpRefused(name, `${entry.fileName} has ${entry.uncompressedSize} bytes`)
    }
    if (!entry.canDecodeFileData()) throw new DumpRefused(name, `${entry.fileName} is encrypted`)
    return await zip.openReadStreamPromise(entry)
  }
  throw new DumpRefused(name, 'has no member data/crates.csv')
}

/** The column is found by its heading; names that nobody could mirror are left out. */
async function* namesIn(member: Readable, signal: AbortSignal): AsyncGenerator<CrateName> {
  const rows = parse({ max_record_size: RECORD_BYTES_MAX, relax_column_count: false })
  // not `pipeline`: an error on either side must reach the loop below
  member.on('error', error => rows.destroy(error))
  let column = -1
  for await (const row of member.pipe(rows) as AsyncIterable<readonly string[]>) {
    signal.throwIfAborted()
    if (column === -1) {
      column = row.indexOf('name')
      if (column === -1) throw new Error('data/crates.csv has no column "name"')
      continue
    }
    const name = parseCrateName(row[column])
    if (name !== undefined) yield name
  }
}

function refusal(name: string, error: unknown): MirrorError {
  if (error instanceof MirrorError) return error
  const said = error instanceof CsvError ? error.code : (error as Error).message
  return new DumpRefused(name, `is not a database dump that can be read (${said})`, error)
}

/** What yauzl reads through: one piece after the other, and no further than its reader takes. */
class RemoteReader extends RandomAccessReader {
  readonly #remote: RemoteFile

  constructor(remote: RemoteFile) {
    super()
    this.#remote = remote
  }

  override _readStreamForRange(start: number, end: number): Readable {
    const pieces = Readable.from(this.#pieces(start, end), { objectMode: false })
    const through = new PassThrough()
    pieces.on('error', error => through.destroy(error))
    return pieces.pipe(through)
  }

  async *#pieces(start: number, end: number): AsyncGenerator<Uint8Array> {
    for (let at = start; at < end; at += PIECE_BYTES) {
      const length = Math.min(PIECE_BYTES, end - at)
      const bytes = await this.#remote.read(at, length)
      if (bytes.length !== length) throw new Error(`${bytes.length} of ${length} bytes at ${at}`)
      yield bytes
    }
  }
}
