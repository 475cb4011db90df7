import type { Checksum } from './checksum.ts'

const BYTES = 32
const FIRST_ROOM = 1024

/**
 * A set of checksums for when there are millions of them: 32 bytes each and a table of slots, some 45
 * bytes for one, where a `Set` of their hex digits takes more than 150.
 */
export class ChecksumSet {
  #bytes = Buffer.alloc(FIRST_ROOM * BYTES)
  /** Where a checksum lies, from 1 on; 0 is a free slot. Open addressing, at most half full. */
  #slots = new Uint32Array(2 * FIRST_ROOM)
  readonly #sought = Buffer.alloc(BYTES)
  #size = 0

  get size(): number {
    return this.#size
  }

  /** False where it was in it before. */
  add(checksum: Checksum): boolean {
    this.#sought.write(checksum, 'hex')
    const slot = this.#slotOf(this.#sought)
    if (this.#slots[slot] !== 0) return false
    if (2 * (this.#size + 1) > this.#slots.length) {
      this.#grow()
      return this.add(checksum)
    }
    this.#sought.copy(this.#bytes, this.#size * BYTES)
    this.#size += 1
    this.#slots[slot] = this.#size
    return true
  }

  has(checksum: Checksum): boolean {
    this.#sought.write(checksum, 'hex')
    return this.#slots[this.#slotOf(this.#sought)] !== 0
  }

  /** Ascending. Sorted by their first two bytes, then a few at a time. */
  *sorted(): Generator<Checksum> {
    const buckets = new Map<number, number[]>()
    for (let at = 0; at < this.#size; at += 1) {
      buckets.getOrInsertComputed(this.#bytes.readUInt16BE(at * BYTES), () => []).push(at)
    }
    for (const bucket of [...buckets.keys()].sort((a, b) => a - b)) {
      yield* (buckets.get(bucket) ?? []).map(at => this.#at(at)).sort()
    }
  }

  #at(index: number): Checksum {
    return this.#bytes.toString('hex', index * BYTES, (index + 1) * BYTES) as Checksum
  }

  /** Its own, or the free one where it would go; a checksum needs no other hash to be spread by. */
  #slotOf(sought: Buffer): number {
    const mask = this.#slots.length - 1
    for (let slot = sought.readUInt32LE(0) & mask; ; slot = (slot + 1) & mask) {
      const found = this.#slots[slot] ?? 0
      if (found === 0) return slot
      const at = (found - 1) * BYTES
      if (this.#bytes.compare(sought, 0, BYTES, at, at + BYTES) === 0) return slot
    }
  }

  #grow(): void {
    const bytes = Buffer.alloc(2 * this.#bytes.length)
    this.#bytes.copy(bytes)
    this.#bytes = bytes
    this.#slots = new Uint32Array(2 * this.#slots.length)
    for (let at = 0; at < this.#size; at += 1) {
      this.#slots[this.#slotOf(bytes.subarray(at * BYTES, (at + 1) * BYTES))] = at + 1
    }
  }
}
