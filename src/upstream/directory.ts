import { constants, lstatSync, readdirSync, statSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { MirrorError, quoted } from '../error.ts'
import { parseIndexPath, prefixOf } from '../registry/sparse-path.ts'
import { NotThere } from './faults.ts'
import { LIMITS } from './limits.ts'
import type { ArtifactBody, ObservedFile, ObservedUpstream, Wanted } from './upstream.ts'

/**
 * A plain directory of crates and index files that nobody signed: `index/` as a sparse index, and
 * crates as other tools leave them. It is a person's own disk, yet only regular files are opened:
 * a link could lead to anything that we may read.
 */
export function directoryUpstream(folder: string): ObservedUpstream {
  const root = resolve(folder)
  return {
    name: root,
    observe: ({ signal }) => observe(root, signal),
    artifact: (wanted, { offset, signal }) => artifact(root, wanted, offset, signal),
    pause: async (_attempt, _error, { signal }) => signal.throwIfAborted(),
    close: async () => {},
  }
}

async function* observe(root: string, signal: AbortSignal): AsyncGenerator<ObservedFile> {
  if (!statSync(join(root, 'index'), { throwIfNoEntry: false })?.isDirectory()) {
    throw new MirrorError('usage', `${quoted(root)} has no folder "index" with a sparse index`)
  }
  for (const found of indexFiles(join(root, 'index'), '')) {
    signal.throwIfAborted()
    const path = parseIndexPath(found)
    if (path === undefined) {
      throw new MirrorError(
        'refused',
        `${quoted(join(root, 'index', found))} is not where a sparse index has the file of a crate`,
      )
    }
    const file = join(root, 'index', found)
    await using handle = await openRegular(file)
    const { size } = await handle.stat()
    if (size > LIMITS.indexFileBytes) {
      const most = `at most ${LIMITS.indexFileBytes} are read`
      throw new MirrorError('refused', `${quoted(file)} has ${size} bytes, ${most}`)
    }
    yield { path, bytes: await handle.readFile() }
  }
}

/** A crate's file is at most three folders deep; what lies deeper cannot be right, nor end well. */
const DEPTH_MAX = 8

/** All files in order of their names, but for config.json at the top and what is hidden. */
function* indexFiles(top: string, below: string, depth = 0): Generator<string> {
  if (depth > DEPTH_MAX) {
    const where = quoted(join(top, below))
    throw new MirrorError('refused', `${where} is more than ${DEPTH_MAX} folders deep`)
  }
  const entries = readdirSync(join(top, below), { withFileTypes: true })
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = below === '' ? entry.name : `${below}/${entry.name}`
    if (entry.name.startsWith('.') || path === 'config.json') continue
    if (entry.isDirectory()) yield* indexFiles(top, path, depth + 1)
    else yield path
  }
}

/** Where other tools keep a crate, in the order they are tried. */
function places({ crate, version, checksum }: Wanted): string[] {
  return [
    `crates/${crate}/${crate}-${version}.crate`,
    `crates/${crate}-${version}.crate`,
    `crates/${prefixOf(crate)}/${checksum}.crate`,
  ]
}

async function artifact(
  root: string,
  wanted: Wanted,
  offset: number,
  signal: AbortSignal,
): Promise<ArtifactBody> {
  signal.throwIfAborted()
  const file = places(wanted).find(place => isThere(join(root, place)))
  if (file === undefined) {
    throw new NotThere(`${join(root, 'crates')}: ${wanted.crate} ${wanted.version}`, 404)
  }
  await using handle = await openRegular(join(root, file))
  const { size } = await handle.stat()
  if (size > LIMITS.artifactBytes) {
    const most = `at most ${LIMITS.artifactBytes} are read`
    throw new MirrorError('incomplete', `${join(root, file)} has ${size} bytes, ${most}`)
  }
  // A partial that is longer than the file is of other bytes: from 0 then.
  const start = offset <= size ? offset : 0
  if (size - start > LIMITS.wholeBytes)
    return { offset: start, chunks: chunks(join(root, file), start, signal) }
  const bytes = Buffer.allocUnsafe(size - start)
  const { bytesRead } = await handle.read(bytes, 0, bytes.length, start)
  return { offset: start, pieces: [bytes.subarray(0, bytesRead)] }
}

async function* chunks(
  file: string,
  start: number,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  await using handle = await openRegular(file)
  const options = { start, autoClose: false, highWaterMark: 262_144 }
  for await (const chunk of handle.createReadStream(options)) {
    signal.throwIfAborted()
    yield chunk
  }
}

/** A link is there wherever it leads, so that it is refused; below a file there is nothing. */
function isThere(file: string): boolean {
  try {
    return lstatSync(file, { throwIfNoEntry: false }) !== undefined
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOTDIR') return false
    throw error
  }
}

/** Looked at before it is opened, since opening a device or a pipe does something already. */
async function openRegular(file: string): Promise<FileHandle> {
  const refuse = (): never => {
    throw new MirrorError('refused', `${quoted(file)} is not a regular file`)
  }
  if (!lstatSync(file).isFile()) refuse()
  const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  if ((await handle.stat()).isFile()) return handle
  await handle.close()
  return refuse()
}
