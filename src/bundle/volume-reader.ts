import { MirrorError, quoted } from '../error.ts'
import type { PlannedVolume } from './bundle-json.ts'
import { comparePaths, type Kind, parseMember } from './member.ts'
import { BLOCK_BYTES, readHeader } from './ustar.ts'
import { type IndexedMember, nextOffset } from './volume-index.ts'

/** Bytes of a volume: how many there are, and how to get some; less come only at the end or where they are lost. */
export interface VolumeBytes {
  readonly size: number
  read(into: Buffer, at: number): number
}

/** What lies in a volume. `offset` is that of the header; the data begins a block later. */
export type Found =
  | {
      readonly kind: 'member'
      readonly offset: number
      readonly path: string
      readonly size: number
    }
  /** Bytes are lost here; `path` where the volume's index knows whose they were. */
  | { readonly kind: 'damage'; readonly offset: number; readonly path: string | undefined }

/**
 * The members of a volume, read forward by their headers; data is for whoever wants it. What was lost
 * is told, and the walk goes on at the next offset that the index has, where there is one that can be
 * believed so far. What somebody wrote otherwise is refused.
 * @throws {MirrorError} refused
 */
export function* membersOf(
  bytes: VolumeBytes,
  {
    kind,
    plan,
    index = [],
  }: {
    readonly kind: Kind
    readonly plan: PlannedVolume
    readonly index?: readonly IndexedMember[]
  },
): Generator<Found> {
  if (bytes.size > plan.bytes) {
    throw new MirrorError(
      'refused',
      `${plan.file}: ${bytes.size} bytes, the plan has ${plan.bytes}`,
    )
  }
  yield* new Walk(bytes, kind, plan, index).members()
}

class Walk {
  readonly #bytes: VolumeBytes
  readonly #kind: Kind
  readonly #plan: PlannedVolume
  readonly #index: readonly IndexedMember[]
  readonly #block = Buffer.alloc(BLOCK_BYTES)
  /** Where the two blocks of the end begin. */
  readonly #end: number
  #at = 0
  #members = 0
  #last = ''
  /** How many members of the index lie behind. */
  #known = 0

  constructor(
    bytes: VolumeBytes,
    kind: Kind,
    plan: PlannedVolume,
    index: readonly IndexedMember[],
  ) {
    this.#bytes = bytes
    this.#kind = kind
    this.#plan = plan
    this.#index = index
    this.#end = plan.bytes - 2 * BLOCK_BYTES
  }

  *members(): Generator<Found> {
    let isWhole = true
    while (this.#at < this.#end) {
      const member = this.#member()
      if (member !== undefined) {
        yield member
        continue
      }
      isWhole = false
      yield* this.#skip()
    }
    if (this.#bytes.read(this.#block, this.#plan.bytes) > 0) {
      throw this.#refused(`it grew beyond the ${this.#plan.bytes} bytes that the plan has`)
    }
    const isEnd = this.#isZero(this.#end) && this.#isZero(this.#end + BLOCK_BYTES)
    if (!isEnd) yield { kind: 'damage', offset: this.#end, path: undefined }
    else if (isWhole && this.#members !== this.#plan.members) {
      throw this.#refused(`${this.#members} members, the plan has ${this.#plan.members}`)
    }
  }

  /** Undefined: bytes are lost here. */
  #member(): (Found & { readonly kind: 'member' }) | undefined {
    const offset = this.#at
    if (this.#bytes.read(this.#block, offset) < BLOCK_BYTES) return undefined
    const look = readHeader(this.#block, `${this.#plan.file}, member ${this.#members + 1}`)
    if (look.kind !== 'member') return undefined
    const { path, size } = look
    if (parseMember(this.#kind, path) === undefined) {
      throw this.#refused(`${quoted(path)} is no member of ${this.#kind}`)
    }
    if (comparePaths(this.#last, path) >= 0) throw this.#refused(`${quoted(path)} is out of order`)
    const next = nextOffset({ offset, size })
    if (next > this.#end)
      throw this.#refused(`${quoted(path)} of ${size} bytes leads beyond the end`)
    this.#at = next
    this.#last = path
    this.#members += 1
    return { kind: 'member', offset, path, size }
  }

  /** To the next member that the index knows; without one the rest is lost. */
  *#skip(): Generator<Found> {
    const offset = this.#at
    while ((this.#index[this.#known]?.offset ?? offset) < offset) this.#known += 1
    const first = this.#index[this.#known]
    const here = first?.offset === offset ? first : undefined
    const next = here === undefined ? first : this.#index[this.#known + 1]
    this.#at = next?.offset ?? this.#end
    yield { kind: 'damage', offset, path: here?.path }
  }

  #isZero(at: number): boolean {
    const count = this.#bytes.read(this.#block, at)
    return count === BLOCK_BYTES && this.#block.every(byte => byte === 0)
  }

  #refused(why: string): MirrorError {
    return new MirrorError('refused', `${this.#plan.file}: ${why}`)
  }
}
