import { pipeline } from 'node:stream/promises'
import { CsvError, parse } from 'csv-parse'
import { quoted } from '../error.ts'
import { DumpRefused } from './faults.ts'

/** Of a whole row, and so of each of its fields: the longest are readmes. */
const ROW_BYTES_MAX = 16 * 1_048_576

/** A table to be read: its name for messages, and what is wanted of it. */
interface Table<Column> {
  readonly name: string
  readonly columns: readonly Column[]
  readonly rowsMax: number
}

/**
 * The rows of a table as PostgreSQL writes CSV: a header that says which column is which, fields in
 * quotes where they hold commas or newlines. Only the wanted columns are kept, so that what a row
 * may hold beside them takes no memory for longer than its chunk.
 */
export async function* csvRows<Column extends string>(
  bytes: AsyncIterable<Uint8Array>,
  table: Table<Column>,
): AsyncGenerator<Readonly<Record<Column, string>>> {
  let hasHeader = false
  const parser = parse({
    bom: true,
    columns: header => {
      hasHeader = true
      return wantedIn(header, table)
    },
    encoding: 'utf8',
    max_record_size: ROW_BYTES_MAX,
    record_delimiter: ['\n', '\r\n'],
    relax_column_count: false,
    relax_quotes: false,
  })
  const fed = pipeline(bytes, parser)
  fed.catch(() => {}) // the same failure ends the loop
  try {
    yield* bounded(parser, table)
    await fed
    // Even an empty table has one; what has none was cut, and its rows with it.
    if (!hasHeader) throw new DumpRefused(table.name, 'has no header')
  } catch (error) {
    if (!(error instanceof CsvError)) throw error
    throw new DumpRefused(table.name, `is not CSV (${quoted(error.message)})`, error)
  } finally {
    parser.destroy()
  }
}

/** All columns in their places, those that nobody wants as `false`, which the parser leaves out. */
function wantedIn(header: readonly string[], table: Table<string>): (string | false)[] {
  for (const column of table.columns) {
    const count = header.filter(name => name === column).length
    if (count !== 1) {
      throw new DumpRefused(table.name, `expected one column ${quoted(column)}, found ${count}`)
    }
  }
  return header.map(name => table.columns.includes(name) && name)
}

async function* bounded<Row>(
  rows: AsyncIterable<Row>,
  { name, rowsMax }: Table<string>,
): AsyncGenerator<Row> {
  let count = 0
  for await (const row of rows) {
    count += 1
    if (count > rowsMax) throw new DumpRefused(name, `has more than ${rowsMax} rows`)
    yield row
  }
}
