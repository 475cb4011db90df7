import { BLOCK_BYTES, header, paddedSize, readHeader } from '../bundle/ustar.ts'
import { MirrorError } from '../error.ts'
import { type Checksum, sha256 } from '../registry/checksum.ts'
import type { CrateName } from '../registry/crate-name.ts'
import { readIndexFile } from '../registry/index-file.ts'
import { nameOfPath, parseIndexPath } from '../registry/sparse-path.ts'
import type { Version } from '../registry/version.ts'
import type { ChainFolder } from '../sync/chain-walk.ts'

/** A proof as a file: the files of the way, under the names they have below `public/`, as a tar. */
export function proofBytes(files: ReadonlyMap<string, Uint8Array>): Uint8Array {
  const blocks: Uint8Array[] = []
  for (const [name, bytes] of files) {
    const padding = Buffer.alloc(paddedSize(bytes.length) - bytes.length)
    blocks.push(header(name, bytes.length), bytes, padding)
  }
  return Buffer.concat([...blocks, Buffer.alloc(2 * BLOCK_BYTES)])
}

/** @throws {MirrorError} refused */
export function readProof(bytes: Uint8Array, where: string): ReadonlyMap<string, Uint8Array> {
  const files = new Map<string, Uint8Array>()
  for (let at = 0; ; ) {
    if (at + BLOCK_BYTES > bytes.length) throw new MirrorError('refused', `${where}: is cut`)
    const look = readHeader(bytes.subarray(at, at + BLOCK_BYTES), where)
    if (look.kind === 'end') return files
    if (look.kind === 'damaged') throw new MirrorError('refused', `${where}: is no proof`)
    const start = at + BLOCK_BYTES
    at = start + paddedSize(look.size)
    if (at > bytes.length) throw new MirrorError('refused', `${where}: is cut`)
    files.set(look.path, bytes.subarray(start, start + look.size))
  }
}

/** What a proof is about. None of it is believed: the walk along the chain is what proves it. */
export interface Claimed {
  readonly crate: CrateName
  readonly version: Version
  readonly folder: ChainFolder
}

/** Which crate and version the artifact would be by the proof's own index file. */
export function claimedBy(
  files: ReadonlyMap<string, Uint8Array>,
  artifact: Checksum,
  where: string,
): Claimed {
  const folder = files.has('site/timestamp.json') ? 'site' : 'tuf'
  for (const [name, bytes] of files) {
    const [, prefix = '', hash = '', crate = ''] =
      /^index\/(.+)\/([0-9a-f]{64})\.([^/]+)$/.exec(name) ?? []
    const path = parseIndexPath(`${prefix}/${crate}`)
    if (path === undefined || sha256(bytes) !== hash) continue
    const { entries } = readIndexFile(bytes, path, { signed: true })
    const entry = entries.find(({ checksum }) => checksum === artifact)
    if (entry !== undefined) return { crate: nameOfPath(path), version: entry.version, folder }
  }
  throw new MirrorError('signature', `${where} says nothing of a file with sha256 ${artifact}`)
}
