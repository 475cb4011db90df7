import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { MirrorError } from '../error.ts'
import { type Checksum, sha256 } from '../registry/checksum.ts'
import type { Chain } from '../store/chain-files.ts'
import { BAGIT_TXT, type BagInfo, bagInfoText, readmeText } from './bag.ts'
import { manifestBytes } from './manifest.ts'

/** A payload file as it was written. */
export interface PayloadFile {
  readonly sha256: Checksum
  readonly bytes: number
}

export const SEAL_FILE = 'tagmanifest-sha256.txt'

/** The files beside the payload, in the order in which they are written: the last one seals the bag. */
export function tagFiles(
  payload: ReadonlyMap<string, PayloadFile>,
  bundle: Uint8Array,
  info: Omit<BagInfo, 'files' | 'bytes'> & { readonly chain: Chain },
): ReadonlyMap<string, Uint8Array> {
  const bytes = payload.values().reduce((sum, one) => sum + one.bytes, 0)
  const tags = new Map<string, Uint8Array>([
    ['bundle.json', bundle],
    ['README.txt', Buffer.from(readmeText(info.chain))],
    ['bagit.txt', Buffer.from(BAGIT_TXT)],
    ['bag-info.txt', Buffer.from(bagInfoText({ ...info, files: payload.size, bytes }))],
    ['manifest-sha256.txt', manifestBytes(hashes(payload, ({ sha256 }) => sha256))],
  ])
  return tags.set(SEAL_FILE, manifestBytes(hashes(tags, sha256)))
}

function hashes<File>(
  files: ReadonlyMap<string, File>,
  hashOf: (file: File) => Checksum,
): ReadonlyMap<string, Checksum> {
  return new Map([...files].map(([path, file]) => [path, hashOf(file)]))
}

/** The tag files are there as they were written, and a folder can be listed. @throws {MirrorError} damaged */
export function requireTags(folder: string, tags: ReadonlyMap<string, Uint8Array>): void {
  const names = new Set(readdirSync(folder))
  for (const [name, bytes] of tags) {
    const file = join(folder, name)
    if (names.has(name) && existsSync(file) && Buffer.compare(readFileSync(file), bytes) === 0)
      continue
    throw new MirrorError('damaged', `${file} does not read back as it was written`)
  }
}
