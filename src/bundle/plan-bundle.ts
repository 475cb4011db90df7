import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { MirrorError } from '../error.ts'
import type { Checksum } from '../registry/checksum.ts'
import { ChecksumSet } from '../registry/checksum-set.ts'
import { type IndexPath, indexPath } from '../registry/sparse-path.ts'
import { indexFileByHash } from '../store/layout.ts'
import { withdrawnChecksums } from '../store/quarantine.ts'
import { isBelieved, type Snapshot } from '../store/snapshot.ts'
import type { BaseState } from './base.ts'
import type { Plan } from './bundle-json.ts'
import { Contents, type MissingObject } from './contents.ts'
import { comparePaths, type Kind } from './member.ts'
import type { StateToSend } from './state-to-send.ts'
import { type CutVolume, cutVolumes, type PlannedMember } from './volume-plan.ts'
import type { WantList } from './want-list.ts'

/** What a bundle is to carry, and how large its volumes may be. */
export interface BundleWish {
  readonly base: BaseState | undefined
  /** The want-list that is answered, and the hash of its bytes. */
  readonly want: { readonly list: WantList; readonly sha256: Checksum } | undefined
  readonly volumeSize: number
  /** Whether what held crates lack is listed as absent, instead of stopping here. */
  readonly heldAsAbsent: boolean
}

/** A plan with what it is cut from. */
export interface Planned {
  readonly plan: Plan
  readonly volumes: readonly CutVolume[]
}

const ABSENT_MAX = 10_000

/**
 * Every byte of a bundle, decided before one is written.
 * @throws {MirrorError} incomplete, with names, where an object of the target is not here (B5)
 */
export async function planBundle(
  root: string,
  state: StateToSend,
  wish: BundleWish,
  signal: AbortSignal,
): Promise<Planned> {
  const { base, want, volumeSize } = wish
  requireNothingHeld(root, state.published, wish)
  const contents = await Contents.of(root, {
    target: state.tree,
    base: base?.tree,
    ...(want && { also: want.list.objects }),
  })
  const absences = new Absences(root, state.published, wish)
  const carried = new ChecksumSet()
  const volumes: CutVolume[] = []
  const take = async (kind: Kind, members: Iterable<PlannedMember>): Promise<void> => {
    for (const volume of cutVolumes(kind, members, volumeSize)) {
      volumes.push(volume)
      await setImmediate()
      signal.throwIfAborted()
    }
  }
  await take('tree', contents.tiles)
  await take('index', contents.indexFiles)
  await take('crates', noted(contents.objects(absences.take), carried))
  const absent = absences.listed()
  const rest = await contents.notCarried(
    carried,
    absent.map(one => one.sha256),
  )
  const plan: Plan = {
    target: { ...state.versions, tree: state.tree, entries: state.entries },
    base: base === undefined ? null : { targets: base.targets, tree: base.tree },
    want: want?.sha256 ?? null,
    volumeSize,
    volumes: volumes.map(({ bytes, file, first, last, members }) => ({
      bytes,
      file,
      first,
      last,
      members,
    })),
    prerequisites: { count: rest.size, sha256: hashOfAll(rest) },
    absent,
  }
  return { plan, volumes }
}

function* noted(members: Iterable<PlannedMember>, carried: ChecksumSet): Generator<PlannedMember> {
  for (const member of members) {
    carried.add(member.sha256)
    yield member
  }
}

function hashOfAll(checksums: ChecksumSet): Checksum {
  const hash = createHash('sha256')
  for (const checksum of checksums.sorted()) hash.update(`${checksum}\n`)
  return hash.digest('hex') as Checksum
}

/** A crate whose index file is not here either always stops it: what it lists nobody knows. */
function requireNothingHeld(
  root: string,
  { held }: Snapshot,
  { heldAsAbsent }: Pick<BundleWish, 'heldAsAbsent'>,
): void {
  const stopping = Object.entries(held).filter(([path, { want }]) => {
    if (!heldAsAbsent) return true
    return want === null || !existsSync(join(root, indexFileByHash(path as IndexPath, want)))
  })
  if (stopping.length === 0) return
  const names = some(stopping.map(([path]) => path))
  const advice = heldAsAbsent
    ? 'their index files are not here'
    : 'run sync, or export --held-as-absent'
  throw new MirrorError('incomplete', `crates are held: ${names}; ${advice}`)
}

/** Objects that are not here: those with a reason are listed, any other stops the export. */
class Absences {
  readonly #published: Snapshot
  readonly #withdrawn: ReadonlySet<Checksum>
  readonly #heldAsAbsent: boolean
  readonly #listed = new Map<Checksum, string>()
  readonly #lost: string[] = []

  constructor(root: string, published: Snapshot, { heldAsAbsent }: BundleWish) {
    this.#published = published
    this.#withdrawn = withdrawnChecksums(root)
    this.#heldAsAbsent = heldAsAbsent
  }

  readonly take = (object: MissingObject): void => {
    const { path, crate, version, checksum } = object
    if (!this.#isExcused(object)) this.#lost.push(`${crate}@${version}`)
    else if (comparePaths(path, this.#listed.get(checksum) ?? '~') < 0) {
      this.#listed.set(checksum, path)
    }
  }

  /** @throws {MirrorError} incomplete */
  listed(): Plan['absent'] {
    if (this.#lost.length > 0) {
      throw new MirrorError(
        'incomplete',
        `${this.#lost.length} objects of the published state are not here: ${some(this.#lost)}; run verify --repair`,
      )
    }
    if (this.#listed.size > ABSENT_MAX) {
      throw new MirrorError(
        'incomplete',
        `${this.#listed.size} objects are absent, a bundle can list ${ABSENT_MAX}`,
      )
    }
    return [...this.#listed]
      .map(([sha256, path]) => ({ path, sha256 }))
      .sort((a, b) => comparePaths(a.path, b.path))
  }

  #isExcused({ crate, checksum, isDisputed }: MissingObject): boolean {
    const record = this.#published.absent[checksum]
    if (record !== undefined && isBelieved(record)) return true
    const isOfHeld = this.#heldAsAbsent && this.#published.held[indexPath(crate)] !== undefined
    return isDisputed || isOfHeld || this.#withdrawn.has(checksum)
  }
}

function some(names: readonly string[]): string {
  const more = names.length > 10 ? ` and ${names.length - 10} more` : ''
  return `${names.slice(0, 10).join(', ')}${more}`
}
