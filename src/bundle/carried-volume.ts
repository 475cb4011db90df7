import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { MirrorError } from '../error.ts'
import { type Checksum, sha256 } from '../registry/checksum.ts'
import type { Claim } from '../upstream/claim.ts'
import type { ArtifactBody, ArtifactVolume, PassingArtifact } from '../upstream/upstream.ts'
import type { Bag } from './bags.ts'
import type { PlannedVolume } from './bundle-json.ts'
import { MediumFile, readCapped } from './medium-file.ts'
import { type Kind, parseMember } from './member.ts'
import { kindOf } from './planned-members.ts'
import { BLOCK_BYTES, readHeader } from './ustar.ts'
import { type IndexedMember, readVolumeIndex } from './volume-index.ts'
import { membersOf } from './volume-reader.ts'

/** Bytes of a volume that are lost: which, and of what where that is known. */
export interface Damage {
  readonly bundleId: Checksum
  readonly bag: Checksum
  readonly volume: string
  readonly what: string
}

const INDEX_BYTES_MAX = 320 * 2 ** 20
const WHOLE_BYTES = 1024 * 1024
const CHUNK_BYTES = 1024 * 1024

/** A volume at hand. */
export class CarriedVolume {
  readonly bundleId: Checksum
  readonly file: string
  readonly kind: Kind
  readonly #bag: Bag
  readonly #plan: PlannedVolume
  readonly #bytes: MediumFile
  readonly #damage: Damage[]
  #index: { readonly members: readonly IndexedMember[] } | undefined

  private constructor(bag: Bag, plan: PlannedVolume, bytes: MediumFile, damage: Damage[]) {
    this.bundleId = bag.bundle.bundleId
    this.file = plan.file
    this.kind = kindOf(plan)
    this.#bag = bag
    this.#plan = plan
    this.#bytes = bytes
    this.#damage = damage
  }

  /** Of its bag. */
  get folder(): string {
    return this.#bag.folder
  }

  /** Undefined where it is not there. @throws {MirrorError} refused where it is longer than planned */
  static open(bag: Bag, plan: PlannedVolume, damage: Damage[]): CarriedVolume | undefined {
    const path = join(bag.folder, `data/${kindOf(plan)}/${plan.file}.tar`)
    const bytes = MediumFile.open(path, bag.device)
    if (bytes === undefined) return undefined
    const volume = new CarriedVolume(bag, plan, bytes, damage)
    if (bytes.size > plan.bytes) {
      volume.close()
      throw new MirrorError(
        'refused',
        `${plan.file}: ${bytes.size} bytes, the plan has ${plan.bytes}`,
      )
    }
    if (bytes.size === 0) {
      volume.noteLost('all of it: the medium was probably removed before writing ended')
    } else if (bytes.size < plan.bytes) {
      volume.noteLost(`its end: ${bytes.size} of ${plan.bytes} bytes are there`)
    }
    return volume
  }

  close(): void {
    this.#bytes.close()
  }

  noteLost(what: string): void {
    this.#damage.push({ bundleId: this.bundleId, bag: this.#bag.id, volume: this.file, what })
  }

  /** What it says it has; where its index is lost, nothing. @throws {MirrorError} refused */
  indexed(): readonly IndexedMember[] {
    return this.#readIndex() ?? []
  }

  /** Whether its index is there and right: looked at without keeping it. */
  get isIndexed(): boolean {
    return this.#indexBytes() !== undefined
  }

  /** Read anew each time: a registry's are too many to keep. */
  get claims(): readonly Claim[] | undefined {
    return this.#readIndex()?.map(({ path, size, sha256 }) => claimOf(path, size, sha256))
  }

  /** A member's data by its place; undefined where it is lost. Good until the next call. */
  bytes(offset: number, size: number): Buffer | undefined {
    const block = this.#bytes.view(offset, BLOCK_BYTES)
    if (block.length < BLOCK_BYTES) return undefined
    if (readHeader(block, `${this.file} at ${offset}`).kind !== 'member') return undefined
    const data = this.#bytes.view(offset + BLOCK_BYTES, size)
    if (data.length === size) return data
    const whole = Buffer.alloc(size)
    return this.#bytes.read(whole, offset + BLOCK_BYTES) === size ? whole : undefined
  }

  /** The same as a body; a large one in chunks. */
  body(offset: number, size: number): ArtifactBody | undefined {
    if (size <= WHOLE_BYTES) {
      const bytes = this.bytes(offset, size)
      return bytes && { offset: 0, pieces: [Buffer.from(bytes)] }
    }
    return { offset: 0, chunks: this.#chunks(offset + BLOCK_BYTES, size) }
  }

  asUpstream(tree: Checksum): ArtifactVolume {
    return {
      name: this.file,
      isForTarget: this.#bag.bundle.plan.target.tree === tree,
      claims: () => this.claims,
      members: (isNeeded, { signal }) => this.#members(isNeeded, signal),
    }
  }

  async *#members(
    isNeeded: (claim: Claim) => boolean,
    signal: AbortSignal,
  ): AsyncGenerator<PassingArtifact> {
    const index = this.#readIndex()
    const hashes = new Map(index?.map(({ path, sha256 }) => [path, sha256]))
    const options = { kind: this.kind, plan: this.#plan, ...(index && { index }) }
    let read = 0
    for (const found of membersOf(this.#bytes, options)) {
      signal.throwIfAborted()
      if (found.kind === 'damage') {
        this.noteLost(found.path ?? `what begins at ${found.offset}`)
        continue
      }
      const { path, size, offset } = found
      const claim = claimOf(path, size, hashes.get(path))
      if (!isNeeded(claim)) continue
      const lost = (): void => this.noteLost(path)
      yield { claim, body: this.#passing(offset + BLOCK_BYTES, size), lost }
      read += size
      if (read < CHUNK_BYTES) continue
      read = 0
      await setImmediate()
    }
  }

  /** Not copied: whoever takes it is done with it before the next one is asked for. */
  #passing(at: number, size: number): ArtifactBody {
    if (size > WHOLE_BYTES) return { offset: 0, chunks: this.#chunks(at, size) }
    return { offset: 0, pieces: [this.#bytes.view(at, size)] }
  }

  async *#chunks(at: number, size: number): AsyncGenerator<Uint8Array> {
    for (let done = 0; done < size; ) {
      const chunk = this.#bytes.view(at + done, Math.min(CHUNK_BYTES, size - done))
      if (chunk.length === 0) return
      done += chunk.length
      // another volume may be read before it is taken
      yield Buffer.from(chunk)
      await setImmediate()
    }
  }

  /** Those of tiles and index files are asked for again and again, and are few. */
  #readIndex(): readonly IndexedMember[] | undefined {
    if (this.#index !== undefined) return this.#index.members
    const bytes = this.#indexBytes()
    if (bytes === undefined && this.kind === 'crates') return undefined
    const name = `${this.file}.idx`
    const volumeBytes = this.#plan.bytes
    const members = bytes
      ? readVolumeIndex(bytes, { kind: this.kind, volumeBytes, name })
      : this.#walked()
    if (this.kind !== 'crates') this.#index = { members }
    return members
  }

  #indexBytes(): Buffer | undefined {
    const path = `data/${this.kind}/${this.file}.idx`
    const bytes = readCapped(join(this.#bag.folder, path), INDEX_BYTES_MAX, this.#bag.device)
    const expected = this.#bag.manifest?.get(path)
    return bytes !== undefined && sha256(bytes) === expected ? bytes : undefined
  }

  /** Of a volume whose index is lost the headers tell what it has, and the data its hash. */
  #walked(): readonly IndexedMember[] {
    const members: IndexedMember[] = []
    for (const found of membersOf(this.#bytes, { kind: this.kind, plan: this.#plan })) {
      if (found.kind === 'damage') continue
      const { offset, path, size } = found
      const data = this.bytes(offset, size)
      if (data !== undefined) members.push({ offset, path, size, sha256: sha256(data) })
    }
    return members
  }
}

function claimOf(path: string, size: number, checksum: Checksum | undefined): Claim {
  const member = parseMember('crates', path)
  const isNamed = member?.kind === 'crates' && 'crate' in member
  const named = isNamed ? { crate: member.crate, version: member.version } : undefined
  const hash = member?.kind === 'crates' && 'checksum' in member ? member.checksum : checksum
  return { path, named, checksum: hash, size }
}
