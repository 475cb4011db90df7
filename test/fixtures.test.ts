import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { sha256 } from '../src/registry/checksum.ts'
import { parseCrateName } from '../src/registry/crate-name.ts'
import { parseIndexPath } from '../src/registry/sparse-path.ts'
import { parseVersion } from '../src/registry/version.ts'

interface Dependency {
  readonly name: string
  readonly package?: string
  readonly kind: string
  readonly optional: boolean
  readonly target: string | null
  readonly registry?: string
}

interface Line {
  readonly name: string
  readonly vers: string
  readonly cksum: string
  readonly deps: readonly Dependency[]
  readonly features2?: Readonly<Record<string, readonly string[]>>
  readonly yanked: boolean
  readonly links?: string
  readonly pubtime?: string
  readonly v?: number
}

const CRATES = 'fixtures/crates'

async function files(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const names = entries.filter(entry => entry.isFile()).map(e => join(e.parentPath, e.name))
  return names.map(name => name.slice(folder.length + 1)).toSorted()
}

async function lines(): Promise<Line[]> {
  const found: Line[] = []
  for (const path of await files(`${CRATES}/index`)) {
    const text = await readFile(`${CRATES}/index/${path}`, 'utf8')
    for (const line of text.trimEnd().split('\n')) found.push(JSON.parse(line) as Line)
  }
  return found
}

const crateFile = ({ name, vers }: Line): string => `${name}/${name}-${vers}.crate`

test('every index line names a crate whose bytes are its checksum', async () => {
  for (const line of await lines()) {
    const bytes = await readFile(`${CRATES}/crates/${crateFile(line)}`)
    expect(sha256(bytes), crateFile(line)).toBe(line.cksum)
  }
})

test('every crate file is named by one index line, and is what cargo packaged under that name', async () => {
  const named = (await lines()).map(crateFile).toSorted()
  expect(await files(`${CRATES}/crates`)).toEqual(named)
  for (const line of await lines()) {
    const tar = gunzipSync(await readFile(`${CRATES}/crates/${crateFile(line)}`))
    expect(tar.includes(`${line.name}-${line.vers}/Cargo.toml.orig`), crateFile(line)).toBe(true)
    expect(tar.includes('.cargo_vcs_info.json'), 'made inside a checkout').toBe(false)
  }
})

test('the index files lie where cargo asks for them', async () => {
  for (const path of await files(`${CRATES}/index`)) {
    expect(parseIndexPath(path), path).toBe(path)
    const text = await readFile(`${CRATES}/index/${path}`, 'utf8')
    expect(text.endsWith('}\n')).toBe(true)
    for (const line of text.trimEnd().split('\n')) {
      const { name, vers } = JSON.parse(line) as Line
      expect(path.endsWith(`/${name.toLowerCase()}`), `${name} in ${path}`).toBe(true)
      expect(parseCrateName(name), name).toBe(name)
      expect(parseVersion(vers), vers).toBe(vers)
    }
  }
})

test('the fixture crates cover what a registry can hold', async () => {
  const all = await lines()
  const deps = all.flatMap(line => line.deps)
  const names = new Set(all.map(line => line.name))
  for (const length of [1, 2, 3]) expect([...names].some(n => n.length === length)).toBe(true)
  for (const letter of [/-/, /_/, /[A-Z]/]) expect([...names].some(n => letter.test(n))).toBe(true)
  expect(names.size).toBeGreaterThanOrEqual(11)
  expect(all.filter(line => line.yanked)).toHaveLength(1)
  expect(all.filter(line => line.vers.includes('+')).length).toBeGreaterThanOrEqual(2)
  expect(all.some(line => line.vers.includes('-'))).toBe(true)
  expect(all.filter(line => line.v === 2).every(line => line.features2 !== undefined)).toBe(true)
  expect(all.some(line => line.v === 2)).toBe(true)
  expect(all.some(line => line.links !== undefined)).toBe(true)
  expect(new Set(all.map(line => line.pubtime === undefined)).size, 'some with a pubtime').toBe(2)
  expect(new Set(deps.map(dep => dep.kind))).toEqual(new Set(['normal', 'dev', 'build']))
  expect(
    deps.some(dep => dep.package !== undefined),
    'a renamed dependency',
  ).toBe(true)
  expect(deps.some(dep => dep.optional)).toBe(true)
  expect(deps.some(dep => dep.target !== null)).toBe(true)
})

test('versions that differ only in build metadata are different artifacts', async () => {
  const engine = (await lines()).filter(line => line.name === 'ferry-engine-sys')
  const twins = engine.filter(line => line.vers.split('+')[0] === '0.8.0')
  expect(new Set(twins.map(line => line.cksum)).size).toBe(2)
})

test('every dependency is one of the fixture crates and names no registry', async () => {
  const names = new Set((await lines()).map(line => line.name))
  for (const dep of (await lines()).flatMap(line => line.deps)) {
    expect(names).toContain(dep.package ?? dep.name)
    expect(dep.registry).toBeUndefined()
  }
})

test('the program is locked to the fixture crates', async () => {
  const lock = await readFile('fixtures/program/Cargo.lock', 'utf8')
  const known = new Map((await lines()).map(line => [`${line.name} ${line.vers}`, line.cksum]))
  const locked = lock.matchAll(/name = "(.+)"\nversion = "(.+)"\nsource = .+\nchecksum = "(.+)"/g)
  let count = 0
  for (const [, name, version, checksum] of locked) {
    expect(known.get(`${name} ${version}`), `${name} ${version}`).toBe(checksum)
    count += 1
  }
  expect(count).toBe(10)
})

test('the fixtures stay small enough to read', async () => {
  let bytes = 0
  for (const path of await files('fixtures')) bytes += (await readFile(`fixtures/${path}`)).length
  expect(bytes).toBeLessThan(200_000)
})
