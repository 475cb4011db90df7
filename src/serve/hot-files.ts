import { type Checksum, sha256 } from '../registry/checksum.ts'

const FILE_BYTES_MAX = 131_072
const ALL_BYTES_MAX = 16 * 1024 * 1024

/**
 * Small files that are asked for again and again, by the hash that their bytes have: whatever
 * happens on the disk, that is what the hash names. Those not asked for longest make room.
 */
export class HotFiles {
  readonly #files = new Map<Checksum, Uint8Array>()
  #bytes = 0

  get(checksum: Checksum): Uint8Array | undefined {
    const bytes = this.#files.get(checksum)
    if (bytes === undefined) return undefined
    this.#files.delete(checksum)
    this.#files.set(checksum, bytes)
    return bytes
  }

  isSmall(size: number): boolean {
    return size <= FILE_BYTES_MAX
  }

  /** False where the bytes are not what the hash says. */
  put(checksum: Checksum, bytes: Uint8Array): boolean {
    if (sha256(bytes) !== checksum) return false
    if (this.#files.has(checksum)) return true
    this.#files.set(checksum, bytes)
    this.#bytes += bytes.length
    for (const [oldest, { length }] of this.#files) {
      if (this.#bytes <= ALL_BYTES_MAX) break
      this.#files.delete(oldest)
      this.#bytes -= length
    }
    return true
  }
}
