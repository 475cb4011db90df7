import { MirrorError, quoted } from '../error.ts'
import { type Checksum, isChecksum } from '../registry/checksum.ts'
import { comparePaths, type Kind, parseMember } from './member.ts'
import { BLOCK_BYTES, paddedSize } from './ustar.ts'

/** One member of a volume: where its header begins, and what its data claims to be. */
export interface IndexedMember {
  readonly offset: number
  readonly size: number
  readonly sha256: Checksum
  readonly path: string
}

const LINE_BYTES_MAX = 320
const MEMBERS_MAX = 2 ** 20

/** `offset TAB size TAB sha256 TAB path`, a line a member, in the order of the volume. */
export function volumeIndexLine({ offset, size, sha256, path }: IndexedMember): string {
  return `${offset}\t${size}\t${sha256}\t${path}\n`
}

/** The size of a volume that ends with this member: its data, padding and the two blocks of the end. */
export function sizeWith({ offset, size }: Pick<IndexedMember, 'offset' | 'size'>): number {
  return nextOffset({ offset, size }) + 2 * BLOCK_BYTES
}

export function nextOffset({ offset, size }: Pick<IndexedMember, 'offset' | 'size'>): number {
  return offset + BLOCK_BYTES + paddedSize(size)
}

/**
 * The members that a volume says it has. Offsets follow from the sizes, so that no line can point
 * into another member's data, and the last one leads to the volume's end. A hint all the same: the
 * signed index must agree.
 * @throws {MirrorError} refused
 */
export function readVolumeIndex(
  bytes: Uint8Array,
  {
    kind,
    volumeBytes,
    name,
  }: { readonly kind: Kind; readonly volumeBytes: number; readonly name: string },
): IndexedMember[] {
  const refused = (line: number, why: string): MirrorError =>
    new MirrorError('refused', `${name}: line ${line}: ${why}`)
  if (bytes.length > LINE_BYTES_MAX * MEMBERS_MAX) throw refused(1, 'more lines than a volume has')
  const lines = Buffer.from(bytes).toString('latin1').split('\n')
  if (lines.pop() !== '') throw refused(lines.length + 1, 'it does not end with a newline')
  if (lines.length > MEMBERS_MAX) throw refused(MEMBERS_MAX + 1, 'more lines than a volume has')
  const members: IndexedMember[] = []
  let last: IndexedMember | undefined
  for (const [at, line] of lines.entries()) {
    const member = readLine(line, kind)
    if (member === undefined) throw refused(at + 1, `${quoted(line)} is not a member of ${kind}`)
    if (member.offset !== (last === undefined ? 0 : nextOffset(last))) {
      throw refused(at + 1, `offset ${member.offset} does not follow from the sizes before it`)
    }
    if (last !== undefined && comparePaths(last.path, member.path) >= 0) {
      throw refused(at + 1, `${quoted(member.path)} is out of order`)
    }
    members.push(member)
    last = member
  }
  if (last === undefined) throw refused(1, 'no member')
  if (sizeWith(last) !== volumeBytes) {
    throw refused(
      members.length,
      `the members end at ${sizeWith(last)}, the volume at ${volumeBytes}`,
    )
  }
  return members
}

const LINE = /^(0|[1-9][0-9]{0,9})\t([1-9][0-9]{0,9})\t([0-9a-f]{64})\t([\x21-\x7e]+)$/

function readLine(line: string, kind: Kind): IndexedMember | undefined {
  if (line.length >= LINE_BYTES_MAX) return undefined
  const [, offset, size, sha256, path = ''] = LINE.exec(line) ?? []
  if (!isChecksum(sha256) || parseMember(kind, path) === undefined) return undefined
  return { offset: Number(offset), size: Number(size), sha256, path }
}
