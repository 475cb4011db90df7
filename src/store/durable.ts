import fs from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { MirrorError } from '../error.ts'
import { syncFileSystem } from './sync-file-system.ts'

/**
 * The only file that makes, renames, links, removes and flushes files of a mirror. Paths are
 * absolute; `via` is a path on the same file system under which a file is made before it is named.
 *
 *   create    open(via, wx)  write all  fsync  rename(via, final)  fsync again  close
 *             the folder of `final` is the caller's to sync, once a batch
 *   replace   the same through the owner's folder, then fsync the folder of `final`
 *   once      open(path, wx)  write all  fsync  close, then fsync the folder
 *   link      link(existing, via)  rename(via, final)       durable with the next flush
 *   remove    rename(path, via)  unlink(via)                durable with the next flush
 *   flush     `sync -f` of the whole file system, or fsync of each file and then of each folder
 *
 * The second fsync is for FAT: a rename there makes an entry without size and start cluster, which
 * reach the folder only when the file itself is written again; without it every file is empty after
 * a power cut (P6). Renaming through the owner's folder is the fence: a later owner has moved that
 * folder away, so check and act are one call of the kernel (P14).
 *
 * Not covered. A folder that is there is taken to be durable; one left by a process that was killed
 * before it could sync the parent is so only after the next `sync -f`. Before Linux 5.8 `sync -f`
 * reports no failed write-back. Where a file system cannot fsync a folder (EINVAL), nothing can. A
 * `replace` whose second fsync fails leaves the new file named, since the old one is gone.
 */

/** Another owner has taken the lock: whoever gets this publishes and tidies nothing more (P14). */
export class LockLost extends MirrorError {
  constructor(final: string, cause: unknown) {
    super('busy', `lost the lock: another owner took it before ${final} could be changed`, {
      cause,
    })
  }
}

const FILE_MODE = 0o644
const FOLDER_MODE = 0o755
/** What the umask, read once, takes from a file. */
const MASKED = FILE_MODE & process.umask()
const SYNCS_AT_ONCE = 16

/**
 * Makes an immutable file, named by its content. One of the same length is left alone: its name
 * says what it holds, and whoever doubts that hashes it. The caller syncs the folder.
 * @public
 */
export async function createFile(
  final: string,
  bytes: Uint8Array,
  { via }: { readonly via: string },
): Promise<void> {
  const found = fs.lstatSync(final, { throwIfNoEntry: false })
  if (found?.isFile() === true && found.size === bytes.length) return
  discardSync(via)
  try {
    await writeAndName(final, bytes, { via, mode: FILE_MODE })
  } catch (error) {
    // the second fsync may be what failed: then the name is void as well
    discardVoid([via, final])
    throw wrapped(error, final)
  }
}

/** Old bytes or new bytes under a mutable name, whole and durable when it resolves. */
export async function replaceFile(
  final: string,
  bytes: Uint8Array | Iterable<Uint8Array>,
  { via, mode = FILE_MODE }: { readonly via: string; readonly mode?: number },
): Promise<void> {
  try {
    await writeAndName(final, bytes, { via, mode })
  } catch (error) {
    discardVoid([via])
    throw lockLostOr(error, final, via)
  }
  await syncFolder(dirname(final))
}

/**
 * A file that was not there before, durable when it resolves; one that is there is an error and
 * stays as it is. Not renamed into place, since a rename would replace: a crash may leave a part.
 */
export async function createOnce(
  path: string,
  bytes: Uint8Array,
  { mode }: { readonly mode: number },
): Promise<void> {
  let isOurs = false
  try {
    await using handle = await open(path, 'wx', mode)
    isOurs = true
    setMode(() => fs.fchmodSync(handle.fd, mode))
    await handle.writeFile(bytes)
    await handle.sync()
  } catch (error) {
    if (isOurs) discardVoid([path])
    if (codeOf(error) === 'EEXIST') throw new MirrorError('usage', `${path} is there already`)
    throw wrapped(error, path)
  }
  await syncFolder(dirname(path))
}

/** Gives a file a second name; where links fail, the name gets a copy of its own. */
export async function linkFile(
  existing: string,
  final: string,
  { via }: { readonly via: string },
): Promise<void> {
  await breathe()
  try {
    // a rename between two links of one file does nothing and leaves both
    if (areSame(fs.statSync(existing), fs.lstatSync(final, { throwIfNoEntry: false }))) return
    if (tryLink(existing, via)) fs.renameSync(via, final)
    else await writeAndName(final, fs.readFileSync(existing), { via, mode: FILE_MODE })
  } catch (error) {
    discardVoid([via])
    throw lockLostOr(error, final, via)
  }
}

/** Removes a mutable name through the fence; one that is not there is done. */
export async function removeFile(path: string, { via }: { readonly via: string }): Promise<void> {
  await breathe()
  try {
    fs.renameSync(path, via)
    fs.unlinkSync(via)
  } catch (error) {
    const failure = lockLostOr(error, path, via)
    if (failure instanceof LockLost || codeOf(error) !== 'ENOENT') throw failure
  }
}

/** Moves a file, or a folder whole, through the fence; one that is not there is done. */
export async function moveThrough(
  path: string,
  to: string,
  { via }: { readonly via: string },
): Promise<void> {
  await breathe()
  try {
    fs.renameSync(path, via)
    moveFile(via, to)
  } catch (error) {
    const failure = lockLostOr(error, path, via)
    if (failure instanceof LockLost || codeOf(error) !== 'ENOENT') throw failure
  }
}

/** Removes a leftover that only we know, without the fence; one that is not there is done. */
export async function discardFile(path: string): Promise<void> {
  await breathe()
  discardSync(path)
}

/** Removes files whose flush failed: what a cache says of their bytes is no longer to be believed. */
export function discardVoid(paths: Iterable<string>): void {
  for (const path of paths) {
    try {
      fs.unlinkSync(path)
    } catch {
      // the failure that voided them is the one to report
    }
  }
}

/** Writes from `at` on, from 0 as a new file. Whole when it returns, durable only with a flush. */
export function writeFileAt(path: string, pieces: readonly Uint8Array[], at: number): void {
  try {
    const fd = fs.openSync(path, at === 0 ? 'w' : 'r+', FILE_MODE)
    try {
      if (at === 0 && MASKED !== 0) setMode(() => fs.fchmodSync(fd, FILE_MODE))
      let position = at
      for (const piece of pieces) {
        // a full disk or a size limit shows as a short count first and as an error only then
        for (let done = 0; done < piece.length; ) {
          done += fs.writeSync(fd, piece, done, piece.length - done, position + done)
        }
        position += piece.length
      }
    } finally {
      fs.closeSync(fd)
    }
  } catch (error) {
    throw wrapped(error, path)
  }
}

/** Names a file whose bytes are flushed; missing folders are made, and are for the next flush too. */
export function moveFile(from: string, final: string): void {
  try {
    fs.renameSync(from, final)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw wrapped(error, final)
    try {
      makeFolders(dirname(final))
      fs.renameSync(from, final)
    } catch (second) {
      throw wrapped(second, final)
    }
  }
}

/**
 * A second file of the same bytes, sharing blocks where the file system can; readable by whom our
 * files are, whatever the first one's mode. Not flushed.
 */
export function copyFile(from: string, to: string): void {
  try {
    fs.copyFileSync(from, to, fs.constants.COPYFILE_FICLONE)
    setMode(() => fs.chmodSync(to, FILE_MODE))
  } catch (error) {
    throw wrapped(error, to)
  }
}

/** Makes the folder and what is missing above it, each durable in its parent. */
export async function makeFolder(path: string): Promise<void> {
  let parents: string[]
  try {
    parents = makeFolders(path)
  } catch (error) {
    throw wrapped(error, path)
  }
  for (const parent of parents) await syncFolder(parent)
}

/** Moves a folder of our own bookkeeping; false where it is not there (any more): one mover wins. */
export async function moveFolder(from: string, to: string): Promise<boolean> {
  try {
    fs.renameSync(from, to)
    return true
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false
    throw wrapped(error, from)
  }
}

/**
 * Gives a folder that is whole its last name, on any file system: its own entries are synced before
 * and after, since on FAT a renamed folder loses them in a power cut that comes before that.
 */
export async function sealFolder(from: string, to: string): Promise<void> {
  await syncFolder(from)
  try {
    fs.renameSync(from, to)
  } catch (error) {
    throw wrapped(error, to)
  }
  await syncFolder(to)
  await syncFolder(dirname(to))
  await syncFileSystem(to)
}

/** Removes a folder of our own bookkeeping with all that is in it; one that is not there is done. */
export async function removeFolder(path: string): Promise<void> {
  try {
    fs.rmSync(path, { recursive: true, force: true })
  } catch (error) {
    throw wrapped(error, path)
  }
}

async function syncFolder(path: string): Promise<void> {
  try {
    await syncPath(path)
  } catch (error) {
    if (codeOf((error as MirrorError).cause) !== 'EINVAL') throw error
  }
}

/**
 * All that was written and named so far is on the disk. Few files are synced one by one, which a
 * busy disk of others does not slow down; many by one `sync -f` of the file system. The lists must
 * be complete: without that program they are all that is flushed.
 */
export async function flush(
  root: string,
  { files, folders }: { readonly files: readonly string[]; readonly folders: readonly string[] },
): Promise<void> {
  const isSmall = files.length + folders.length <= SYNCS_AT_ONCE
  if (!isSmall && (await syncFileSystem(root))) return
  await inTurns(files, syncPath)
  await inTurns(folders, syncFolder)
}

/** An error of the file system in our words: what is full is told from what is broken. */
export function wrapped(error: unknown, path: string): MirrorError {
  if (error instanceof MirrorError) return error
  const code = codeOf(error)
  switch (code) {
    case 'ENOSPC':
    case 'EDQUOT':
      return new MirrorError('no-space', `no space left for ${path} (${code})`, { cause: error })
    case 'EFBIG':
      return new MirrorError('no-space', `${path} is too large for its file system (EFBIG)`, {
        cause: error,
      })
    default: {
      const said = error instanceof Error ? error.message : String(error)
      return new MirrorError('io', `the file system failed at ${path}: ${said}`, { cause: error })
    }
  }
}

/** Steps 1 to 7 of create and replace. A failed fsync voids the file: it is never synced again. */
async function writeAndName(
  final: string,
  bytes: Uint8Array | Iterable<Uint8Array>,
  { via, mode }: { readonly via: string; readonly mode: number },
): Promise<void> {
  const handle = await open(via, 'wx', mode)
  try {
    setMode(() => fs.fchmodSync(handle.fd, mode))
    await handle.writeFile(bytes)
    await handle.sync()
    fs.renameSync(via, final)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** ENOENT at the fence, and our folder gone: the lock is another's. */
function lockLostOr(error: unknown, final: string, via: string): MirrorError {
  const isGone = fs.statSync(dirname(via), { throwIfNoEntry: false }) === undefined
  if (codeOf(error) === 'ENOENT' && isGone) return new LockLost(final, error)
  return wrapped(error, final)
}

const NO_LINKS = ['EPERM', 'ENOTSUP', 'ENOSYS', 'EMLINK']

/** False where the file system makes no (more) hard links. */
function tryLink(existing: string, via: string): boolean {
  try {
    fs.linkSync(existing, via)
    return true
  } catch (error) {
    if (NO_LINKS.includes(codeOf(error) ?? '')) return false
    throw error
  }
}

function areSame(one: fs.Stats, other: fs.Stats | undefined): boolean {
  return other !== undefined && one.ino === other.ino && one.dev === other.dev
}

function discardSync(path: string): void {
  try {
    fs.unlinkSync(path)
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw wrapped(error, path)
  }
}

/** Returns the parents of the folders that were missing: the new names are theirs to keep. */
function makeFolders(path: string): string[] {
  if (fs.statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) return []
  const parents = makeFolders(dirname(path))
  fs.mkdirSync(path, FOLDER_MODE)
  setMode(() => fs.chmodSync(path, FOLDER_MODE))
  return [...parents, dirname(path)]
}

/** Whatever the umask; FAT and some FUSE file systems keep no modes and refuse. */
function setMode(change: () => void): void {
  try {
    change()
  } catch (error) {
    if (!['EPERM', 'ENOTSUP', 'ENOSYS'].includes(codeOf(error) ?? '')) throw error
  }
}

async function syncPath(path: string): Promise<void> {
  try {
    await using handle = await open(path, 'r')
    await handle.sync()
  } catch (error) {
    throw wrapped(error, path)
  }
}

/** Some at once; after a failure the others end first, so that nothing runs on behind the caller. */
async function inTurns(
  paths: readonly string[],
  work: (path: string) => Promise<void>,
): Promise<void> {
  const queue = paths.values()
  const worker = async (): Promise<void> => {
    for (const path of queue) await work(path)
  }
  const ended = await Promise.allSettled(Array.from({ length: SYNCS_AT_ONCE }, worker))
  const failed = ended.find(result => result.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}

let calls = 0

/** The calls here are synchronous, four times as fast as the others; timers and sockets get a turn. */
export async function breathe(): Promise<void> {
  calls += 1
  if (calls % 64 === 0) await setImmediate()
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code
}
