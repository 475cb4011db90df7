import { join } from 'node:path'
import { type Checksum, isChecksum } from '../registry/checksum.ts'
import { discardFile } from './durable.ts'
import { PENDING } from './layout.ts'
import { isObject, readRecord, recordBytes } from './record.ts'
import type { Writer } from './writer.ts'

/** A state that came on media and of which something is not here yet; for people, believed by nobody. */
export interface PendingImport {
  readonly bundleId: Checksum
  readonly targets: number
  readonly tree: Checksum
  /** Tiles, index files and artifacts that are not here. */
  readonly missing: number
  /** Volumes that no medium had, each with the number of its medium. */
  readonly notSeen: readonly string[]
  readonly at: string
}

export function readPending(root: string): PendingImport | undefined {
  return readRecord(join(root, PENDING), isPending)
}

export async function keepPending(writer: Writer, pending: PendingImport): Promise<void> {
  await writer.replace(PENDING, recordBytes(pending))
}

export async function forgetPending(writer: Writer): Promise<void> {
  await discardFile(writer.at(PENDING))
}

function isPending(value: unknown): value is PendingImport {
  return (
    isObject(value) &&
    isChecksum(value['bundleId']) &&
    isChecksum(value['tree']) &&
    Number.isSafeInteger(value['targets']) &&
    Number.isSafeInteger(value['missing']) &&
    Array.isArray(value['notSeen'])
  )
}
