import { MirrorError } from '../error.ts'
import { isBelieved, type Snapshot } from '../store/snapshot.ts'
import type { Fetched } from './crates.ts'
import type { Run } from './run.ts'

/**
 * What is carried is published whole or not yet (B2). Crates held for what they say do not stop a state; bytes that are not here do. What its sender says
 * is gone upstream counts as missing until its exact number is accepted.
 * @throws {MirrorError} incomplete
 */
export function requireAllHere(
  run: Run,
  published: Snapshot | undefined,
  fetched: Fetched,
  { lostTiles }: { readonly lostTiles: number },
): void {
  const failures = [...fetched.failed.values()].flat()
  const isNew = ({ wanted }: (typeof failures)[number]): boolean => {
    const before = published?.absent[wanted.checksum]
    return before === undefined || !isBelieved(before)
  }
  const absent = failures.filter(one => one.outcome.kind === 'missing' && isNew(one))
  const lost = failures.filter(one => one.outcome.kind === 'failed')
  const files = [...fetched.refused].filter(([, { isMissing }]) => isMissing)
  const missing = lostTiles + lost.length + files.length
  if (missing === 0 && (absent.length === 0 || absent.length === run.accepted.absent)) return
  const names = [
    ...(lostTiles > 0 ? [`${lostTiles} tiles of the index tree`] : []),
    ...files.map(([path]) => `index/${path}`),
    ...[...lost, ...absent].map(({ wanted }) => `${wanted.crate}@${wanted.version}`),
  ]
  const some = `${names.slice(0, 5).join(', ')}${names.length > 5 ? ', …' : ''}`
  const message =
    missing > 0
      ? `${missing} files are not here yet (${some})${absent.length > 0 ? `, and ${absent.length} are said to be gone upstream` : ''}; what came is kept, the state is pending`
      : `${absent.length} artifacts are said to be gone upstream (${some}); if that is right, import again with --accept-absent ${absent.length} --reason TEXT`
  throw new MirrorError('incomplete', message)
}
