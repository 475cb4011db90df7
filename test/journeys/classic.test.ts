// Upstreams that sign each index file as a target of its own, as the RFC's text describes: flat, delegated,
// in hashed and in succinct bins. All become the same mirror.
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { sha256 } from '../../src/registry/checksum.ts'
import { binOf } from '../../src/trust/bins.ts'
import { contents, expectExit, Registry } from '../crateferry.ts'
import { Site } from '../site.ts'
import { Repository } from '../trust/repository.ts'
import { type LoopbackUpstream, serveFolder } from '../upstream.ts'

const timeout = 120_000
const HULL = 'fe/rr/ferry-hull'
const BIN = { bitLength: 2, prefix: 'bin' }

let registry: Registry
let count = 0

beforeAll(async () => {
  registry = await Registry.make()
}, timeout)

afterAll(async () => {
  await registry[Symbol.asyncDispose]()
})

/** How index files are divided among roles. */
const LAYOUTS: Record<
  string,
  { readonly make: (repository: Repository) => void; readonly roleOf: (path: string) => string }
> = {
  flat: { make: () => {}, roleOf: () => 'targets' },
  delegated: {
    make: repository => {
      repository.delegate('targets', 'ferries', { paths: ['fe/rr/*'] })
      repository.delegate('targets', 'rest', { paths: ['?/*', '?/?/*', '??/??/*'] })
    },
    roleOf: path => (path.startsWith('fe/rr/') ? 'ferries' : 'rest'),
  },
  'hashed bins': {
    make: repository => {
      for (const digit of '0123456789abcdef') {
        repository.delegate('targets', `bin-${digit}`, { path_hash_prefixes: [digit] })
      }
    },
    roleOf: path => `bin-${sha256(path)[0]}`,
  },
  'succinct bins': {
    make: repository => repository.divide('targets', BIN.prefix, BIN.bitLength),
    roleOf: path => binOf(BIN, sha256(path)),
  },
}

/** A static repository of this layout over the plain registry of the fixtures. */
class Classic {
  readonly folder: string
  readonly repository = new Repository()
  readonly #layout: (typeof LAYOUTS)[string]

  constructor(layout: string) {
    count += 1
    this.folder = registry.at(`classic-${count}`)
    this.#layout = LAYOUTS[layout] as (typeof LAYOUTS)[string]
    delete this.repository.targets['targets']['index-tree']
    this.#layout.make(this.repository)
    cpSync(registry.at('plain/index'), join(this.folder, 'plain'), { recursive: true })
    this.publish()
  }

  get root(): string {
    return join(this.folder, 'public/tuf/1.root.json')
  }

  get public(): string {
    return join(this.folder, 'public')
  }

  /** Lists every index file as it is now, signs, and writes all of it. */
  publish(): void {
    const { repository } = this
    for (const path of this.paths()) {
      const bytes = readFileSync(join(this.folder, 'plain', path))
      repository.list(path, bytes.toString(), this.#layout.roleOf(path))
      const at = path.lastIndexOf('/')
      this.#write(`index/${path.slice(0, at)}/${sha256(bytes)}.${path.slice(at + 1)}`, bytes)
    }
    repository.list('README', 'not an index file')
    repository.next()
    for (const [name, bytes] of Object.entries(repository.files)) this.#write(`tuf/${name}`, bytes)
  }

  readonly paths = (): string[] => {
    const found = readdirSync(join(this.folder, 'plain'), { recursive: true, withFileTypes: true })
    const files = found.filter(entry => entry.isFile() && entry.name !== 'config.json')
    return files.map(({ parentPath, name }) => join(parentPath, name).slice(this.folder.length + 7))
  }

  /** A new version of a crate; its artifact is a few bytes. */
  add(path: string, name: string, version: string): string {
    const bytes = Buffer.from(`${name} ${version}`)
    const cksum = sha256(bytes)
    const fields = { name, vers: version, deps: [], cksum, features: {}, yanked: false }
    appendFileSync(join(this.folder, 'plain', path), `${JSON.stringify(fields)}\n`)
    this.#write(`crates/${dirname(path)}/${cksum}.crate`, bytes)
    return cksum
  }

  #write(name: string, bytes: Uint8Array): void {
    mkdirSync(join(this.public, dirname(name)), { recursive: true })
    writeFileSync(join(this.public, name), bytes)
  }
}

async function mirrorOf(classic: Classic, upstream: LoopbackUpstream): Promise<string> {
  count += 1
  const folder = registry.at(`mirror-${count}`)
  await expectExit(0, 'init', folder, '--upstream', upstream.url, '--root', classic.root)
  return folder
}

/** The crates of the fixtures, by checksum, where a classic upstream has them. */
async function withCrates(classic: Classic): Promise<Classic> {
  await registry.sign()
  cpSync(join(registry.public, 'crates'), join(classic.public, 'crates'), { recursive: true })
  return classic
}

test.each(Object.keys(LAYOUTS))(
  '%s: mirrored whole, followed, verified, relayed to the next mirror',
  {
    timeout,
  },
  async layout => {
    const classic = await withCrates(new Classic(layout))
    await using upstream = await serveFolder(classic.public)
    const mirror = await mirrorOf(classic, upstream)
    const first = await expectExit(0, 'sync', '--mirror', mirror, '--json')
    expect(first.json()).toMatchObject({ outcome: 'published', artifacts: 19, held: 0 })
    await expectExit(0, 'verify', '--mirror', mirror)
    const tree = (first.json() as { tree?: string }).tree

    // nothing new: two requests
    upstream.requests.clear()
    expect((await expectExit(0, 'sync', '--mirror', mirror)).stdout).toContain('nothing changed')
    expect(upstream.requests.map(({ path }) => path)).toEqual([
      '/tuf/2.root.json',
      '/tuf/timestamp.json',
    ])

    // one version more
    const fresh = classic.add(HULL, 'ferry-hull', '9.0.0')
    classic.publish()
    await expectExit(0, 'sync', '--mirror', mirror)
    const shown = await contents(join(mirror, 'public'))
    expect(shown[`crates/fe/rr/${fresh}.crate`]).toBe(fresh)
    await expectExit(0, 'verify', '--mirror', mirror)

    // the tree is that of the same index under any signature
    const site = readdirSync(join(mirror, 'public/tuf')).filter(name =>
      name.endsWith('.index-tree'),
    )
    expect(site).toHaveLength(2)
    expect(tree === undefined || site.includes(`${tree}.index-tree`)).toBe(true)

    // a mirror of the mirror verifies to the same root
    await using relayed = await serveFolder(join(mirror, 'public'))
    const below = await mirrorOf(classic, relayed)
    await expectExit(0, 'sync', '--mirror', below)
    await expectExit(0, 'verify', '--mirror', below)
    const chain = (all: Record<string, string>): [string, string][] =>
      Object.entries(all).filter(([name]) => name.startsWith('tuf/') && name.endsWith('.json'))
    const newest = chain(await contents(join(below, 'public')))
    for (const [name, checksum] of newest) expect(shown[name], name).toBe(checksum)

    // readers on the way have what they need for days, then it goes
    await expectExit(0, 'prune', '--mirror', mirror, '--yes')
    await expectExit(0, 'verify', '--mirror', mirror)
    setKeepDays(mirror)
    await expectExit(0, 'prune', '--mirror', mirror, '--yes')
    await expectExit(0, 'verify', '--mirror', mirror)
    expect(chain(await contents(join(mirror, 'public')))).toEqual(newest)
    await expectExit(0, 'sync', '--mirror', mirror)
  },
)

test('a repository laid out as TUF says, each part below a base of its own', {
  timeout,
}, async () => {
  const classic = await withCrates(new Classic('succinct bins'))
  const { paths } = tufLayout(classic)
  await using upstream = await serveFolder(join(classic.folder, 'elsewhere'))
  const mirror = registry.at('elsewhere')
  const init = ['init', mirror, '--root', classic.root]
  const bases = ['--metadata', `${upstream.url}meta`, '--targets', `${upstream.url}files`]
  const half = await expectExit(64, ...init, ...bases)
  expect(half.stderr).toContain('upstream.artifacts must be set together')
  const artifacts = ['--artifacts', `${upstream.url}dl/{crate}/{crate}-{version}.crate`]
  await expectExit(64, ...init, ...bases, ...artifacts, '--upstream', upstream.url)
  await expectExit(64, ...init, ...artifacts)
  const observed = ['init', mirror, '--observed', '--contact', 'a@b.example']
  expect((await expectExit(64, ...observed, ...bases)).stderr).toContain('go together')
  await expectExit(3, ...init, '--metadata', `${upstream.url}no`, ...bases.slice(2), ...artifacts)
  await expectExit(11, 'init', mirror, '--root', registry.root, ...bases, ...artifacts)
  await expectExit(0, ...init, ...bases, ...artifacts)
  const synced = await expectExit(0, 'sync', '--mirror', mirror, '--json')
  expect(synced.json()).toMatchObject({ outcome: 'published', artifacts: 19, held: 0 })
  expect(upstream.requests.count(/^\/files\//)).toBe(paths)
  await expectExit(0, 'verify', '--mirror', mirror)
  const status = await expectExit(0, 'status', '--mirror', mirror)
  expect(status.stdout).toContain(`${upstream.url}meta`)
  rmSync(join(mirror, 'public/index', HULL))
  await expectExit(0, 'verify', '--repair', '--mirror', mirror)
})

/** Metadata, targets and crates as three folders that nothing of ours has made. */
function tufLayout({ folder, public: shown, paths }: Classic): { readonly paths: number } {
  const to = (name: string): string => join(folder, 'elsewhere', name)
  cpSync(join(shown, 'tuf'), to('meta'), { recursive: true })
  cpSync(join(shown, 'index'), to('files'), { recursive: true })
  cpSync(registry.at('plain/crates'), to('dl'), { recursive: true })
  return { paths: paths().length }
}

test('damage to a role is named and mended; what lies to a role is refused', {
  timeout,
}, async () => {
  const classic = await withCrates(new Classic('hashed bins'))
  await using upstream = await serveFolder(classic.public)
  const mirror = await mirrorOf(classic, upstream)
  await expectExit(0, 'sync', '--mirror', mirror)
  const role = `2.bin-${sha256(HULL)[0]}.json`
  const places = [
    join(mirror, 'public/tuf', role),
    join(mirror, 'state/trust/upstream/delegated', role),
  ]
  for (const place of places) {
    const right = readFileSync(place)
    const wrong = Buffer.from(right)
    wrong[50] = (wrong[50] ?? 0) ^ 1
    for (const bytes of [wrong, right.subarray(0, -1), undefined]) {
      rmSync(place)
      if (bytes !== undefined) writeFileSync(place, bytes)
      const found = await expectExit(4, 'verify', '--mirror', mirror, '--json')
      expect(JSON.stringify(found.json())).toContain(place.slice(mirror.length + 1))
      await expectExit(0, 'verify', '--repair', '--mirror', mirror)
      expect(readFileSync(place)).toEqual(right)
    }
  }
  writeFileSync(join(mirror, 'public/tuf/1.stranger.json'), '{}')
  await expectExit(4, 'verify', '--mirror', mirror)
  rmSync(join(mirror, 'public/tuf/1.stranger.json'))

  // a bin lists the path of another: refused, and nothing is published
  const wrong = sha256(HULL)[0] === '0' ? 'bin-1' : 'bin-0'
  classic.repository.list(HULL, 'another file', wrong)
  classic.publish()
  const refused = await expectExit(11, 'sync', '--mirror', mirror)
  expect(refused.stderr).toContain(`lists "${HULL}", which is not of role "${wrong}"`)
  await expectExit(0, 'verify', '--mirror', mirror)
})

test('a bundle of it goes under the site’s chain, and without one is refused', {
  timeout,
}, async () => {
  const classic = await withCrates(new Classic('succinct bins'))
  await using upstream = await serveFolder(classic.public)
  const mirror = await mirrorOf(classic, upstream)
  await expectExit(0, 'sync', '--mirror', mirror)
  const medium = registry.at('medium')
  mkdirSync(medium)
  const unsigned = await expectExit(11, 'bundle', 'export', '--to', medium, '--mirror', mirror)
  expect(unsigned.stderr).toContain('nobody signed the published tree')
  const site = await Site.make(registry.at('keys'))
  site.configure(mirror)
  await expectExit(0, 'sign', '--mirror', mirror, '--root', site.root)
  await expectExit(0, 'bundle', 'export', '--to', medium, '--mirror', mirror)
  const far = registry.at('far')
  await expectExit(0, 'init', far, '--root', site.root)
  await expectExit(0, 'bundle', 'import', medium, '--mirror', far)
  await expectExit(0, 'verify', '--mirror', far)
  const said = await expectExit(0, 'verify', 'ferry-hull@1.0.0', '--mirror', mirror)
  expect(said.stdout).toMatch(/^root 1 .*\ntimestamp 1 /)
  expect((await expectExit(0, 'status', '--mirror', mirror)).stdout).toContain('until')
})

function setKeepDays(mirror: string): void {
  const file = join(mirror, 'crateferry.toml')
  const text = readFileSync(file, 'utf8')
  writeFileSync(file, text.replace(/^# keep-days = .*$/m, 'keep-days = 0'))
}
