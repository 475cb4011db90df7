import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { MirrorError } from '../error.ts'
import { discardFile } from './durable.ts'
import { isDelegatedFile } from './file-names.ts'
import { TRUST } from './layout.ts'
import type { Writer } from './writer.ts'

/** Which chain: the one followed, relayed into `public/tuf`, or the site's own. */
export type Chain = keyof typeof TRUST

/** The files of a chain as verified, byte for byte as received; `roots` from the pinned one up. */
export interface ChainFiles {
  readonly root: Uint8Array
  readonly roots: readonly Uint8Array[]
  readonly timestamp?: Uint8Array
  readonly snapshot?: Uint8Array
  readonly targets?: Uint8Array
  readonly book?: Uint8Array
  /** Delegated roles, by version and name. */
  readonly delegated: (file: string) => Uint8Array | undefined
}

/** Undefined where no root was ever pinned. */
export function readChain(mirrorRoot: string, chain: Chain): ChainFiles | undefined {
  const folder = join(mirrorRoot, TRUST[chain])
  const numbered = rootNumbers(folder)
  const roots = numbered.map(n => readFileSync(join(folder, 'root_history', `${n}.root.json`)))
  const root = readIfThere(join(folder, 'root.json')) ?? roots.at(-1)
  if (root === undefined) return undefined
  const files: Record<string, Uint8Array> = {}
  for (const role of ['timestamp', 'snapshot', 'targets', 'book']) {
    const bytes = readIfThere(join(folder, `${role}.json`))
    if (bytes !== undefined) files[role] = bytes
  }
  const delegated = (file: string): Uint8Array | undefined =>
    readIfThere(join(folder, DELEGATED, file))
  return { root, roots, ...files, delegated }
}

/** Below a chain's folder: the delegated roles of a classic repository, as `3.bin-2a.json`. */
export const DELEGATED = 'delegated'

/** The versions of the roots kept, ascending. */
export function rootNumbers(chainFolder: string): number[] {
  let names: string[]
  try {
    names = readdirSync(join(chainFolder, 'root_history'))
  } catch {
    return []
  }
  const numbers = names.flatMap(name => /^([1-9][0-9]{0,15})\.root\.json$/.exec(name)?.[1] ?? [])
  return numbers.map(Number).sort((a, b) => a - b)
}

/** The delegated roles kept; empty where the chain has none. */
export function delegatedIn(chainFolder: string): string[] {
  try {
    return readdirSync(join(chainFolder, DELEGATED)).filter(isDelegatedFile).sort()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw new MirrorError('io', `cannot read ${join(chainFolder, DELEGATED)}`, { cause: error })
  }
}

/** Keeps one file of the chain, durable when it resolves: the workflow goes on only then. */
export async function keepInChain(
  writer: Writer,
  chain: Chain,
  file: string,
  bytes: Uint8Array,
): Promise<void> {
  await writer.replace(`${TRUST[chain]}/${file}`, bytes)
}

/** Forgets files whose floors a rotated root has voided (TUF 5.3.11). */
export async function dropFromChain(
  writer: Writer,
  chain: Chain,
  files: readonly string[],
): Promise<void> {
  for (const file of files) await discardFile(writer.at(`${TRUST[chain]}/${file}`))
}

function readIfThere(file: string): Uint8Array | undefined {
  try {
    return readFileSync(file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new MirrorError('io', `cannot read ${file}`, { cause: error })
  }
}
