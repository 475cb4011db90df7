import { pipeline } from 'node:stream/promises'
import { crc32, createInflateRaw } from 'node:zlib'
import { type Entry, fromRandomAccessReaderPromise, RandomAccessReader, type ZipFile } from 'yauzl'
import { quoted } from '../error.ts'
import { DumpRefused } from './faults.ts'
import { RemoteBlocks, type RemoteFile } from './remote-file.ts'

const GIB = 1_073_741_824
const MEMBERS_MAX = 1_000
const MEMBER_BYTES_MAX = 8 * GIB
const STORED = 0
const DEFLATED = 8

/**
 * A zip of which only the list of members and the members asked for are read. The list comes
 * through the library; a member is inflated here, because the library compares no checksums.
 */
export class RemoteZip implements Disposable {
  readonly #name: string
  readonly #zip: ZipFile
  readonly #blocks: RemoteBlocks
  readonly #members: readonly Entry[]

  private constructor(
    zip: ZipFile,
    from: { readonly name: string; readonly blocks: RemoteBlocks; readonly members: Entry[] },
  ) {
    this.#zip = zip
    this.#name = from.name
    this.#blocks = from.blocks
    this.#members = from.members
  }

  static async open(
    remote: RemoteFile,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<RemoteZip> {
    const { name, size } = remote
    const blocks = new RemoteBlocks(remote, signal)
    try {
      const options = { autoClose: false, decodeStrings: true }
      const zip = await fromRandomAccessReaderPromise(new BlockReader(blocks), size, options)
      return new RemoteZip(zip, { name, blocks, members: await membersOf(zip, name) })
    } catch (error) {
      blocks[Symbol.dispose]()
      throw named(error, name, 'is not a zip, or was cut')
    }
  }

  /** The one member of this path, in whatever folder the zip has it. */
  member(path: string): Entry | undefined {
    const [only, another] = this.#members.filter(
      ({ fileName }) => fileName === path || fileName.endsWith(`/${path}`),
    )
    if (another !== undefined) throw new DumpRefused(this.#name, `has two members ${quoted(path)}`)
    return only
  }

  /** A member's bytes. Only when all have come is it known that they are the right ones. */
  async *bytes(member: Entry): AsyncGenerator<Uint8Array> {
    const place = `${this.#name}: ${quoted(member.fileName)}`
    assertReadable(member, place)
    try {
      yield* checked(await this.#unpacked(member), member, place)
    } catch (error) {
      throw named(error, place, 'is damaged')
    }
  }

  [Symbol.dispose](): void {
    this.#zip.close()
    this.#blocks[Symbol.dispose]()
  }

  async #unpacked(member: Entry): Promise<AsyncIterable<Uint8Array>> {
    const header = await this.#zip.readLocalFileHeaderPromise(member, { minimal: true })
    const start = header.fileDataStart
    const packed = this.#blocks.range(start, start + member.compressedSize)
    return member.compressionMethod === STORED ? packed : inflated(packed)
  }
}

/** What the library reads with; of its own streams none is used. */
class BlockReader extends RandomAccessReader {
  readonly #blocks: RemoteBlocks

  constructor(blocks: RemoteBlocks) {
    super()
    this.#blocks = blocks
  }

  override read(
    buffer: Buffer,
    offset: number,
    length: number,
    position: number,
    callback: (error: Error | null) => void,
  ): void {
    this.#blocks
      .read(position, length)
      .then(bytes => {
        bytes.copy(buffer, offset)
        callback(null)
      })
      .catch(callback)
  }
}

async function membersOf(zip: ZipFile, name: string): Promise<Entry[]> {
  const members: Entry[] = []
  for await (const member of zip.eachEntry()) {
    if (members.push(member) > MEMBERS_MAX) {
      throw new DumpRefused(name, `has more than ${MEMBERS_MAX} members`)
    }
  }
  return members
}

function assertReadable(member: Entry, place: string): void {
  if (member.isEncrypted()) throw new DumpRefused(place, 'is encrypted')
  if (![STORED, DEFLATED].includes(member.compressionMethod)) {
    const found = `compression method ${member.compressionMethod}`
    throw new DumpRefused(place, `has ${found}, expected stored or deflated`)
  }
  if (member.uncompressedSize > MEMBER_BYTES_MAX) {
    const found = `${member.uncompressedSize} bytes`
    throw new DumpRefused(place, `has ${found}, at most ${MEMBER_BYTES_MAX} are read`)
  }
}

/** Never more than the list says, whatever the packed bytes grow to; and the checksum at the end. */
async function* checked(
  bytes: AsyncIterable<Uint8Array>,
  member: Entry,
  place: string,
): AsyncGenerator<Uint8Array> {
  const { uncompressedSize: expected } = member
  let size = 0
  let crc = 0
  for await (const chunk of bytes) {
    size += chunk.length
    if (size > expected) throw new DumpRefused(place, `expected ${expected} bytes, found more`)
    crc = crc32(chunk, crc)
    yield chunk
  }
  if (size < expected) throw new DumpRefused(place, `expected ${expected} bytes, found ${size}`)
  if (crc !== member.crc32) {
    throw new DumpRefused(place, `expected CRC-32 ${hex(member.crc32)}, found ${hex(crc)}`)
  }
}

function hex(crc: number): string {
  return crc.toString(16).padStart(8, '0')
}

async function* inflated(packed: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const inflate = createInflateRaw({ chunkSize: 65_536 })
  const fed = pipeline(packed, inflate)
  fed.catch(() => {}) // the same failure ends the loop
  try {
    yield* inflate
    await fed
  } finally {
    inflate.destroy()
  }
}

/**
 * The library and zlib throw plain errors, which say what is wrong with the zip; whatever else comes
 * through, such as a host that is gone or our own end, is not about the zip.
 */
function named(error: unknown, place: string, fault: string): unknown {
  if (!(error instanceof Error) || error.name !== 'Error') return error
  return new DumpRefused(place, `${fault} (${quoted(error.message)})`, error)
}
