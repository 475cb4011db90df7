import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { CrateName } from '../../src/registry/crate-name.ts'
import { indexPath } from '../../src/registry/sparse-path.ts'
import { cratesXml, updatesXml } from '../feeds.ts'

/** A sparse index that signs nothing, as files for a web server, and the names it has. */
export interface SparseIndex {
  /** The folder to show: `index/`, `rss/`. */
  readonly public: string
  readonly namesFile: string
  readonly paths: readonly string[]
}

/** Of every index file, so that one header asks whether any of them changed. */
export const LAST_MODIFIED: Date = new Date('2026-01-01T00:00:00Z')

/** Made once per number of crates. Each has one version, whose artifact nobody has. */
export function sparseIndex(data: string, crates: number): SparseIndex {
  const folder = join(data, `index-${crates}`)
  const names = Array.from({ length: crates }, (_, n) => nameOf(n))
  const paths = names.map(name => indexPath(name as CrateName))
  const namesFile = join(folder, 'names.txt')
  if (!existsSync(folder)) {
    const begun = `${folder}.begun`
    rmSync(begun, { recursive: true, force: true })
    for (const [n, path] of paths.entries()) {
      const file = join(begun, 'public/index', path)
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(file, `${lineOf(names[n] ?? '')}\n`)
      utimesSync(file, LAST_MODIFIED, LAST_MODIFIED)
    }
    const at = new Date()
    const newest = names.slice(-50)
    mkdirSync(join(begun, 'public/rss'))
    writeFileSync(
      join(begun, 'public/rss/crates.xml'),
      cratesXml(newest.map(name => ({ name, at }))),
    )
    const updates = newest.map(name => ({ name, version: '1.0.0', at }))
    writeFileSync(join(begun, 'public/rss/updates.xml'), updatesXml(updates))
    writeFileSync(join(begun, 'names.txt'), `${names.join('\n')}\n`)
    renameSync(begun, folder)
  }
  return { public: join(folder, 'public'), namesFile, paths }
}

/** What cargo reads first; the port is another one each time. */
export function showAt(index: SparseIndex, url: string): void {
  const dl = `${url}/crates/{crate}/{crate}-{version}.crate`
  writeFileSync(join(index.public, 'index/config.json'), JSON.stringify({ dl, api: url }))
}

/** Spread over the prefixes as names that people give are, more or less. */
function nameOf(n: number): string {
  const letters = createHash('sha256').update(`crate ${n}`).digest()
  const start = [...letters.subarray(0, 5)].map(byte => 'abcdeimnoprstu'[byte % 14]).join('')
  return `${start}-${n}`
}

function lineOf(name: string): string {
  const cksum = createHash('sha256').update(name).digest('hex')
  const deps = [
    {
      name: 'serde',
      req: '^1.0',
      features: ['derive'],
      optional: false,
      default_features: true,
      target: null,
      kind: 'normal',
    },
  ]
  return JSON.stringify({ name, vers: '1.0.0', deps, cksum, features: {}, yanked: false })
}
