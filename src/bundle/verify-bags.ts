import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { MirrorError, quoted } from '../error.ts'
import { type Checksum, sha256 } from '../registry/checksum.ts'
import { type IndexFile, readIndexFile } from '../registry/index-file.ts'
import { type IndexPath, indexPath } from '../registry/sparse-path.ts'
import { rootRef } from '../store/snapshot.ts'
import { EMPTY_TREE } from '../tree/build.ts'
import type { TreeEntry } from '../tree/entry.ts'
import { parseTile, type Tile } from '../tree/tile.ts'
import { entriesOf, type FindTiles } from '../tree/walk.ts'
import type { Freshness } from '../trust/freshness.ts'
import { refresh } from '../trust/refresh.ts'
import type { Vouched } from '../trust/vouched.ts'
import type { Bag } from './bags.ts'
import type { PlannedVolume } from './bundle-json.ts'
import { BundleSource } from './bundle-source.ts'
import type { Carrying } from './carrying.ts'
import { MediumFile } from './medium-file.ts'
import { parseMember } from './member.ts'
import { kindOf } from './planned-members.ts'
import { BLOCK_BYTES, paddedSize } from './ustar.ts'
import type { IndexedMember } from './volume-index.ts'
import { membersOf } from './volume-reader.ts'

/** What a look at every byte of some bags found. */
export interface BagsVerified {
  /** Bytes that are lost or wrong, by name. */
  readonly damage: readonly string[]
  readonly notSeen: BundleSource['notSeen']
  readonly members: number
  /** Artifacts whose index file is not on the media: only a mirror that has it can judge them. */
  readonly unjudged: number
  /** What the chain vouches for, followed from the root given; undefined: none was given. */
  readonly vouched: Vouched | undefined
}

export interface VerifyOptions {
  readonly root: Uint8Array | undefined
  readonly freshness: Freshness
  readonly carrying: Carrying
  readonly signal: AbortSignal
  readonly now: Date
}

/**
 * Checks bags where they lie, without a mirror: every listed file against its manifest, every member
 * of every volume against its header and its index, and, where a root is given, the chain, the tree
 * and each artifact against the signed index.
 * @throws {MirrorError} refused; signature, expired … of the chain
 */
export async function verifyBags(
  bags: readonly Bag[],
  options: VerifyOptions,
): Promise<BagsVerified> {
  const source = new BundleSource(bags)
  try {
    return await new Verifying(source, options).run()
  } finally {
    await source.close()
  }
}

const FILE_PIECE_BYTES = 1024 * 1024

class Verifying {
  readonly #source: BundleSource
  readonly #options: VerifyOptions
  readonly #damage = new Set<string>()
  #entries: ReadonlyMap<IndexPath, TreeEntry> = new Map()
  #open: { readonly path: IndexPath; readonly file: IndexFile | undefined } | undefined
  #members = 0
  #unjudged = 0

  constructor(source: BundleSource, options: VerifyOptions) {
    this.#source = source
    this.#options = options
  }

  async run(): Promise<BagsVerified> {
    const { bags } = this.#source
    const { carrying, root } = this.#options
    carrying.begin(
      'check',
      bags.reduce((sum, bag) => sum + 2 * bytesOf(bag), 0),
    )
    for (const bag of bags) {
      for (const name of bag.damaged) this.#note(bag, name, 'is damaged or missing')
      for (const [file, expected] of bag.manifest ?? []) await this.#file(bag, file, expected)
    }
    const vouched = root && (await this.#follow(root))
    if (vouched !== undefined) this.#entries = await this.#tree(vouched)
    for (const bag of bags) {
      for (const volume of bag.bundle.plan.volumes) await this.#volume(bag, volume, vouched?.tree)
    }
    for (const { volume, what } of this.#source.damage) this.#damage.add(`${volume}: ${what}`)
    return {
      damage: [...this.#damage],
      notSeen: this.#source.notSeen,
      members: this.#members,
      unjudged: this.#unjudged,
      vouched,
    }
  }

  #note({ folder }: Bag, file: string, what: string): void {
    this.#damage.add(`${join(folder, file)} ${what}`)
  }

  async #file(bag: Bag, file: string, expected: Checksum): Promise<void> {
    const { carrying, signal } = this.#options
    const bytes = MediumFile.open(join(bag.folder, file), bag.device)
    if (bytes === undefined) return this.#note(bag, file, 'is missing')
    carrying.what = file
    try {
      const hash = createHash('sha256')
      for (let at = 0; at < bytes.size; await setImmediate()) {
        signal.throwIfAborted()
        const piece = bytes.view(at, FILE_PIECE_BYTES)
        if (piece.length === 0) break
        hash.update(piece)
        at += piece.length
        carrying.bytes += piece.length
      }
      if (hash.digest('hex') !== expected) this.#note(bag, file, 'is damaged')
    } finally {
      bytes.close()
    }
  }

  /** From the root given, with floors of nobody: what a new mirror would believe. */
  async #follow(root: Uint8Array): Promise<Vouched> {
    const { freshness, now, signal } = this.#options
    const nothing = async (): Promise<void> => {}
    const fetch = (file: string, bytesMax: number): Promise<Uint8Array | undefined> =>
      this.#source.metadata(file, { bytesMax })
    const io = { fetch, keep: nothing, drop: nothing, accuse: nothing }
    signal.throwIfAborted()
    const vouched = await refresh({ root, roots: [] }, io, { now, acceptClock: false, freshness })
    const { target } = this.#source.bundle.plan
    if (target.tree === vouched.tree) return vouched
    throw new MirrorError(
      'refused',
      `${this.#source.name}: its plan says tree ${target.tree}, its metadata proves ${vouched.tree}`,
    )
  }

  /** Below tiles that are not on these media, as those of a delta's base, nothing is known. */
  async #tree({ tree }: Vouched): Promise<ReadonlyMap<IndexPath, TreeEntry>> {
    const entries = new Map<IndexPath, TreeEntry>()
    const find: FindTiles = async refs => {
      const tiles: (Tile | undefined)[] = []
      for (const ref of refs) {
        try {
          tiles.push(parseTile(await this.#source.tile(ref.position, ref.hash), ref))
        } catch (error) {
          if (!(error instanceof MirrorError) || error.code !== 'incomplete') throw error
          tiles.push(undefined)
        }
      }
      return tiles
    }
    if (tree === EMPTY_TREE.hash) return entries
    for await (const entry of entriesOf(rootRef(tree), find)) entries.set(entry.path, entry)
    return entries
  }

  async #volume(bag: Bag, plan: PlannedVolume, tree: Checksum | undefined): Promise<void> {
    const { carrying, signal } = this.#options
    const kind = kindOf(plan)
    const file = `data/${kind}/${plan.file}.tar`
    const bytes = MediumFile.open(join(bag.folder, file), bag.device)
    if (bytes === undefined) return
    carrying.what = file
    try {
      const index = this.#indexOf(bag, plan)
      const hashes = index && new Map(index.map(({ path, sha256 }) => [path, sha256]))
      for (const found of membersOf(bytes, { kind, plan, ...(index && { index }) })) {
        signal.throwIfAborted()
        if (found.kind === 'damage') {
          this.#note(bag, file, `is damaged at ${found.path ?? found.offset}`)
          continue
        }
        const { path, size, offset } = found
        const hash = hashOf(bytes, offset + BLOCK_BYTES, size)
        this.#members += 1
        carrying.bytes += size
        if (!isPadded(bytes, offset + BLOCK_BYTES + size, paddedSize(size) - size)) {
          this.#note(bag, file, `has other bytes than zeros after ${path}`)
        }
        const expected = hashes?.get(path)
        if (hashes !== undefined && expected !== hash) {
          this.#note(bag, file, `${path} is not what its index says`)
        } else if (tree === bag.bundle.plan.target.tree && kind === 'crates') {
          await this.#object(path, hash)
        }
        await setImmediate()
      }
    } finally {
      bytes.close()
    }
  }

  #indexOf(bag: Bag, plan: PlannedVolume): readonly IndexedMember[] | undefined {
    const volume = this.#source.volumeOf(bag, plan.file)
    return volume?.isIndexed ? volume.indexed() : undefined
  }

  /** @throws {MirrorError} refused where the signed index says otherwise */
  async #object(path: string, hash: Checksum): Promise<void> {
    const member = parseMember('crates', path)
    const file =
      member?.kind === 'crates' && 'crate' in member ? await this.#indexFile(member) : undefined
    if (file === undefined || member?.kind !== 'crates' || !('version' in member)) {
      this.#unjudged += 1
      return
    }
    const { crate, version } = member
    const isListed = file.entries.some(
      one => one.crate === crate && one.version === version && one.checksum === hash,
    )
    if (isListed) return
    throw new MirrorError(
      'refused',
      `${quoted(path)} with sha256 ${hash} is not in the signed index`,
    )
  }

  async #indexFile({
    crate,
  }: {
    readonly crate: Parameters<typeof indexPath>[0]
  }): Promise<IndexFile | undefined> {
    const path = indexPath(crate)
    if (this.#open?.path !== path) {
      const entry = this.#entries.get(path)
      this.#open = { path, file: entry && (await this.#readIndexFile(entry)) }
    }
    return this.#open.file
  }

  async #readIndexFile(entry: TreeEntry): Promise<IndexFile | undefined> {
    try {
      const bytes = await this.#source.indexFile(entry)
      return readIndexFile(bytes, entry.path, { signed: true })
    } catch (error) {
      if (error instanceof MirrorError && error.code === 'incomplete') return undefined
      throw error
    }
  }
}

function bytesOf({ bundle }: Bag): number {
  return bundle.plan.volumes.reduce((sum, { bytes }) => sum + bytes, 0)
}

function hashOf(bytes: MediumFile, at: number, size: number): Checksum {
  if (size <= FILE_PIECE_BYTES) return sha256(bytes.view(at, size))
  const hash = createHash('sha256')
  for (let done = 0; done < size; ) {
    const piece = bytes.view(at + done, Math.min(FILE_PIECE_BYTES, size - done))
    if (piece.length === 0) break
    hash.update(piece)
    done += piece.length
  }
  return hash.digest('hex') as Checksum
}

function isPadded(bytes: MediumFile, at: number, count: number): boolean {
  return count === 0 || bytes.view(at, count).every(byte => byte === 0)
}
