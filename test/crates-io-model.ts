import { createHash } from 'node:crypto'
import { sha256 } from '../src/registry/checksum.ts'
import type { CrateName } from '../src/registry/crate-name.ts'
import { type IndexPath, indexPath } from '../src/registry/sparse-path.ts'

/** A dependency as an index line states it. */
export interface Dependency {
  readonly name: string
  readonly req: string
  readonly kind?: 'normal' | 'build' | 'dev'
  readonly optional?: boolean
}

interface Release {
  readonly version: string
  readonly line: Record<string, unknown>
  readonly bytes: Buffer
}

interface Crate {
  readonly name: string
  readonly createdAt: Date
  readonly releases: Release[]
}

interface News {
  readonly at: Date
  readonly name: string
  readonly version?: string
}

export interface Advisory {
  readonly id: string
  readonly name: string
  readonly title: string
}

/** An index file at some moment, with what a CDN says of it. */
export interface IndexFile {
  readonly bytes: Buffer
  readonly etag: string
  readonly since: Date
}

/**
 * What crates.io knows: crates, releases, news, deletions, on a clock that the test moves. Index
 * files are kept as they were, since a CDN may answer with an old one.
 */
export class CratesIoModel {
  now: Date
  readonly advisories: Advisory[] = []
  readonly updates: News[] = []
  readonly news: News[] = []
  readonly deleted: { readonly name: string; readonly at: Date }[] = []
  readonly #crates = new Map<IndexPath, Crate>()
  readonly #artifacts = new Map<string, Buffer>()
  readonly #history = new Map<IndexPath, (IndexFile | undefined)[]>()
  readonly #times = new Map<IndexPath, Date[]>()

  constructor(now: Date) {
    this.now = now
  }

  advance(ms: number): void {
    this.now = new Date(this.now.getTime() + ms)
  }

  /** Uploads the artifact, writes the crate's index file anew, tells the feeds. */
  publish(
    name: string,
    version: string,
    options: { readonly bytes?: Buffer; readonly deps?: readonly Dependency[] } = {},
  ): string {
    const { bytes = Buffer.from(`${name} ${version}: not a real archive\n`), deps = [] } = options
    const cksum = sha256(bytes)
    const pubtime = `${this.now.toISOString().slice(0, 19)}Z`
    const line = {
      name,
      vers: version,
      deps: deps.map(dependency),
      cksum,
      features: {},
      yanked: false,
      pubtime,
    }
    this.add(name, { version, line, bytes })
    return cksum
  }

  /** The same with a line as it is, from a registry that was filled elsewhere. */
  add(name: string, release: Release): void {
    const path = pathOf(name)
    const crate = this.#crates.getOrInsertComputed(path, () => {
      this.news.unshift({ at: this.now, name })
      return { name, createdAt: this.now, releases: [] }
    })
    if (crate.releases.some(({ version }) => version === release.version)) {
      throw new Error(`${name} ${release.version} is published already`)
    }
    crate.releases.push(release)
    this.updates.unshift({ at: this.now, name, version: release.version })
    this.#artifacts.set(`${name} ${release.version}`, release.bytes)
    this.#rewrite(path)
  }

  yank(name: string, version: string, yanked = true): void {
    const found = this.#release(name, version)
    found.line['yanked'] = yanked
    this.#rewrite(pathOf(name))
  }

  unyank(name: string, version: string): void {
    this.yank(name, version, false)
  }

  deleteVersion(name: string, version: string): void {
    const crate = this.#crates.get(pathOf(name))
    const release = this.#release(name, version)
    crate?.releases.splice(crate.releases.indexOf(release), 1)
    this.#artifacts.delete(`${name} ${version}`)
    this.#rewrite(pathOf(name))
  }

  deleteCrate(name: string): void {
    const path = pathOf(name)
    for (const { version } of this.#crates.get(path)?.releases ?? []) {
      this.#artifacts.delete(`${name} ${version}`)
    }
    if (!this.#crates.delete(path)) throw new Error(`there is no crate ${name}`)
    this.deleted.push({ name, at: this.now })
    this.#remember(path, undefined)
  }

  /** Lines that say the same in other bytes, as when the index is generated anew. */
  rewrite(name: string): void {
    for (const release of this.#crates.get(pathOf(name))?.releases ?? []) {
      release.line['rust_version'] = '1.70'
    }
    this.#rewrite(pathOf(name))
  }

  advisory(id: string, name: string, title: string): void {
    this.advisories.unshift({ id, name, title })
  }

  /** What stands in the index now. */
  state(): Map<IndexPath, Buffer> {
    const files = [...this.#history.keys()].flatMap(path => {
      const file = this.indexFile(path)
      return file === undefined ? [] : [[path, file.bytes] as const]
    })
    return new Map(files)
  }

  names(): string[] {
    return [...this.#crates.values()].map(({ name }) => name)
  }

  /** The index file as it was so long ago. */
  indexFile(path: string, agoMs = 0): IndexFile | undefined {
    const then = this.now.getTime() - agoMs
    const times = this.#times.get(path as IndexPath) ?? []
    const at = times.findLastIndex(time => time.getTime() <= then)
    return at === -1 ? undefined : this.#history.get(path as IndexPath)?.[at]
  }

  artifact(name: string, version: string): Buffer | undefined {
    return this.#artifacts.get(`${name} ${version}`)
  }

  #release(name: string, version: string): Release {
    const releases = this.#crates.get(pathOf(name))?.releases ?? []
    const found = releases.find(release => release.version === version)
    if (found === undefined) throw new Error(`there is no ${name} ${version}`)
    return found
  }

  #rewrite(path: IndexPath): void {
    const releases = this.#crates.get(path)?.releases ?? []
    const bytes = Buffer.from(releases.map(({ line }) => `${JSON.stringify(line)}\n`).join(''))
    const etag = `"${createHash('md5').update(bytes).digest('hex')}"`
    this.#remember(path, releases.length === 0 ? undefined : { bytes, etag, since: this.now })
  }

  #remember(path: IndexPath, file: IndexFile | undefined): void {
    this.#history.getOrInsertComputed(path, () => []).push(file)
    this.#times.getOrInsertComputed(path, () => []).push(this.now)
  }
}

const pathOf = (name: string): IndexPath => indexPath(name as CrateName)

function dependency({ name, req, kind = 'normal', optional = false }: Dependency): object {
  const fields = { name, req, features: [], optional, default_features: true, target: null, kind }
  return fields
}
