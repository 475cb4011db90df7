import { buffer } from 'node:stream/consumers'
import { ZipFile } from 'yazl'

/** What a dump says: crates that are there, with a readme each, and crates that were deleted. */
export interface DumpData {
  readonly crates: readonly { readonly name: string; readonly readme?: string }[]
  readonly deleted?: readonly {
    readonly name: string
    readonly deletedAt: string
    readonly message?: string
  }[]
}

/**
 * A `db-dump.zip` as crates.io makes it: the columns that its database has in 2026, in the order of
 * their names; without `deleted` the table is missing, as in the dumps of before 2024.
 */
export function dumpZip(data: DumpData): Promise<Buffer> {
  return zipOf([
    { path: 'README.md', text: '# crates.io Database Dump\n' },
    { path: 'metadata.json', text: '{"timestamp":"2026-08-21T02:00:14Z"}' },
    { path: 'data/crates.csv', text: cratesCsv(data.crates) },
    ...(data.deleted === undefined
      ? []
      : [{ path: 'data/deleted_crates.csv', text: deletedCsv(data.deleted) }]),
    { path: 'data/versions.csv', text: 'checksum,crate_id,num,yanked\n' },
  ])
}

/** Any zip, for dumps that are not as they should be; `plain` members are stored, not deflated. */
export function zipOf(
  members: readonly { readonly path: string; readonly text: string; readonly plain?: boolean }[],
  options: { readonly isZip64?: boolean } = {},
): Promise<Buffer> {
  const zip = new ZipFile()
  const forceZip64Format = options.isZip64 ?? false
  for (const { path, text, plain } of members) {
    zip.addBuffer(Buffer.from(text), path, { compress: plain !== true, forceZip64Format })
  }
  zip.end({ forceZip64Format, comment: '' })
  return buffer(zip.outputStream)
}

const CREATED_AT = '2026-08-20 09:12:33.123456+00'

function cratesCsv(crates: DumpData['crates']): string {
  const header =
    'created_at,description,documentation,homepage,id,max_features,max_upload_size,name,readme,repository,trustpub_only,updated_at'
  const rows = crates.map(({ name, readme }, n) =>
    row([
      CREATED_AT,
      `About ${name}`,
      '',
      '',
      n + 1,
      '',
      '',
      name,
      readme ?? '',
      '',
      'f',
      CREATED_AT,
    ]),
  )
  return [header, ...rows, ''].join('\n')
}

function deletedCsv(deleted: NonNullable<DumpData['deleted']>): string {
  const header = 'available_at,created_at,deleted_at,deleted_by,id,message,name'
  const rows = deleted.map(({ name, deletedAt, message }, n) =>
    row([deletedAt, CREATED_AT, deletedAt, 7, n + 1, message ?? '', name]),
  )
  return [header, ...rows, ''].join('\n')
}

/** Quoted where it must be, as PostgreSQL's `COPY … WITH CSV` does. */
function row(fields: readonly (string | number)[]): string {
  return fields.map(field => quote(String(field))).join(',')
}

function quote(field: string): string {
  return /[",\r\n]/.test(field) ? `"${field.replaceAll('"', '""')}"` : field
}
