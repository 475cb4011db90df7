import { hash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { parse } from 'smol-toml'
import { parseCrateName } from '../../src/registry/crate-name.ts'
import { indexPath } from '../../src/registry/sparse-path.ts'
import { run } from './run.ts'
import type { Wanted } from './wanted.ts'

/** A package of a Cargo.lock; one without checksum does not come from a registry. */
interface Locked {
  readonly name: string
  readonly version: string
  readonly checksum?: string
}

/**
 * Fills `folder`, a plain directory as `crateferry upstream --from` reads it, with real crates and
 * all they depend on for any target. The machine's own cargo brings them, by its own configuration;
 * nothing is built. Made once: a folder that is there is whole.
 */
export async function collect(folder: string, wanted: readonly Wanted[]): Promise<void> {
  if (existsSync(folder)) return
  mkdirSync(dirname(folder), { recursive: true })
  const growing = mkdtempSync(`${folder}-growing-`)
  const project = mkdtempSync(join(tmpdir(), 'crateferry-collect-'))
  try {
    const packages = await fetched(project, wanted)
    for (const locked of packages) copyCrate(locked, growing)
    for (const [name, all] of Map.groupBy(packages, one => one.name)) {
      copyIndexFile(name, new Set(all.map(one => one.checksum)), growing)
    }
    renameSync(growing, folder)
  } finally {
    rmSync(growing, { recursive: true, force: true })
    rmSync(project, { recursive: true })
  }
}

/** What cargo resolved, and now has in its home. */
async function fetched(project: string, wanted: readonly Wanted[]): Promise<Required<Locked>[]> {
  const dependencies = wanted.map((one, i) => {
    const features = JSON.stringify(one.features)
    return `wanted-${i} = { package = "${one.package}", version = "${one.version}", features = ${features} }`
  })
  const manifest = ['[package]', 'name = "collect"', 'edition = "2021"', '[dependencies]']
  mkdirSync(join(project, 'src'))
  writeFileSync(join(project, 'src/lib.rs'), '')
  writeFileSync(join(project, 'Cargo.toml'), [...manifest, ...dependencies, ''].join('\n'))
  await run('cargo', ['fetch', '--quiet'], { cwd: project })
  const lock = parse(readFileSync(join(project, 'Cargo.lock'), 'utf8'))
  return (lock['package'] as unknown as Locked[]).filter(one => hasChecksum(one))
}

const hasChecksum = (one: Locked): one is Required<Locked> => one.checksum !== undefined

const REGISTRY = join(process.env['CARGO_HOME'] ?? join(homedir(), '.cargo'), 'registry')

/** cargo keeps a folder for each source it ever used; any of them may have the file. */
function bySource(kind: 'cache' | 'index', path: string): Buffer[] {
  return readdirSync(join(REGISTRY, kind))
    .map(source => join(REGISTRY, kind, source, path))
    .filter(file => existsSync(file))
    .map(file => readFileSync(file))
}

function copyCrate({ name, version, checksum }: Required<Locked>, folder: string): void {
  const file = `${name}-${version}.crate`
  const bytes = bySource('cache', file).find(one => hash('sha256', one) === checksum)
  if (bytes === undefined) throw new Error(`cargo has no ${file} of checksum ${checksum}`)
  mkdirSync(join(folder, 'crates', name), { recursive: true })
  writeFileSync(join(folder, 'crates', name, file), bytes)
}

/**
 * The registry's own lines, byte for byte, of the versions that were fetched. cargo's index cache
 * is a header and then version and line in turn, each ended by NUL.
 */
function copyIndexFile(name: string, checksums: ReadonlySet<string>, folder: string): void {
  const crate = parseCrateName(name)
  if (crate === undefined) throw new Error(`not a crate name: ${JSON.stringify(name)}`)
  const path = indexPath(crate)
  const isFetched = (part: string): boolean =>
    part.startsWith('{') && checksums.has((JSON.parse(part) as { cksum: string }).cksum)
  const lines = bySource('index', join('.cache', path))
    .map(cache => cache.toString('utf8').split('\0').filter(isFetched))
    .find(found => found.length === checksums.size)
  if (lines === undefined) throw new Error(`cargo's index lacks a version of ${name}`)
  const file = join(folder, 'index', path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, `${lines.join('\n')}\n`)
}
