import { MirrorError, quoted } from '../error.ts'
import { type Checksum, isChecksum } from '../registry/checksum.ts'

/** Paths of a bag and what they must hash to, as BagIt 1.0 and `sha256sum -c` read them. */
export type Manifest = ReadonlyMap<string, Checksum>

/** The files beside the payload; `tagmanifest-sha256.txt` is written last and seals the bag. */
const TAG_FILES = [
  'README.txt',
  'bag-info.txt',
  'bagit.txt',
  'bundle.json',
  'manifest-sha256.txt',
] as const

export const MANIFEST_BYTES_MAX: number = 16 * 1024 * 1024
export const SEAL_BYTES_MAX = 4096
const PAYLOAD =
  /^data\/(?:tuf\/(?:[1-9][0-9]*\.(?:root|snapshot|targets)\.json|timestamp\.json|index-tree)|(tree|index|crates)\/\1-[0-9]{5}\.(?:tar|idx))$/

/** Lines ascending by path. */
export function manifestBytes(files: Manifest): Buffer {
  const sorted = [...files].sort(([a], [b]) => (a < b ? -1 : 1))
  return Buffer.from(sorted.map(([path, checksum]) => `${checksum}  ${path}\n`).join(''))
}

/** `manifest-sha256.txt`: every payload file, and nothing that could be anywhere else. @throws {MirrorError} refused */
export function readManifest(bytes: Uint8Array, name: string): Manifest {
  return read(bytes, { name, bytesMax: MANIFEST_BYTES_MAX, isAllowed: path => PAYLOAD.test(path) })
}

/** `tagmanifest-sha256.txt`: the five other files beside the payload, each of them. @throws {MirrorError} refused */
export function readSeal(bytes: Uint8Array, name: string): Manifest {
  const isAllowed = (path: string): boolean => TAG_FILES.some(file => file === path)
  const files = read(bytes, { name, bytesMax: SEAL_BYTES_MAX, isAllowed })
  const missing = TAG_FILES.find(file => !files.has(file))
  if (missing === undefined) return files
  throw new MirrorError('refused', `${name}: ${missing} is not listed`)
}

const LINE = /^([0-9a-f]{64}) {2}([\x21-\x7e]+)$/

function read(
  bytes: Uint8Array,
  {
    name,
    bytesMax,
    isAllowed,
  }: {
    readonly name: string
    readonly bytesMax: number
    readonly isAllowed: (path: string) => boolean
  },
): Manifest {
  const refused = (why: string): MirrorError => new MirrorError('refused', `${name}: ${why}`)
  if (bytes.length > bytesMax) throw refused(`longer than ${bytesMax} bytes`)
  const lines = Buffer.from(bytes).toString('latin1').split('\n')
  if (lines.pop() !== '') throw refused('the last line has no newline')
  const files = new Map<string, Checksum>()
  let before = ''
  for (const [at, line] of lines.entries()) {
    const [, checksum, path = ''] = LINE.exec(line) ?? []
    if (!isChecksum(checksum) || !isAllowed(path)) {
      throw refused(`line ${at + 1}: ${quoted(line)} is not allowed`)
    }
    if (path <= before) throw refused(`line ${at + 1}: ${quoted(path)} is out of order or twice`)
    files.set(path, checksum)
    before = path
  }
  return files
}
