import { join } from 'node:path'
import { MirrorError } from '../error.ts'
import { type Checksum, sha256 } from '../registry/checksum.ts'
import type { Position, TreeEntry } from '../tree/entry.ts'
import { NotThere } from '../upstream/faults.ts'
import type { ArtifactBody, ArtifactVolume, Upstream, Wanted } from '../upstream/upstream.ts'
import type { Bag } from './bags.ts'
import type { PlannedVolume } from './bundle-json.ts'
import { CarriedVolume, type Damage } from './carried-volume.ts'
import { readCapped } from './medium-file.ts'
import type { Kind } from './member.ts'
import { kindOf } from './planned-members.ts'

interface Place {
  readonly volume: CarriedVolume
  readonly offset: number
  readonly size: number
}

const ROOT_TILE_BYTES_MAX = 64 * 1024

/**
 * Bags as an upstream: metadata of the newest bundle among them, everything else by its hash from any
 * of them. Gives bytes and believes nothing, like every upstream; what is damaged is noted, and asked
 * of another bag that has it.
 */
export class BundleSource implements Upstream {
  readonly name: string
  readonly bags: readonly Bag[]
  readonly damage: Damage[] = []
  readonly #newest: Bag
  readonly #volumes: readonly CarriedVolume[]
  readonly #places = new Map<Kind, ReadonlyMap<Checksum, readonly Place[]>>()

  constructor(bags: readonly Bag[]) {
    this.bags = bags.toSorted(byAge)
    const [newest] = this.bags
    if (newest === undefined) throw new Error('no bag was given')
    this.#newest = newest
    this.name = `bundle ${newest.bundle.bundleId.slice(0, 8)}`
    this.#volumes = openVolumes(this.bags, this.damage)
  }

  get bundle(): Bag['bundle'] {
    return this.#newest.bundle
  }

  /** Volumes of the newest bundle that no bag given here has, with their media. */
  get notSeen(): readonly { readonly file: string; readonly medium: number }[] {
    const { plan, media, bundleId } = this.bundle
    const seen = new Set(
      this.#volumes.filter(one => one.bundleId === bundleId).map(({ file }) => file),
    )
    return plan.volumes
      .map(({ file }, n) => ({ file, medium: media[n] ?? 1 }))
      .filter(({ file }) => !seen.has(file))
  }

  async metadata(
    file: string,
    { bytesMax }: { readonly bytesMax: number },
  ): Promise<Uint8Array | undefined> {
    const path = `data/tuf/${file}`
    let isDamaged = false
    for (const bag of this.bags) {
      if (bag.bundle.bundleId !== this.bundle.bundleId) continue
      const expected = bag.manifest?.get(path)
      if (bag.manifest !== undefined && expected === undefined) continue
      const bytes = readCapped(join(bag.folder, path), bytesMax, bag.device)
      if (bytes !== undefined && (expected === undefined || sha256(bytes) === expected))
        return bytes
      if (expected !== undefined) isDamaged = true
    }
    if (!isDamaged) return undefined
    throw new MirrorError(
      'damaged',
      `${this.name}: ${path} is damaged or missing on every medium given`,
    )
  }

  async tile(position: Position, hash: Checksum): Promise<Uint8Array> {
    if (position === '') return this.#rootTile(hash)
    return this.#byHash('tree', hash, `tile ${position}`)
  }

  async indexFile(entry: TreeEntry): Promise<Uint8Array> {
    return this.#byHash('index', entry.sha256, `index/${entry.path}`)
  }

  async artifact({ crate, version, checksum }: Wanted): Promise<ArtifactBody> {
    const name = `${crate}@${version}`
    for (const { volume, offset, size } of this.#placesOf('crates').get(checksum) ?? []) {
      const body = volume.body(offset, size)
      if (body !== undefined) return body
    }
    if (this.bundle.plan.absent.some(one => one.sha256 === checksum)) {
      throw new NotThere(`${this.name} lists ${name} as absent`, 404)
    }
    throw new MirrorError('incomplete', `${name} is on none of the media given`)
  }

  *volumes(tree: Checksum): Generator<ArtifactVolume> {
    const seen = new Set<string>()
    for (const volume of this.#volumes) {
      if (volume.kind !== 'crates') continue
      const key = `${volume.bundleId} ${volume.file}`
      if (seen.has(key)) continue
      if (volume.isIndexed) seen.add(key)
      yield volume.asUpstream(tree)
    }
  }

  async pause(
    _attempt: number,
    _error: MirrorError,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<void> {
    signal.throwIfAborted()
  }

  async close(): Promise<void> {
    for (const volume of this.#volumes) volume.close()
  }

  /** Whether a bag has all that it lists, and that right as far as it was read. */
  conditionOf(bag: Bag): 'whole' | 'partial' | 'damaged' {
    const isDamaged = bag.damaged.length > 0 || this.damage.some(one => one.bag === bag.id)
    if (isDamaged) return 'damaged'
    const listed = [...(bag.manifest?.keys() ?? [])].filter(path => path.endsWith('.tar'))
    const here = this.#volumes.filter(one => one.folder === bag.folder)
    return here.length < listed.length ? 'partial' : 'whole'
  }

  /** The volume of this bag, where it is there. */
  volumeOf({ folder }: Bag, file: string): CarriedVolume | undefined {
    return this.#volumes.find(one => one.file === file && one.folder === folder)
  }

  #rootTile(hash: Checksum): Uint8Array {
    for (const bag of this.bags) {
      const bytes = readCapped(
        join(bag.folder, 'data/tuf/index-tree'),
        ROOT_TILE_BYTES_MAX,
        bag.device,
      )
      if (bytes !== undefined && sha256(bytes) === hash) return bytes
    }
    throw new MirrorError('incomplete', `the root tile ${hash} is on none of the media given`)
  }

  #byHash(kind: Kind, hash: Checksum, what: string): Uint8Array {
    for (const { volume, offset, size } of this.#placesOf(kind).get(hash) ?? []) {
      const bytes = volume.bytes(offset, size)
      if (bytes !== undefined && sha256(bytes) === hash) return Buffer.from(bytes)
      volume.noteLost(what)
    }
    throw new MirrorError('incomplete', `${what} is on none of the media given`)
  }

  /** Where each member lies, by what the volumes' indexes say; made when somebody asks. */
  #placesOf(kind: Kind): ReadonlyMap<Checksum, readonly Place[]> {
    const known = this.#places.get(kind)
    if (known !== undefined) return known
    const places = new Map<Checksum, Place[]>()
    for (const volume of this.#volumes) {
      if (volume.kind !== kind) continue
      for (const { sha256: hash, offset, size } of volume.indexed()) {
        places.getOrInsertComputed(hash, () => []).push({ volume, offset, size })
      }
    }
    this.#places.set(kind, places)
    return places
  }
}

/** The newest state first; what a bag says of that is a hint, which the chain must bear out. */
function byAge({ bundle: { plan: a } }: Bag, { bundle: { plan: b } }: Bag): number {
  return b.target.targets - a.target.targets || b.target.timestamp - a.target.timestamp
}

/** In the order of the plan, tree and index before crates. None stays open where one is refused. */
function openVolumes(bags: readonly Bag[], damage: Damage[]): CarriedVolume[] {
  const volumes: CarriedVolume[] = []
  try {
    for (const bag of bags) {
      for (const plan of bag.bundle.plan.volumes.filter(one => isListed(bag, one))) {
        const volume = CarriedVolume.open(bag, plan, damage)
        if (volume !== undefined) volumes.push(volume)
      }
    }
    return volumes
  } catch (error) {
    for (const volume of volumes) volume.close()
    throw error
  }
}

/** Where the manifest is lost whatever lies there under a planned name is looked at. */
function isListed({ manifest }: Bag, volume: PlannedVolume): boolean {
  return manifest?.has(`data/${kindOf(volume)}/${volume.file}.tar`) ?? true
}
