import { existsSync, readdirSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { MirrorError } from '../error.ts'
import { type Checksum, isChecksum } from '../registry/checksum.ts'
import type { Prefix } from '../registry/sparse-path.ts'
import { flush } from './durable.ts'
import { asPrefix } from './file-names.ts'
import { artifactFile, QUARANTINE, withdrawalFile, withdrawnFile } from './layout.ts'
import { hashFile } from './partial.ts'
import { isObject, readRecord, recordBytes } from './record.ts'
import type { Writer } from './writer.ts'

/**
 * An artifact taken away by policy: malware, or an operator's word. Its record lies in
 * `state/quarantine` beside its bytes, and comes first: from the moment it is durable nobody is
 * given the artifact, nothing of that checksum lands, no sync asks for it, and whatever a crash
 * left in public is moved away by the next writer.
 */
export interface Withdrawal {
  readonly crate: string
  readonly version: string
  /** Where the artifact lay, or would: at least one, and a checksum may serve two crates. */
  readonly prefixes: readonly Prefix[]
  readonly why: string
  readonly at: string
}

/** The checksums of all that is withdrawn, by the names in the folder alone. */
export function withdrawnChecksums(root: string): ReadonlySet<Checksum> {
  const folder = join(root, QUARANTINE)
  const names = existsSync(folder) ? readdirSync(folder) : []
  return new Set(names.map(name => name.slice(0, 64)).filter(isChecksum))
}

/** All that is withdrawn; one whose record is lost or damaged stays so, and says that. */
export function readWithdrawn(root: string): ReadonlyMap<Checksum, Withdrawal> {
  const checksums = [...withdrawnChecksums(root)].sort()
  return new Map(checksums.map(checksum => [checksum, withdrawalAt(root, checksum)]))
}

/** Changes whenever a name in the folder does. */
export function withdrawnStamp(root: string): string {
  const stats = statSync(join(root, QUARANTINE), { bigint: true, throwIfNoEntry: false })
  return `${stats?.ino} ${stats?.mtimeNs}`
}

export function withdrawalText({ crate, version, why, at }: Withdrawal): string {
  return `${crate}@${version}: ${why}, ${at}`
}

/** Returns how many are withdrawn by this. Of the others their first record stays, if it is whole. */
export async function withdraw(
  writer: Writer,
  withdrawals: ReadonlyMap<Checksum, Withdrawal>,
): Promise<number> {
  const known = readWithdrawn(writer.mirror.root)
  const added = [...withdrawals].filter(([checksum]) => !known.get(checksum)?.prefixes.length)
  await writer.mirror.assertStillHere()
  for (const [checksum, withdrawal] of added) {
    await writer.replace(withdrawalFile(checksum), recordBytes(withdrawal))
  }
  await finishWithdrawals(writer)
  return added.length
}

/** What is withdrawn and still public goes: `withdraw` or `restore` was killed in between. */
export async function finishWithdrawals(writer: Writer): Promise<void> {
  for (const [checksum, { prefixes }] of readWithdrawn(writer.mirror.root)) {
    const files = prefixes.map(prefix => artifactFile(prefix, checksum))
    await takeAway(writer, checksum, files)
  }
}

/**
 * Takes an artifact its public names, as far as it has them. It never is without a name: a rename
 * has two halves here.
 */
export async function takeAway(
  writer: Writer,
  checksum: Checksum,
  names: readonly string[],
): Promise<void> {
  const { root } = writer.mirror
  const files = names.filter(file => existsSync(writer.at(file)))
  const [first] = files
  if (first === undefined) return
  const bytes = withdrawnFile(checksum)
  await writer.link(first, bytes)
  await flush(root, { files: [], folders: [folderOf(writer, bytes)] })
  for (const file of files) await writer.remove(file)
  await flush(root, { files: [], folders: files.map(file => folderOf(writer, file)) })
}

/**
 * Gives an artifact its names back, and takes the record away last: until then it is withdrawn, and
 * a crash in between is undone. False: its bytes are not here, and may be asked for again.
 * @throws {MirrorError} damaged where the bytes are not what their name says
 */
export async function restore(writer: Writer, checksum: Checksum): Promise<boolean> {
  const { root } = writer.mirror
  const bytes = withdrawnFile(checksum)
  const { prefixes, why } = withdrawalAt(root, checksum)
  if (prefixes.length === 0) throw new MirrorError('damaged', `${why}; withdraw it again first`)
  const found = (await hashFile(writer.at(bytes)))?.hash.digest('hex')
  if (found !== undefined && found !== checksum) {
    throw new MirrorError('damaged', `${bytes} has sha256 ${found}; remove it and restore again`)
  }
  await writer.mirror.assertStillHere()
  if (found !== undefined) {
    const files = prefixes.map(prefix => artifactFile(prefix, checksum))
    for (const file of files) await writer.link(bytes, file)
    await flush(root, { files: [], folders: files.map(file => folderOf(writer, file)) })
  }
  const folders = [join(root, QUARANTINE)]
  await writer.remove(bytes)
  await flush(root, { files: [], folders })
  await writer.remove(withdrawalFile(checksum))
  await flush(root, { files: [], folders })
  return found !== undefined
}

const folderOf = (writer: Writer, file: string): string => dirname(writer.at(file))

function withdrawalAt(root: string, checksum: Checksum): Withdrawal {
  const lost = { crate: 'unknown', version: 'unknown', prefixes: [], at: 'unknown' }
  const file = withdrawalFile(checksum)
  try {
    const record = readRecord(join(root, file), isWithdrawal)
    return record ?? { ...lost, why: `${file} is missing` }
  } catch (error) {
    if (error instanceof MirrorError && error.code === 'damaged') {
      return { ...lost, why: `${file} is damaged` }
    }
    throw error
  }
}

function isWithdrawal(value: unknown): value is Withdrawal {
  return (
    isObject(value) &&
    ['crate', 'version', 'why', 'at'].every(key => typeof value[key] === 'string') &&
    Array.isArray(value['prefixes']) &&
    value['prefixes'].length > 0 &&
    value['prefixes'].every(prefix => asPrefix(String(prefix)) !== undefined)
  )
}
