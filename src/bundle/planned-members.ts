import { MirrorError } from '../error.ts'
import type { Checksum } from '../registry/checksum.ts'
import type { Bundle, PlannedVolume } from './bundle-json.ts'
import type { Contents, MissingObject } from './contents.ts'
import type { Kind } from './member.ts'
import type { SourcedMember } from './volume-file.ts'

/** The kind of a volume: `crates-00017` is one of crates. */
export function kindOf({ file }: Pick<PlannedVolume, 'file'>): Kind {
  return file.slice(0, file.lastIndexOf('-')) as Kind
}

/** All members of one kind, as the plan counted on them. */
export function plannedMembers(
  kind: Kind,
  contents: Contents,
  { plan }: Pick<Bundle, 'plan'>,
): Iterator<SourcedMember> {
  if (kind === 'tree') return contents.tiles.values()
  if (kind === 'index') return contents.indexFiles.values()
  return objectsOf(contents, new Set(plan.absent.map(one => one.sha256)))
}

/** What the plan lists as absent is left out though it may have come meanwhile. */
function* objectsOf(contents: Contents, absent: ReadonlySet<Checksum>): Generator<SourcedMember> {
  const missing = ({ crate, version, checksum }: MissingObject): void => {
    if (absent.has(checksum)) return
    throw new MirrorError(
      'damaged',
      `${crate}@${version} was here when the export was planned and is not any more; run verify --repair`,
    )
  }
  for (const member of contents.objects(missing)) if (!absent.has(member.sha256)) yield member
}

/** The members of one volume, taken from those of its kind; they must be the ones it was planned with. */
export class VolumeMembers implements Iterable<SourcedMember> {
  readonly #members: Iterator<SourcedMember>
  readonly #volume: PlannedVolume
  #taken = 0
  #first: string | undefined
  #last: string | undefined

  constructor(members: Iterator<SourcedMember>, volume: PlannedVolume) {
    this.#members = members
    this.#volume = volume
  }

  *[Symbol.iterator](): Generator<SourcedMember> {
    while (this.#taken < this.#volume.members) {
      const next = this.#members.next()
      if (next.done === true) break
      this.#taken += 1
      this.#first ??= next.value.path
      this.#last = next.value.path
      yield next.value
    }
    const { first, last, members, file } = this.#volume
    if (this.#taken === members && this.#first === first && this.#last === last) return
    throw new MirrorError(
      'damaged',
      `${file}: the mirror does not have the members that it was planned with any more`,
    )
  }

  /** Passes by what nobody has taken. */
  skip(): void {
    for (const _ of this);
  }
}
