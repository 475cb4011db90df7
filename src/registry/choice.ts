import { quoted } from '../error.ts'
import type { CrateName } from './crate-name.ts'
import { readDependencies } from './dependency.ts'
import { type IndexFile, IndexFileRefused, readIndexFile } from './index-file.ts'
import type { IndexLine } from './index-line.ts'
import { parseRequirement, type Requirement, satisfies } from './requirement.ts'
import type { Versions } from './selection.ts'
import { NameRules, type Pin, type SelectionRules } from './selection-rules.ts'
import { type IndexPath, indexPath, nameOfPath } from './sparse-path.ts'
import type { Version } from './version.ts'
import { compareVersions, isPreRelease } from './version-order.ts'

/** The index, or as much of it as is to be looked at. */
export interface Index {
  readonly paths: Iterable<IndexPath>
  /** Undefined: there is no such crate, or its file is not here. */
  readonly read: (path: IndexPath) => Promise<Uint8Array | undefined>
}

/** What was chosen beyond what follows from names alone, and what an operator should hear of it. */
export interface Chosen {
  readonly versions: Versions
  readonly warnings: readonly string[]
}

/**
 * Chooses versions by rules that need the index. What was chosen before (`kept`) stays, so that a
 * newer release drops nothing that somebody may have locked; with dependencies each of the chosen
 * brings, for each of its requirements, the newest version that matches, until nothing is added.
 * Where cargo takes one version for several requirements it is among those: of ranges that overlap,
 * the newest in common is the newest of the range that ends first.
 */
export async function chooseVersions(
  rules: SelectionRules,
  index: Index,
  kept: Versions,
): Promise<Chosen> {
  const choice = new Choice(rules, index, kept)
  await choice.make()
  return { versions: choice.listed(), warnings: choice.warnings }
}

const WARNINGS_MAX = 1000

class Choice {
  readonly warnings: string[] = []
  readonly #versions = new Map<IndexPath, Set<Version>>()
  readonly #rules: SelectionRules
  readonly #names: NameRules
  readonly #index: Index
  readonly #kept: Versions
  readonly #pins: ReadonlyMap<IndexPath, readonly Pin[]>
  /** Crates to be looked at, with the requirements that were not answered yet. */
  readonly #open = new Map<IndexPath, Set<string>>()
  readonly #asked = new Set<string>()
  readonly #requirements = new Map<string, Requirement | undefined>()

  constructor(rules: SelectionRules, index: Index, kept: Versions) {
    this.#rules = rules
    this.#names = new NameRules({ ...rules, hasPins: rules.pins !== undefined })
    this.#index = index
    this.#kept = kept
    this.#pins = Map.groupBy(rules.pins ?? [], ({ crate }) => indexPath(crate))
  }

  async make(): Promise<void> {
    for (const path of this.#index.paths) {
      const isWanted = this.#names.of(nameOfPath(path)).mayAllow
      if (isWanted || this.#pins.has(path) || this.#kept.has(path)) this.#open.set(path, new Set())
    }
    // what is opened meanwhile comes at the end, a crate looked at before once more
    for (const [path, requirements] of this.#open) {
      this.#open.delete(path)
      await this.#lookAt(path, requirements)
    }
  }

  /** A crate that the rules are about need not be listed for what they say anyway. */
  listed(): Versions {
    const listed = new Map<IndexPath, ReadonlySet<Version>>()
    for (const [path, versions] of this.#versions) {
      const { allows, mayAllow } = this.#names.of(nameOfPath(path))
      const isChosen = (version: Version): boolean => this.#rules.newest > 0 || !allows(version)
      const chosen = new Set([...versions].filter(isChosen))
      if (chosen.size > 0 || !mayAllow) listed.set(path, chosen)
    }
    return listed
  }

  async #lookAt(path: IndexPath, requirements: ReadonlySet<string>): Promise<void> {
    const bytes = await this.#index.read(path)
    const file = bytes && readable(bytes, path)
    const chosen = this.#versions.get(path)
    const versions = chosen ?? new Set<Version>()
    this.#versions.set(path, versions)
    if (bytes === undefined || file === undefined) {
      // what cannot be read now is no reason to drop what was chosen of it
      for (const version of this.#kept.get(path) ?? []) versions.add(version)
      return
    }
    const named = chosen === undefined ? this.#named(path, file) : []
    const { denies } = this.#names.of(nameOfPath(path))
    const demanded = [...requirements].flatMap(text => this.#newestOf(text, file, denies) ?? [])
    const added = new Set([...named, ...demanded].filter(version => !versions.has(version)))
    for (const version of added) versions.add(version)
    if (this.#rules.withDependencies) this.#demand(bytes, file, added)
  }

  /** What the rules, the pins and earlier choices name of a crate, as far as the index lists it. */
  #named(path: IndexPath, { entries }: IndexFile): Version[] {
    const { allows, denies } = this.#names.of(nameOfPath(path))
    const pins = this.#pins.get(path) ?? []
    for (const pin of pins) this.#checkPin(pin, entries, denies)
    const pinned = new Set(pins.map(({ version }) => version))
    const kept = this.#kept.get(path)
    const isNamed = ({ version }: IndexLine): boolean =>
      kept?.has(version) === true || (pinned.has(version) && !denies(version))
    const allowed = entries.filter(({ version }) => allows(version))
    return [...newest(allowed, this.#rules.newest), ...entries.filter(isNamed)].map(
      ({ version }) => version,
    )
  }

  #checkPin(
    { crate, version, checksum }: Pin,
    entries: readonly IndexLine[],
    denies: (version: Version) => boolean,
  ): void {
    const listed = entries.filter(entry => entry.version === version)
    if (denies(version)) this.#warn(`${crate}@${version} is pinned by a lock file and denied`)
    else if (listed.length === 0) this.#warn(`${crate}@${version} is pinned and not in the index`)
    else if (checksum !== undefined && !listed.some(entry => entry.checksum === checksum)) {
      this.#warn(
        `${crate}@${version} is pinned with checksum ${checksum}, the index says ${listed[0]?.checksum}`,
      )
    }
  }

  /** Each requirement on a crate is answered once, whoever has it. */
  #demand(bytes: Uint8Array, { entries }: IndexFile, added: ReadonlySet<Version>): void {
    if (added.size === 0) return
    const lines = linesOf(bytes)
    for (const { crate, version, line } of entries) {
      const text = lines[line - 1]
      if (text === undefined || !added.has(version)) continue
      for (const dependency of readDependencies(text)) {
        if (dependency.kind === 'dev' && !this.#rules.devDependencies) continue
        this.#ask(dependency.crate, dependency.requirement, `${crate}@${version}`)
      }
    }
  }

  #ask(crate: CrateName, requirement: string, by: string): void {
    const path = indexPath(crate)
    const question = `${path} ${requirement}`
    if (this.#asked.has(question)) return
    this.#asked.add(question)
    if (this.#read(requirement, by) === undefined) return
    this.#open.getOrInsertComputed(path, () => new Set()).add(requirement)
  }

  #read(text: string, by: string): Requirement | undefined {
    if (this.#requirements.has(text)) return this.#requirements.get(text)
    const requirement = parseRequirement(text)
    this.#requirements.set(text, requirement)
    if (requirement === undefined) {
      this.#warn(`requirement ${quoted(text)} of ${by} cannot be read: it matches nothing`)
    }
    return requirement
  }

  /** Not a yanked one: cargo takes those only where a lock file pins them. */
  #newestOf(
    text: string,
    { entries }: IndexFile,
    denies: (version: Version) => boolean,
  ): Version | undefined {
    const requirement = this.#requirements.get(text)
    if (requirement === undefined) return undefined
    const matching = entries.filter(
      ({ version, yanked }) => !yanked && !denies(version) && satisfies(version, requirement),
    )
    return matching.map(({ version }) => version).reduce(newerOf, undefined)
  }

  #warn(warning: string): void {
    if (this.warnings.length < WARNINGS_MAX) this.warnings.push(`selection: ${warning}`)
  }
}

/** The newest of them that are not yanked; pre-releases only where there is no release. 0: all. */
function newest(entries: readonly IndexLine[], count: number): readonly IndexLine[] {
  if (count === 0) return entries
  const usable = entries.filter(({ yanked }) => !yanked)
  const releases = usable.filter(({ version }) => !isPreRelease(version))
  const ordered = (releases.length > 0 ? releases : usable).toSorted((a, b) =>
    compareVersions(b.version, a.version),
  )
  return ordered.slice(0, count)
}

function newerOf(best: Version | undefined, version: Version): Version {
  return best === undefined || compareVersions(version, best) > 0 ? version : best
}

function readable(bytes: Uint8Array, path: IndexPath): IndexFile | undefined {
  try {
    return readIndexFile(bytes, path, { signed: true })
  } catch (error) {
    if (error instanceof IndexFileRefused) return undefined
    throw error
  }
}

const NEWLINE = 0x0a

function linesOf(bytes: Uint8Array): Uint8Array[] {
  const lines: Uint8Array[] = []
  for (let start = 0; start < bytes.length; ) {
    const newline = bytes.indexOf(NEWLINE, start)
    const end = newline < 0 ? bytes.length : newline
    lines.push(bytes.subarray(start, end))
    start = end + 1
  }
  return lines
}
