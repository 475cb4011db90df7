import type { Version } from './version.ts'
import { compareNumbers, comparePre, type VersionParts, versionParts } from './version-order.ts'

/**
 * What an index line demands of a dependency's version, read and matched as cargo does: `1.2` is
 * `^1.2`; `~`, `=`, `>`, `>=`, `<`, `<=`, `*` and `1.*`; several between commas must all hold.
 */
export interface Requirement {
  /** None: any release will do. */
  readonly comparators: readonly Comparator[]
}

type Operator = '=' | '>' | '>=' | '<' | '<=' | '~' | '^'

/** A part that is left out, or a wildcard, is undefined; then there is no pre-release either. */
interface Comparator {
  readonly operator: Operator
  readonly major: string
  readonly minor: string | undefined
  readonly patch: string | undefined
  readonly pre: string
}

/** As many as cargo takes; a longer list is unreadable to it too. */
const COMPARATORS_MAX = 32
const TEXT_MAX = 4096

/** The requirement, or undefined where cargo could not read it either. */
export function parseRequirement(text: string): Requirement | undefined {
  if (text.length > TEXT_MAX) return undefined
  if (/^ *[*xX] *$/.test(text)) return { comparators: [] }
  const texts = text.split(',')
  if (texts.length > COMPARATORS_MAX) return undefined
  const comparators = texts.map(parseComparator)
  return comparators.every(one => one !== undefined) ? { comparators } : undefined
}

const NUMBER = '(0|[1-9][0-9]*)'
const OR_ANY = '(0|[1-9][0-9]*|[*xX])'
const PRE = '(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)'
const BUILD = '[0-9A-Za-z-]+'
const COMPARATOR = new RegExp(
  `^ *(=|>=|>|<=|<|~|\\^)? *${NUMBER}(?:\\.${OR_ANY}(?:\\.${OR_ANY}(?:-(${PRE}(?:\\.${PRE})*))?(\\+${BUILD}(?:\\.${BUILD})*)?)?)? *$`,
)

function parseComparator(text: string): Comparator | undefined {
  const match = COMPARATOR.exec(text)
  if (match === null) return undefined
  const [, operator, major = '', ...rest] = match
  const [minor, patch] = rest.slice(0, 2).map(part => (isWildcard(part) ? undefined : part))
  const [, , pre = '', build = ''] = rest
  // nothing can follow a wildcard but another one
  if (minor === undefined && patch !== undefined) return undefined
  if (patch === undefined && pre + build !== '') return undefined
  if (![major, minor, patch].every(fits)) return undefined
  // where a wildcard stands and no operator, what is written must be equal: `1.*` is `=1`
  const byDefault = rest.slice(0, 2).some(isWildcard) ? '=' : '^'
  return { operator: (operator as Operator | undefined) ?? byDefault, major, minor, patch, pre }
}

function isWildcard(part: string | undefined): boolean {
  return part !== undefined && /^[*xX]$/.test(part)
}

const NUMBER_MAX = '18446744073709551615'

function fits(part: string | undefined): boolean {
  return part === undefined || compareNumbers(part, NUMBER_MAX) <= 0
}

/** Build metadata does not count. A pre-release is taken only by whoever names one of its release. */
export function satisfies(version: Version, { comparators }: Requirement): boolean {
  const parts = versionParts(version)
  if (!comparators.every(comparator => holds(comparator, parts))) return false
  return parts.pre === '' || comparators.some(comparator => namesPreReleaseOf(comparator, parts))
}

function namesPreReleaseOf({ major, minor, patch, pre }: Comparator, of: VersionParts): boolean {
  return pre !== '' && major === of.major && minor === of.minor && patch === of.patch
}

function holds(comparator: Comparator, of: VersionParts): boolean {
  const { operator } = comparator
  switch (operator) {
    case '=':
      return isExact(comparator, of)
    case '>':
      return isBeyond(comparator, of, 1)
    case '>=':
      return isExact(comparator, of) || isBeyond(comparator, of, 1)
    case '<':
      return isBeyond(comparator, of, -1)
    case '<=':
      return isExact(comparator, of) || isBeyond(comparator, of, -1)
    case '~':
      return isTilde(comparator, of)
    case '^':
      return isCaret(comparator, of)
  }
  return operator satisfies never
}

/** `=1.2` is any release 1.2.x. */
function isExact({ major, minor, patch, pre }: Comparator, of: VersionParts): boolean {
  return (
    of.major === major &&
    (minor === undefined || of.minor === minor) &&
    (patch === undefined || of.patch === patch) &&
    of.pre === pre
  )
}

/** After (1) or before (-1) all that the comparator names: `>1.2` begins at 1.3, `<1.2` ends at 1.1. */
function isBeyond(
  { major, minor, patch, pre }: Comparator,
  of: VersionParts,
  direction: 1 | -1,
): boolean {
  for (const [named, found] of [
    [major, of.major],
    [minor, of.minor],
    [patch, of.patch],
  ] as const) {
    if (named === undefined) return false
    const order = compareNumbers(found, named)
    if (order !== 0) return order * direction > 0
  }
  return comparePre(of.pre, pre) * direction > 0
}

/** `~1.2.3`: what comes after it below 1.3; `~1`: all of 1. */
function isTilde({ major, minor, patch, pre }: Comparator, of: VersionParts): boolean {
  if (of.major !== major || (minor !== undefined && of.minor !== minor)) return false
  const order = patch === undefined ? 0 : compareNumbers(of.patch, patch)
  return order === 0 ? comparePre(of.pre, pre) >= 0 : order > 0
}

/** What comes after it and has the same leftmost part that is not zero; a part left out is free. */
function isCaret({ major, minor, patch, pre }: Comparator, of: VersionParts): boolean {
  if (of.major !== major) return false
  if (minor === undefined) return true
  const minors = compareNumbers(of.minor, minor)
  if (minors !== 0) return major !== '0' && minors > 0
  if (patch === undefined) return true
  const patches = compareNumbers(of.patch, patch)
  if (patches !== 0) return (major !== '0' || minor !== '0') && patches > 0
  return comparePre(of.pre, pre) >= 0
}
