import { type CrateName, parseCrateName } from '../registry/crate-name.ts'
import { csvRows } from './csv-rows.ts'
import { DumpRefused } from './faults.ts'
import type { RemoteFile } from './remote-file.ts'
import { RemoteZip } from './remote-zip.ts'

/** A crate that its owner or the crates.io team deleted; its name may have been taken again since. */
interface DeletedCrate {
  readonly crate: CrateName
  /** As `YYYY-MM-DDTHH:MM:SSZ`. */
  readonly deletedAt: string
  readonly message: string | undefined
}

/** Eight times what crates.io has in 2026. */
const ROWS_MAX = 2_000_000

interface DumpOptions {
  readonly signal: AbortSignal
  /** Told of each row that is passed over, because its name, or when it was deleted, cannot be read. */
  readonly onSkipped?: (name: string) => void
}

/**
 * The names of all crates in crates.io's `db-dump.zip`, of which only the list of members and one
 * table are read. Names come while the table does: only when the last has come without an error is
 * it known that they are all, and the right ones.
 * @throws {DumpRefused}
 */
export async function* namesInDump(
  remote: RemoteFile,
  options: DumpOptions,
): AsyncGenerator<CrateName> {
  using zip = await RemoteZip.open(remote, options)
  const member = zip.member('data/crates.csv')
  if (member === undefined) throw new DumpRefused(remote.name, 'has no member "data/crates.csv"')
  const name = `${remote.name}: data/crates.csv`
  const table = { name, columns: ['name'], rowsMax: ROWS_MAX } as const
  for await (const { name } of csvRows(zip.bytes(member), table)) {
    const crate = parseCrateName(name)
    if (crate === undefined) options.onSkipped?.(name)
    else yield crate
  }
}

/**
 * The crates that were deleted, with when and why; none where the dump has no such table. As with
 * the names, what came is believed only when the end came.
 * @throws {DumpRefused}
 * @public
 */
export async function* deletedInDump(
  remote: RemoteFile,
  options: DumpOptions,
): AsyncGenerator<DeletedCrate> {
  using zip = await RemoteZip.open(remote, options)
  const member = zip.member('data/deleted_crates.csv')
  if (member === undefined) return
  const name = `${remote.name}: data/deleted_crates.csv`
  const table = { name, columns: ['name', 'deleted_at', 'message'], rowsMax: ROWS_MAX } as const
  for await (const row of csvRows(zip.bytes(member), table)) {
    const crate = parseCrateName(row.name)
    const deletedAt = instantOf(row.deleted_at)
    if (crate === undefined || deletedAt === undefined) options.onSkipped?.(row.name)
    else yield { crate, deletedAt, message: row.message === '' ? undefined : row.message }
  }
}

const TIMESTAMP = /^\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d(?::\d\d)?)$/

/** PostgreSQL's `2026-08-20 09:12:33.123456+00`, to the second. */
function instantOf(text: string): string | undefined {
  if (!TIMESTAMP.test(text)) return undefined
  try {
    const instant = Temporal.Instant.from(text)
    return instant.round({ smallestUnit: 'second', roundingMode: 'floor' }).toString()
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}
