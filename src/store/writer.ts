import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { linkFile, makeFolder, moveThrough, removeFile, replaceFile } from './durable.ts'
import type { Owner } from './lock.ts'
import type { Mirror } from './mirror.ts'

/**
 * The one who holds the lock. Every mutable name of a mirror is changed through its folder in
 * `state/owners/`: a later owner moves that folder away, so a writer that lost the lock fails in
 * the kernel (P14). Paths are relative to the mirror's root, as `layout.ts` gives them.
 */
export class Writer {
  readonly mirror: Mirror
  readonly owner: Owner
  #count = 0

  constructor(mirror: Mirror, owner: Owner) {
    this.mirror = mirror
    this.owner = owner
  }

  /** Whole old bytes or whole new bytes under the name, durable when it resolves. */
  async replace(file: string, bytes: Uint8Array | Iterable<Uint8Array>): Promise<void> {
    const final = this.at(file)
    await makeFolder(join(final, '..'))
    await replaceFile(final, bytes, { via: this.#via() })
  }

  /** The same, but a file that holds these bytes already is left alone; says whether it was not. */
  async update(file: string, bytes: Uint8Array): Promise<boolean> {
    const final = this.at(file)
    if (existsSync(final) && Buffer.compare(readFileSync(final), bytes) === 0) return false
    await this.replace(file, bytes)
    return true
  }

  /** Gives an immutable file a second, mutable name. Durable only with the next flush. */
  async link(existing: string, file: string): Promise<void> {
    const final = this.at(file)
    await makeFolder(join(final, '..'))
    await linkFile(this.at(existing), final, { via: this.#via() })
  }

  /** Durable only with the next flush. A name that is not there is done. */
  async remove(file: string): Promise<void> {
    await removeFile(this.at(file), { via: this.#via() })
  }

  /** Durable only with the next flush. A name that is not there is done. */
  async move(file: string, to: string): Promise<void> {
    await moveThrough(this.at(file), this.at(to), { via: this.#via() })
  }

  at(file: string): string {
    return `${this.mirror.root}/${file}`
  }

  #via(): string {
    this.#count += 1
    return join(this.owner.folder, String(this.#count))
  }
}
