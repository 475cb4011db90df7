import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { MirrorError } from '../error.ts'
import { type Checksum, sha256 } from '../registry/checksum.ts'
import type { Chain } from '../store/chain-files.ts'
import { tileFile } from '../store/layout.ts'
import { readPublished, type Snapshot, shownTree } from '../store/snapshot.ts'
import { SHOWN } from '../store/vouch.ts'
import { ROOT } from '../tree/entry.ts'
import { openEnvelope } from '../trust/envelope.ts'
import { isClassic, vouchedByKept } from '../trust/kept.ts'
import { readSnapshot, readTimestamp } from '../trust/snapshot.ts'
import type { Vouched } from '../trust/vouched.ts'

/** The published state as a bundle carries it: the chain's files, and the tree they lead to. */
export interface StateToSend extends Pick<Vouched, 'tree' | 'versions' | 'expires'> {
  readonly chain: Chain
  /** By name below `data/tuf/`. */
  readonly files: ReadonlyMap<string, Buffer>
  readonly entries: number
  readonly published: Snapshot
}

/**
 * Reads and verifies what is to be sent: under the upstream's chain where there is one, else under
 * the site's.
 * @throws {MirrorError} incomplete: nothing is published; signature: nobody signed it; usage: it is a
 * part of what its chain names
 */
export function stateToSend(root: string): StateToSend {
  const published = readPublished(root)
  if (published === undefined) {
    throw new MirrorError('incomplete', `${root}: nothing is published yet; run sync`)
  }
  const { tree, entries } = { tree: shownTree(published).hash, entries: shownTree(published).count }
  const chain = chainFor(root, published)
  const { files, vouched } = shownBy(root, chain)
  if (files === undefined || vouched?.tree !== tree) {
    const advice = 'sign it first (crateferry sign), so that who gets it can verify it'
    throw new MirrorError(
      'signature',
      `${root}: nobody signed the published tree ${tree}; ${advice}`,
    )
  }
  const { versions, expires } = vouched
  return {
    chain,
    tree,
    entries,
    files: withRootTile(root, files, tree),
    versions,
    expires,
    published,
  }
}

/** What a classic upstream signs is no tree, and media carry trees: then the site's own word counts. */
function chainFor(root: string, { metadata, selected, pruned }: Snapshot): Chain {
  if (pruned !== undefined || metadata === null) return 'site'
  const isTree = ofOurs('upstream', () => !isClassicIn(readFiles(root, 'upstream')))
  if (!isTree) return 'site'
  if (selected === undefined) return 'upstream'
  throw new MirrorError(
    'usage',
    'this mirror holds a part of what its index names, and a bundle has all of it: set select.prune-index, so that the site signs an index of just this part',
  )
}

function shownBy(
  root: string,
  chain: Chain,
): { readonly files?: Map<string, Buffer>; readonly vouched?: ReturnType<typeof vouchedByKept> } {
  return ofOurs(chain, () => {
    const files = readFiles(root, chain)
    return files === undefined ? {} : { files, vouched: vouchedBy(files) }
  })
}

/** Our own files, verified once more: what is wrong with them is damage here. @throws {MirrorError} damaged */
function ofOurs<Result>(chain: Chain, read: () => Result): Result {
  try {
    return read()
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error)
    throw new MirrorError('damaged', `${SHOWN[chain]}: ${said}; run verify --repair`, {
      cause: error,
    })
  }
}

/** As `public/` shows them: every root, and the three files that `timestamp.json` leads to. */
function readFiles(root: string, chain: Chain): Map<string, Buffer> | undefined {
  const folder = join(root, SHOWN[chain])
  if (!existsSync(join(folder, 'timestamp.json'))) return undefined
  const files = new Map<string, Buffer>()
  const add = (name: string): Buffer => {
    const bytes = readFileSync(join(folder, name))
    files.set(name, bytes)
    return bytes
  }
  for (const name of rootNames(folder)) add(name)
  const timestamp = readTimestamp(openEnvelope(add('timestamp.json'), 'timestamp.json'))
  const snapshot = `${timestamp.snapshot.version}.snapshot.json`
  const { targets } = readSnapshot(openEnvelope(add(snapshot), snapshot))
  add(`${targets.version}.targets.json`)
  return files
}

function rootNames(folder: string): string[] {
  const names = readdirSync(folder).filter(name => /^[1-9][0-9]{0,15}\.root\.json$/.test(name))
  return names.sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10))
}

function isClassicIn(files: ReadonlyMap<string, Buffer> | undefined): boolean {
  const targets = files && newestOf(files, 'targets')
  return targets !== undefined && isClassic({ targets })
}

function newestOf(files: ReadonlyMap<string, Buffer>, role: string): Buffer | undefined {
  return [...files].findLast(([name]) => name.endsWith(`${role}.json`))?.[1]
}

function vouchedBy(files: ReadonlyMap<string, Buffer>): ReturnType<typeof vouchedByKept> {
  const of = (role: string): Buffer | undefined => newestOf(files, role)
  const [root, timestamp, snapshot, targets] = ['root', 'timestamp', 'snapshot', 'targets'].map(of)
  if (!root || !timestamp || !snapshot || !targets) return undefined
  return vouchedByKept({ root, roots: [], timestamp, snapshot, targets })
}

function withRootTile(
  root: string,
  files: Map<string, Buffer>,
  tree: Checksum,
): ReadonlyMap<string, Buffer> {
  const file = tileFile(ROOT, tree)
  const bytes = readFileSync(join(root, file))
  if (sha256(bytes) !== tree) {
    throw new MirrorError('damaged', `${file} does not match its name; run verify --repair`)
  }
  return files.set('index-tree', bytes)
}
