import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { MirrorError } from '../error.ts'
import { type Checksum, sha256 } from '../registry/checksum.ts'
import type { Chain } from '../store/chain-files.ts'
import { createOnce, discardFile, flush, makeFolder, sealFolder } from '../store/durable.ts'
import { acquireLock } from '../store/lock.ts'
import { instantOf } from '../trust/instant.ts'
import { type BagNumber, bagName } from './bag.ts'
import { type PlannedVolume, readBundle } from './bundle-json.ts'
import type { Carrying } from './carrying.ts'
import { Contents } from './contents.ts'
import type { Journal } from './exports.ts'
import type { Medium } from './medium.ts'
import { KINDS } from './member.ts'
import { kindOf, plannedMembers, VolumeMembers } from './planned-members.ts'
import { readBack } from './read-back.ts'
import { type PayloadFile, requireTags, SEAL_FILE, tagFiles } from './seal.ts'
import { writeVolume } from './volume-file.ts'

/** One bag to write, of a bundle whose journal has begun. */
export interface BagToWrite {
  readonly journal: Journal
  readonly number: BagNumber
  /** What it carries, in the order of the plan. */
  readonly volumes: readonly PlannedVolume[]
  readonly medium: Medium
  /** Whose chain it is, for people. */
  readonly chain: Chain
  /** Objects of the want-list that is answered. */
  readonly also: ReadonlySet<Checksum>
  /** False: nothing is read back, and nobody is told that it was. */
  readonly isReadBack: boolean
  readonly agent: string
}

/** What became of it. */
export interface BagReport {
  readonly folder: string
  readonly bag: Checksum
  readonly volumes: number
  readonly bytes: number
  /** `cached`: through the page cache, which proves less; `before`: an earlier run wrote it. */
  readonly readBack: 'direct' | 'cached' | 'none' | 'before'
}

/** What every step works with. */
export interface Exporting {
  readonly mirror: string
  readonly carrying: Carrying
  readonly signal: AbortSignal
  readonly now: () => Date
}

/**
 * The story of one bag. What a crash leaves after each step; the same command again does the rest:
 *
 *   open       NAME.partial with the plan and the chain in it
 *   write      volumes, each flushed before the journal has it; one that it has not is written again
 *   read back  as before; a volume that does not read back right leaves the journal
 *   seal       the tag files, `tagmanifest-sha256.txt` last: now it is whole, and still `.partial`
 *   name       NAME; the journal says so
 */
export async function writeBag(exporting: Exporting, bag: BagToWrite): Promise<BagReport> {
  const { journal, number, medium } = bag
  const name = bagName(journal.bundle, number)
  const place = join(medium.folder, name)
  const ours = join(journal.folder, name)
  await makeFolder(join(ours, 'state', 'owners'))
  await using _lock = await acquireLock(
    { root: ours },
    { command: `export to ${place}`, signal: exporting.signal, now: exporting.now() },
  )
  if (existsSync(place)) return await writtenBefore(exporting, bag, { name, place })
  const writing = new Writing(exporting, bag, name)
  await writing.open()
  await writing.write()
  const proof = await writing.readBack()
  const tags = await writing.seal()
  await sealFolder(join(medium.folder, `${name}.partial`), place)
  requireTags(place, tags)
  const seal = sha256(tags.get(SEAL_FILE) ?? Buffer.alloc(0))
  await journal.keepSealed(name, { bag: seal, at: instantOf(exporting.now()) })
  return { folder: place, bag: seal, ...countOf(bag), readBack: proof }
}

/** A bag of this bundle, which is done; or another's, which stays as it is. */
async function writtenBefore(
  { now }: Exporting,
  bag: BagToWrite,
  { name, place }: { readonly name: string; readonly place: string },
): Promise<BagReport> {
  const { journal } = bag
  const plan = join(place, 'bundle.json')
  const seal = join(place, SEAL_FILE)
  const isOurs = existsSync(plan) && journal.bundleBytes.equals(readFileSync(plan))
  if (!isOurs || !existsSync(seal)) {
    throw new MirrorError(
      'usage',
      `${place} is there already and is of another bundle; export to another folder`,
    )
  }
  const id = sha256(readFileSync(seal))
  if (journal.sealed(name) === undefined) {
    await journal.keepSealed(name, { bag: id, at: instantOf(now()) })
  }
  return { folder: place, bag: id, ...countOf(bag), readBack: 'before' }
}

function countOf({ volumes }: BagToWrite): { readonly volumes: number; readonly bytes: number } {
  return { volumes: volumes.length, bytes: bytesOf(volumes) }
}

function bytesOf(volumes: Iterable<PlannedVolume>): number {
  return [...volumes].reduce((sum, { bytes }) => sum + bytes, 0)
}

class Writing {
  readonly #exporting: Exporting
  readonly #bag: BagToWrite
  readonly #name: string
  readonly #bundle: Buffer
  readonly #payload = new Map<string, PayloadFile>()

  constructor(exporting: Exporting, bag: BagToWrite, name: string) {
    this.#exporting = exporting
    this.#bag = bag
    this.#name = name
    this.#bundle = bag.journal.bundleBytes
  }

  /** The folder is ours by its plan, or new. */
  async open(): Promise<void> {
    const { journal, volumes, medium } = this.#bag
    const plan = this.#at('bundle.json')
    if (isOfAnother(plan, this.#bundle)) {
      throw new MirrorError(
        'usage',
        `${this.#at('')} is of another export; remove it, or export to another folder`,
      )
    }
    const open = volumes.filter(volume => !this.#isWritten(volume))
    medium.requireRoom({ bytes: bytesOf(open), files: 2 * open.length + 32 })
    const kinds = KINDS.filter(kind => volumes.some(volume => kindOf(volume) === kind))
    for (const folder of ['tuf', ...kinds]) await makeFolder(this.#at(`data/${folder}`))
    await this.#put('bundle.json', this.#bundle)
    for (const [name, bytes] of journal.files) {
      await this.#put(`data/tuf/${name}`, bytes)
      this.#payload.set(`data/tuf/${name}`, { sha256: sha256(bytes), bytes: bytes.length })
    }
  }

  async write(): Promise<void> {
    const { carrying, mirror } = this.#exporting
    const { journal, volumes, also } = this.#bag
    const { plan } = journal.bundle
    carrying.begin('write', bytesOf(volumes))
    const [target, base] = [plan.target.tree, plan.base?.tree]
    const contents = await Contents.of(mirror, { target, base, also })
    const chosen = new Set(volumes.map(({ file }) => file))
    for (const kind of KINDS) {
      const all = plannedMembers(kind, contents, journal.bundle)
      for (const volume of plan.volumes.filter(one => kindOf(one) === kind)) {
        const members = new VolumeMembers(all, volume)
        if (!chosen.has(volume.file) || this.#isWritten(volume)) members.skip()
        else await this.#writeVolume(volume, members)
        if (chosen.has(volume.file)) this.#count(volume)
      }
    }
  }

  async #writeVolume(volume: PlannedVolume, members: VolumeMembers): Promise<void> {
    const { carrying, signal } = this.#exporting
    const { journal, medium } = this.#bag
    const { file, bytes } = volume
    const path = this.#at(dataFile(volume))
    carrying.what = file
    await journal.dropVolume(this.#name, file)
    for (const ending of ['tar', 'idx']) await discardFile(`${path}.${ending}`)
    medium.assertStillHere(this.#partial, this.#bundle)
    const before = carrying.bytes
    const copied = (count: number): void => {
      carrying.bytes = before + count
    }
    const written = await writeVolume(`${path}.tar`, members, { signal, copied })
    if (written.bytes !== bytes) {
      throw new MirrorError('damaged', `${file} has ${written.bytes} bytes, planned were ${bytes}`)
    }
    await createOnce(`${path}.idx`, written.index, { mode: 0o644 })
    const idx = sha256(written.index)
    await journal.keepVolume(this.#name, file, { tar: written.sha256, idx })
    carrying.bytes = before
  }

  #count(volume: PlannedVolume): void {
    const path = dataFile(volume)
    const record = this.#bag.journal.volume(this.#name, volume.file)
    if (record === undefined) throw new Error(`${volume.file} is in the journal by now`)
    this.#payload.set(`${path}.tar`, { sha256: record.tar, bytes: volume.bytes })
    const { size } = statSync(this.#at(`${path}.idx`))
    this.#payload.set(`${path}.idx`, { sha256: record.idx, bytes: size })
    this.#exporting.carrying.bytes += volume.bytes
  }

  /** Whether its bytes are right is for the reading back to say. */
  #isWritten(volume: PlannedVolume): boolean {
    const path = this.#at(dataFile(volume))
    return (
      this.#bag.journal.volume(this.#name, volume.file) !== undefined &&
      statSync(`${path}.tar`, { throwIfNoEntry: false })?.size === volume.bytes &&
      existsSync(`${path}.idx`)
    )
  }

  /** After the last volume: a stick that lies about its room overwrites the first ones. */
  async readBack(): Promise<BagReport['readBack']> {
    const { carrying, signal } = this.#exporting
    if (!this.#bag.isReadBack) return 'none'
    const folders = [
      '',
      'data',
      ...new Set([...this.#payload.keys()].map(file => file.split('/', 2).join('/'))),
    ]
    await flush(this.#at(''), { files: [], folders: folders.map(folder => this.#at(folder)) })
    carrying.begin(
      'read back',
      this.#payload.values().reduce((sum, { bytes }) => sum + bytes, 0),
    )
    let isDirect = true
    for (const [file, written] of this.#payload) {
      carrying.what = file.slice(file.lastIndexOf('/') + 1)
      const read = (count: number): void => {
        carrying.bytes += count
      }
      const found = await readBack(this.#at(file), { signal, read })
      isDirect &&= found.isDirect
      if (found.sha256 !== written.sha256 || found.bytes !== written.bytes) {
        await this.#refuse(file, `${found.bytes} bytes with sha256 ${found.sha256}`)
      }
    }
    return isDirect ? 'direct' : 'cached'
  }

  /** The next run writes it again. */
  async #refuse(file: string, found: string): Promise<never> {
    const volume = /\/([a-z]+-[0-9]{5})\.(?:tar|idx)$/.exec(file)?.[1]
    if (volume !== undefined) await this.#bag.journal.dropVolume(this.#name, volume)
    else await discardFile(this.#at(file))
    const written = this.#payload.get(file)
    throw new MirrorError(
      'damaged',
      `${this.#at(file)}: the medium gives back ${found}, written were ${written?.bytes} with ${written?.sha256}; do not trust this medium`,
    )
  }

  async seal(): Promise<ReadonlyMap<string, Uint8Array>> {
    const { journal, number, volumes, chain, agent, medium } = this.#bag
    const { bundleId, media, plan } = journal.bundle
    medium.assertStillHere(this.#partial, this.#bundle)
    const replaced = plan.volumes.findIndex(({ file }) => file === volumes[0]?.file)
    const tags = tagFiles(this.#payload, this.#bundle, {
      bundleId,
      medium: number.kind === 'medium' ? number.number : (media[replaced] ?? 1),
      media: media.at(-1) ?? 1,
      date: instantOf(this.#exporting.now()).slice(0, 10),
      agent,
      chain,
    })
    for (const [name, bytes] of tags) await this.#put(name, bytes)
    return tags
  }

  /** One that holds these bytes is left alone; a torn one of a killed run is not. */
  async #put(file: string, bytes: Uint8Array): Promise<void> {
    const path = this.#at(file)
    if (existsSync(path)) {
      if (Buffer.compare(readFileSync(path), bytes) === 0) return
      await discardFile(path)
    }
    await createOnce(path, bytes, { mode: 0o644 })
  }

  get #partial(): string {
    return `${this.#name}.partial`
  }

  #at(file: string): string {
    return join(this.#bag.medium.folder, this.#partial, file)
  }
}

/** A plan that a kill left torn is nobody's, and is written anew. */
function isOfAnother(plan: string, ours: Buffer): boolean {
  if (!existsSync(plan)) return false
  const found = readFileSync(plan)
  if (ours.equals(found)) return false
  try {
    readBundle(found, plan)
    return true
  } catch (error) {
    if (error instanceof MirrorError) return false
    throw error
  }
}

/** Without its ending. */
function dataFile(volume: PlannedVolume): string {
  return `data/${kindOf(volume)}/${volume.file}`
}
