import { buffer } from 'node:stream/consumers'
import { ZipFile } from 'yazl'

/** What a test wants to stand in a database dump. */
export interface Dump {
  readonly crates: readonly { readonly name: string; readonly readme?: string }[]
  readonly deleted?: readonly { readonly name: string; readonly deletedAt: string }[]
}

/** A `db-dump.zip` with the members and headings of the real one, as far as names are concerned. */
export async function dumpZip({ crates, deleted = [] }: Dump): Promise<Buffer> {
  const zip = new ZipFile()
  const add = (name: string, rows: readonly (readonly string[])[]): void =>
    zip.addBuffer(Buffer.from(rows.map(csv).join('')), name)
  zip.addBuffer(Buffer.from('{"format_version":"0.1"}'), 'metadata.json')
  add('data/categories.csv', [
    ['category', 'id'],
    ['name', '1'],
  ])
  add('data/crates.csv', [
    ['created_at', 'description', 'id', 'name', 'readme'],
    ...crates.map(({ name, readme = '' }, id) => [
      '2026-01-01',
      'a, "crate"',
      `${id}`,
      name,
      readme,
    ]),
  ])
  add('data/deleted_crates.csv', [
    ['name', 'created_at', 'deleted_at', 'available_at', 'message'],
    ...deleted.map(({ name, deletedAt }) => [name, '2026-01-01', deletedAt, deletedAt, '']),
  ])
  zip.end()
  return await buffer(zip.outputStream)
}

function csv(row: readonly string[]): string {
  const fields = row.map(one => (/[",\n]/.test(one) ? `"${one.replaceAll('"', '""')}"` : one))
  return `${fields.join(',')}\n`
}
