import { type CratePattern, parseCratePattern } from './crate-pattern.ts'
import { type CrateRules, NameRules, type SelectionRules } from './selection-rules.ts'
import { type IndexPath, nameOfPath, parseIndexPath } from './sparse-path.ts'
import { parseVersion, type Version } from './version.ts'
import { compareVersions } from './version-order.ts'

/** Versions of crates. A crate without any was looked at, and nothing of it chosen. */
export type Versions = ReadonlyMap<IndexPath, ReadonlySet<Version>>

/**
 * Which of all that an index lists a mirror must hold. What goes by name and version alone follows
 * from the rules; what took the index to choose (the newest, what is pinned, dependencies) is
 * listed. So a mirror of all but a few crates lists nothing.
 */
export class Selection {
  /** The rules as `rulesText` writes them: other rules, another selection. */
  readonly rules: string
  readonly listed: Versions
  /** The rules for people, on one line. */
  readonly summary: string
  readonly #names: NameRules
  readonly #takesAllowed: boolean

  constructor(rules: string, listed: Versions) {
    const parsed = parseRules(rules)
    if (parsed === undefined) throw new SyntaxError('the second line is no rules')
    this.rules = rules
    this.listed = listed
    this.summary = summaryOf(parsed)
    this.#names = new NameRules(parsed)
    this.#takesAllowed = parsed.newest === 0
  }

  /** Says of each version of the crate whether it is selected. */
  of(path: IndexPath): (version: Version) => boolean {
    const listed = this.listed.get(path)
    const { allows } = this.rulesOf(path)
    if (!this.#takesAllowed) return version => listed?.has(version) === true
    return version => allows(version) || listed?.has(version) === true
  }

  rulesOf(path: IndexPath): CrateRules {
    return this.#names.of(nameOfPath(path))
  }

  /** A crate of which something is selected now, or may be the next time it changes. */
  isAbout(path: IndexPath): boolean {
    return this.listed.has(path) || this.rulesOf(path).mayAllow
  }
}

const HEADER = 'crateferry selection 1'

/** The same selection is the same text: a header, the rules, a line a crate, sorted. */
export function selectionText({ rules, listed }: Pick<Selection, 'rules' | 'listed'>): string {
  const lines = [...listed].map(([path, versions]) =>
    [path, ...[...versions].sort(compareVersions)].join(' '),
  )
  return `${[HEADER, rules, ...lines.sort()].join('\n')}\n`
}

/** @throws {SyntaxError} where it is not a text that `selectionText` wrote. */
export function parseSelection(text: string): Selection {
  const [header, rules = '', ...lines] = text.split('\n')
  if (header !== HEADER) throw new SyntaxError('the first line is no header that is known')
  if (lines.pop() !== '') throw new SyntaxError('the last line is cut')
  return new Selection(rules, new Map(lines.map(parseLine)))
}

function parseLine(line: string): [IndexPath, Set<Version>] {
  const [first = '', ...rest] = line.split(' ')
  const path = parseIndexPath(first)
  const versions = rest.map(parseVersion)
  if (path === undefined || !versions.every(one => one !== undefined)) {
    throw new SyntaxError('a line is no crate with its versions')
  }
  return [path, new Set(versions)]
}

interface ParsedRules {
  readonly allow: readonly CratePattern[]
  readonly deny: readonly CratePattern[]
  readonly hasPins: boolean
  readonly newest: number
  readonly withDependencies: boolean
  readonly devDependencies: boolean
}

function summaryOf(rules: ParsedRules): string {
  const { allow, deny, newest, hasPins, withDependencies, devDependencies } = rules
  return [
    ...(allow.length > 0 ? [`allow ${someOf(allow)}`] : []),
    ...(deny.length > 0 ? [`deny ${someOf(deny)}`] : []),
    ...(newest > 0 ? [`the newest ${newest}`] : []),
    ...(hasPins ? ['what lock files pin'] : []),
    ...(withDependencies ? [`with ${devDependencies ? 'all ' : ''}dependencies`] : []),
  ].join(', ')
}

const SHOWN_MAX = 5

function someOf(patterns: readonly CratePattern[]): string {
  const shown = patterns.slice(0, SHOWN_MAX).map(({ text }) => text)
  const more = patterns.length - shown.length
  return `${shown.join(' ')}${more > 0 ? ` and ${more} more` : ''}`
}

/** The rules but for the pins, of which only a checksum is kept: what they pin is listed. */
function parseRules(text: string): ParsedRules | undefined {
  const { allow, deny, newest, pins, ...rest } = JSON.parse(text) as Partial<
    Record<keyof SelectionRules, unknown>
  >
  if (!Array.isArray(allow) || !Array.isArray(deny) || typeof newest !== 'number') return undefined
  const [allowed, denied] = [allow, deny].map(texts =>
    texts.map(one => parseCratePattern(`${one}`)),
  )
  if (!allowed?.every(one => one !== undefined) || !denied?.every(one => one !== undefined)) {
    return undefined
  }
  return {
    allow: allowed,
    deny: denied,
    hasPins: pins !== null,
    newest,
    withDependencies: rest.withDependencies === true,
    devDependencies: rest.devDependencies === true,
  }
}
