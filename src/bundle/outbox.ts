import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Checksum, sha256 } from '../registry/checksum.ts'
import { discardFile, makeFolder, replaceFile } from '../store/durable.ts'
import type { Damage } from './carried-volume.ts'
import type { Lack } from './lacking.ts'
import { type Receipt, receiptBytes, receiptName } from './receipt.ts'
import { type WantList, wantListHead, wantListName } from './want-list.ts'

/** Something that goes back to the sender. */
export interface Answer {
  readonly name: string
  readonly bytes: Buffer
}

const LINES_MAX = 4_000_000

/** The want-list of an import that waits: tiles, index files and objects, each kind ascending. */
export function wantListOf(
  head: Pick<WantList, 'site' | 'bundleId' | 'have' | 'target'>,
  lacks: readonly Lack[],
  { damage, isAll }: { readonly damage: readonly Damage[]; readonly isAll: boolean },
): { readonly answer: Answer; readonly want: NonNullable<Receipt['want']> } {
  const lines = isAll
    ? ['all']
    : [...linesOf(lacks), ...damageLines(damage)].slice(0, LINES_MAX - 5)
  const text = `${wantListHead(head)}${lines.map(line => `${line}\n`).join('')}`
  const bytes = Buffer.from(text, 'latin1')
  return {
    answer: { name: wantListName(head), bytes },
    want: { lines: lines.length, sha256: sha256(bytes) },
  }
}

function* linesOf(lacks: readonly Lack[]): Generator<string> {
  for (const kind of ['tile', 'index', 'object'] as const) {
    const lines = lacks.filter(lack => lack.kind === kind)
    const seen = new Set<Checksum>()
    for (const { checksum, what } of lines.sort((a, b) => (a.checksum < b.checksum ? -1 : 1))) {
      if (seen.has(checksum)) continue
      seen.add(checksum)
      yield `${kind} ${checksum} ${what}`
    }
  }
}

function damageLines(damage: readonly Damage[]): string[] {
  const volumes = Map.groupBy(damage, ({ bundleId, volume }) => `${bundleId} ${volume}`)
  return [...volumes].map(([volume, lost]) => `damaged ${volume} ${lost.length}`)
}

export function receiptAnswer(receipt: Receipt): Answer {
  return { name: receiptName(receipt), bytes: receiptBytes(receipt) }
}

/** Puts it there whole and durable, in the place of an older one of that name. */
export async function putAnswer(folder: string, { name, bytes }: Answer): Promise<string> {
  const file = join(folder, name)
  if (!existsSync(folder)) await makeFolder(folder)
  await discardFile(`${file}.new`)
  await replaceFile(file, bytes, { via: `${file}.new` })
  return file
}
