import { MirrorError } from '../error.ts'
import type { Checksum } from '../registry/checksum.ts'
import type { PlannedVolume } from './bundle-json.ts'
import type { Kind } from './member.ts'
import { BLOCK_BYTES } from './ustar.ts'
import { nextOffset, sizeWith, volumeIndexLine } from './volume-index.ts'

/** What goes into a volume, in the order of the paths. */
export interface PlannedMember {
  readonly path: string
  readonly size: number
  readonly sha256: Checksum
}

/** A volume that is cut, with the size of its `.idx`. */
export interface CutVolume extends PlannedVolume {
  readonly indexBytes: number
}

/** How large volumes and media are for what carries them; undefined: what there is, or no bound. */
export const PRESETS = {
  usb: { volumeSize: 1_073_741_824, mediumSize: undefined },
  dvd: { volumeSize: 1_150_000_000, mediumSize: 4_700_000_000 },
  bd: { volumeSize: 2_147_483_648, mediumSize: 25_025_314_816 },
  diode: { volumeSize: 268_435_456, mediumSize: undefined },
} as const

const MEMBERS_MAX = 2 ** 20

/**
 * Cuts members into volumes: one is closed when the next member would make it larger than
 * `volumeSize`. A member that is larger alone gets a volume of its own. Sizes are exact.
 */
export function* cutVolumes(
  kind: Kind,
  members: Iterable<PlannedMember>,
  volumeSize: number,
): Generator<CutVolume> {
  let open: CutVolume | undefined
  let number = 0
  for (const member of members) {
    const offset = open === undefined ? 0 : open.bytes - 2 * BLOCK_BYTES
    const isFull =
      open !== undefined &&
      (open.members === MEMBERS_MAX || sizeWith({ offset, size: member.size }) > volumeSize)
    if (open !== undefined && isFull) yield open
    if (open === undefined || isFull) {
      number += 1
      open = begun(`${kind}-${String(number).padStart(5, '0')}`, member)
    } else open = grown(open, member)
  }
  if (open !== undefined) yield open
}

function begun(file: string, member: PlannedMember): CutVolume {
  return {
    file,
    first: member.path,
    last: member.path,
    members: 1,
    bytes: sizeWith({ offset: 0, size: member.size }),
    indexBytes: volumeIndexLine({ offset: 0, ...member }).length,
  }
}

function grown(volume: CutVolume, member: PlannedMember): CutVolume {
  const offset = volume.bytes - 2 * BLOCK_BYTES
  return {
    ...volume,
    last: member.path,
    members: volume.members + 1,
    bytes: nextOffset({ offset, size: member.size }) + 2 * BLOCK_BYTES,
    indexBytes: volume.indexBytes + volumeIndexLine({ offset, ...member }).length,
  }
}

/** Tag files, signatures and plan, on each medium. */
const SMALL_FILES_BYTES = 32 * 1024 * 1024

/**
 * The number of the medium for each volume, filled in order from 1. Each file takes whole clusters.
 * @throws {MirrorError} no-space where a volume fits on no medium
 */
export function layOnMedia(
  volumes: readonly CutVolume[],
  {
    mediumSize,
    clusterBytes,
  }: { readonly mediumSize: number | undefined; readonly clusterBytes: number },
): number[] {
  const onDisk = (bytes: number): number => Math.ceil(bytes / clusterBytes) * clusterBytes
  const room = mediumSize === undefined ? Number.POSITIVE_INFINITY : mediumSize - SMALL_FILES_BYTES
  let medium = 1
  let filled = 0
  return volumes.map(({ file, bytes, indexBytes }) => {
    const needed = onDisk(bytes) + onDisk(indexBytes)
    if (needed > room) {
      throw new MirrorError(
        'no-space',
        `${file} has ${bytes} bytes, a medium of ${mediumSize} holds at most ${room} beside its small files`,
      )
    }
    if (filled + needed > room) {
      medium += 1
      filled = 0
    }
    filled += needed
    return medium
  })
}
