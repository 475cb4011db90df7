import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

/**
 * What the records of a mirror name, told by a reader that shares no code with the product: a
 * mistake of its readers must not hide one of what it removes. Paths are below the mirror.
 */
export interface SnapshotRecord {
  readonly n: number
  readonly tree: string
  readonly pruned?: { readonly tree: string }
  readonly at: string
  readonly metadata: { readonly snapshot: number; readonly targets: number }
  readonly held: Readonly<Record<string, { readonly have: string | null; readonly want: string }>>
}

export function snapshotsOf(mirror: string): SnapshotRecord[] {
  const folder = join(mirror, 'state/snapshots')
  const records = readdirSync(folder).map(name => readFileSync(join(folder, name), 'utf8'))
  return records.map(text => JSON.parse(text) as SnapshotRecord).sort((a, b) => a.n - b.n)
}

/** All tiles, index files by hash, artifacts and metadata that a snapshot names, here or not. */
export function namedBy(mirror: string, snapshot: SnapshotRecord): Set<string> {
  const files = new Set<string>()
  const { targets, snapshot: version } = snapshot.metadata
  files.add(`public/tuf/${targets}.targets.json`).add(`public/tuf/${version}.snapshot.json`)
  const crate = (path: string, sha256: string): void => {
    files.add(`public/index/${dirname(path)}/${sha256}.${basename(path)}`)
    const file = join(mirror, 'public/index', dirname(path), `${sha256}.${basename(path)}`)
    if (existsSync(file)) for (const one of artifactsIn(file, path)) files.add(one)
  }
  const trees = [snapshot.tree, ...(snapshot.pruned === undefined ? [] : [snapshot.pruned.tree])]
  for (const tree of trees) {
    walk(mirror, tree, { tile: file => files.add(file), crate })
  }
  for (const [path, { have, want }] of Object.entries(snapshot.held)) {
    if (have !== null) crate(path, have)
    crate(path, want)
  }
  return files
}

/** The whole index file of each crate: the tree's, or the old one where the crate is held. */
export function indexOf(mirror: string, { tree, held }: SnapshotRecord): Map<string, string> {
  const files = new Map<string, string>()
  walk(mirror, tree, { tile: () => {}, crate: (path, sha256) => files.set(path, sha256) })
  for (const [path, { have }] of Object.entries(held)) {
    if (have === null) files.delete(path)
    else files.set(path, have)
  }
  return files
}

interface Found {
  readonly tile: (file: string) => void
  readonly crate: (path: string, sha256: string) => void
}

function walk(mirror: string, hash: string, found: Found, position = ''): void {
  const folder = position.length > 2 ? `tree/${position.slice(0, 2)}` : 'tree'
  const tile = `public/tuf/${position === '' ? `${hash}.index-tree` : `${folder}/${hash}.${position}`}`
  found.tile(tile)
  const [head = '', ...lines] = readFileSync(join(mirror, tile), 'latin1').trimEnd().split('\n')
  for (const line of lines) {
    const [below = '', , name = ''] = line.split(' ')
    if (head.startsWith('index-tree 1 leaf')) found.crate(name, below)
    else walk(mirror, below, found, position + name)
  }
}

function artifactsIn(file: string, path: string): string[] {
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n')
  const checksums = lines.map(line => (JSON.parse(line) as { cksum: string }).cksum)
  return checksums.map(cksum => `public/crates/${dirname(path)}/${cksum}.crate`)
}

/** Every file of `public/` whose name never changes its content, roots aside. */
export function immutableFiles(mirror: string): Set<string> {
  const names = readdirSync(join(mirror, 'public'), { recursive: true, encoding: 'utf8' })
  const isImmutable = (name: string): boolean =>
    /(?:^|\/)(?:[0-9a-f]{64}\.[^/]+|\d+\.(?:snapshot|targets)\.json)$/.test(name)
  return new Set(names.filter(isImmutable).map(name => `public/${name}`))
}
