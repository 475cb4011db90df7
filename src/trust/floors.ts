import { MirrorError } from '../error.ts'
import type { Snapshot, Timestamp } from './snapshot.ts'

/** TUF 5.4.3: neither the timestamp nor the snapshot it names may go back. */
export function requireNotOlder(found: Timestamp, stored: Timestamp): void {
  requireFloor('timestamp.json', found.version, stored.version)
  if (found.version === stored.version) return
  requireFloor('snapshot.json', found.snapshot.version, stored.snapshot.version)
}

/** TUF 5.5.5: every file stays listed, and none goes back. */
export function requireNoneOlder(found: Snapshot, stored: Snapshot): void {
  for (const [file, { version }] of stored.files) {
    const now = found.files.get(file)
    if (now === undefined) {
      throw new MirrorError('rollback', `${found.file}: ${file} is no longer listed`)
    }
    requireFloor(file, now.version, version)
  }
}

function requireFloor(file: string, found: number, floor: number): void {
  if (found >= floor) return
  throw new MirrorError('rollback', `${file}: version ${found}, accepted before: ${floor}`)
}
