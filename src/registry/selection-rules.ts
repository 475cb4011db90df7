import { type Checksum, sha256 } from './checksum.ts'
import type { CrateName } from './crate-name.ts'
import { type CratePattern, matchesName, matchesVersion } from './crate-pattern.ts'
import type { Version } from './version.ts'

/** A version that somebody's `Cargo.lock` pins. */
export interface Pin {
  readonly crate: CrateName
  readonly version: Version
  /** What the file says that the artifact hashes to. */
  readonly checksum: Checksum | undefined
}

/** What an operator wants of a registry. */
export interface SelectionRules {
  /** None: every crate, unless there are lock files, which are then all that counts. */
  readonly allow: readonly CratePattern[]
  /** Wins over everything else. */
  readonly deny: readonly CratePattern[]
  /** Of each crate that is allowed only so many of its newest versions; 0: all of them. */
  readonly newest: number
  /** What the lock files pin; undefined: there are none. */
  readonly pins: readonly Pin[] | undefined
  /** How many packages the lock files take from other registries and git: they are not here. */
  readonly pinnedElsewhere: number
  /** Beside what is chosen, what that can depend on. */
  readonly withDependencies: boolean
  /** Beside normal and build dependencies those for development. */
  readonly devDependencies: boolean
}

/** Rules that leave nothing out are no rules: nothing is to be chosen, recorded or asked. */
export function isEverything({ allow, deny, newest, pins }: SelectionRules): boolean {
  return allow.length === 0 && deny.length === 0 && newest === 0 && pins === undefined
}

/** Rules that can be asked of a version without a look at the index: nothing has to be chosen. */
export function goesByName(rules: SelectionRules): boolean {
  const { allow, newest, pins, withDependencies } = rules
  if (newest > 0 || pins !== undefined) return false
  // where every crate is allowed so is every dependency
  return !withDependencies || allow.length === 0
}

/** Equal rules are equal texts, whatever order they were written in. One line of JSON. */
export function rulesText(rules: SelectionRules): string {
  const { newest, pins, withDependencies, devDependencies } = rules
  return JSON.stringify({
    allow: texts(rules.allow),
    deny: texts(rules.deny),
    devDependencies,
    newest,
    pins: pins === undefined ? null : sha256(pinsText(pins)),
    withDependencies,
  })
}

function texts(patterns: readonly CratePattern[]): string[] {
  return [...new Set(patterns.map(({ text }) => text))].sort()
}

function pinsText(pins: readonly Pin[]): string {
  const lines = pins.map(({ crate, version, checksum }) => `${crate} ${version} ${checksum ?? '-'}`)
  return [...new Set(lines)].sort().join('\n')
}

/** The rules that go by name and version alone, with what it takes to ask them of 250,000 crates. */
export class NameRules {
  readonly #allow: CratePatterns
  readonly #deny: CratePatterns
  readonly #hasPins: boolean

  constructor(rules: {
    readonly allow: readonly CratePattern[]
    readonly deny: readonly CratePattern[]
    readonly hasPins: boolean
  }) {
    this.#allow = new CratePatterns(rules.allow)
    this.#deny = new CratePatterns(rules.deny)
    this.#hasPins = rules.hasPins
  }

  of(crate: CrateName): CrateRules {
    const deny = this.#deny.about(crate)
    const denies = (version: Version): boolean => deny.some(one => matchesVersion(one, version))
    if (this.#allow.isEmpty) {
      const mayAllow = !this.#hasPins && !deny.some(isWhole)
      return { mayAllow, denies, allows: version => mayAllow && !denies(version) }
    }
    const allow = this.#allow.about(crate)
    return {
      mayAllow: allow.length > 0 && !deny.some(isWhole),
      denies,
      allows: version => allow.some(one => matchesVersion(one, version)) && !denies(version),
    }
  }
}

/** What the rules say of one crate. */
export interface CrateRules {
  /** Whether some version of it may be allowed. */
  readonly mayAllow: boolean
  readonly allows: (version: Version) => boolean
  readonly denies: (version: Version) => boolean
}

function isWhole({ version }: CratePattern): boolean {
  return version === undefined
}

/** A list of names may be as long as a registry: names without `*` and `?` are looked up. */
class CratePatterns {
  readonly #byName: ReadonlyMap<string, readonly CratePattern[]>
  readonly #globs: readonly CratePattern[]

  constructor(patterns: readonly CratePattern[]) {
    this.#globs = patterns.filter(({ isExact }) => !isExact)
    const exact = patterns.filter(({ isExact }) => isExact)
    this.#byName = Map.groupBy(exact, ({ name }) => name)
  }

  get isEmpty(): boolean {
    return this.#byName.size === 0 && this.#globs.length === 0
  }

  about(crate: CrateName): readonly CratePattern[] {
    const named = this.#byName.get(crate.toLowerCase()) ?? []
    return [...named, ...this.#globs.filter(pattern => matchesName(pattern, crate))]
  }
}
