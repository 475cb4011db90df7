import { type CrateName, parseCrateName } from '../registry/crate-name.ts'
import { csvRows } from './csv-rows.ts'
import { DumpRefused } from './faults.ts'
import type { RemoteFile } from './remote-file.ts'
import { RemoteZip } from './remote-zip.ts'

/** Eight times what crates.io has in 2026. */
const ROWS_MAX = 2_000_000

interface DumpOptions {
  readonly signal: AbortSignal
  /** Told of each row that is passed over, because its name is none. */
  readonly onSkipped: (name: string) => void
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
    if (crate === undefined) options.onSkipped(name)
    else yield crate
  }
}
