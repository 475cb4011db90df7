import { MirrorError } from '../error.ts'
import type { ChainIo } from './chain-io.ts'
import { type Freshness, requireFresh } from './freshness.ts'
import type { Instant } from './instant.ts'
import type { Metadata, RoleType } from './metadata.ts'

/** How a cycle takes metadata in: asked for, accepted, of one content and not too old. */
export class Intake {
  readonly io: ChainIo
  /** TUF 5.1: fixed once for the whole cycle. */
  readonly start: Instant
  readonly freshness: Freshness
  readonly warnings: string[] = []

  constructor(io: ChainIo, start: Instant, freshness: Freshness) {
    this.io = io
    this.start = start
    this.freshness = freshness
  }

  async demand<Accepted>(
    file: string,
    limit: number,
    accept: (bytes: Uint8Array) => Accepted,
  ): Promise<Accepted> {
    const accepted = await this.obtain(file, limit, accept)
    if (accepted !== undefined) return accepted
    throw new MirrorError('incomplete', `${file}: the upstream does not have it`)
  }

  /** One flipped or cut answer is asked for again before it is refused. */
  async obtain<Accepted>(
    file: string,
    limit: number,
    accept: (bytes: Uint8Array) => Accepted,
  ): Promise<Accepted | undefined> {
    for (let isLast = false; ; isLast = true) {
      const bytes = await this.io.fetch(file, limit)
      if (bytes === undefined) return undefined
      try {
        return accept(bytes)
      } catch (error) {
        const isDoubtful =
          error instanceof MirrorError && (error.code === 'refused' || error.code === 'signature')
        if (isLast || !isDoubtful) throw error
      }
    }
  }

  requireFresh(role: RoleType, metadata: Metadata): void {
    const warning = requireFresh(role, metadata, this.start, this.freshness)
    if (warning !== undefined) this.warnings.push(warning)
  }

  /** One version with two contents: somebody shows different states to different people. */
  async requireOneContent(found: Metadata, stored: Metadata): Promise<void> {
    if (found.version !== stored.version || found.digest === stored.digest) return
    await this.io.accuse(stored.file, [stored.bytes, found.bytes])
    throw new MirrorError(
      'equivocation',
      `${found.file}: version ${found.version} has other content than the one accepted before`,
    )
  }
}
