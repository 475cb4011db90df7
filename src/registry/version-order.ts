import type { Version } from './version.ts'

/** A version taken apart. Numbers stay digits: cargo's have 64 bits, more than a number holds. */
export interface VersionParts {
  readonly major: string
  readonly minor: string
  readonly patch: string
  /** Empty where the version is a release. */
  readonly pre: string
  readonly build: string
}

const PARTS = /^([0-9]+)\.([0-9]+)\.([0-9]+)(?:-([^+]+))?(?:\+(.+))?$/

export function versionParts(version: Version): VersionParts {
  const [, major = '0', minor = '0', patch = '0', pre = '', build = ''] = PARTS.exec(version) ?? []
  return { major, minor, patch, pre, build }
}

export function isPreRelease(version: Version): boolean {
  return versionParts(version).pre !== ''
}

/**
 * The order in which cargo prefers versions: the precedence of SemVer 2 (section 11). Where only
 * build metadata differs SemVer knows no order and cargo needs one: no metadata comes first, the
 * rest goes by identifier as pre-releases do. Only equal texts are equal.
 */
export function compareVersions(a: Version, b: Version): number {
  const [left, right] = [versionParts(a), versionParts(b)]
  return (
    compareNumbers(left.major, right.major) ||
    compareNumbers(left.minor, right.minor) ||
    compareNumbers(left.patch, right.patch) ||
    comparePre(left.pre, right.pre) ||
    compareIdentifiers(left.build, right.build)
  )
}

/** A release comes after all its pre-releases. */
export function comparePre(a: string, b: string): number {
  if (a === '' || b === '') return Number(a === '') - Number(b === '')
  return compareIdentifiers(a, b)
}

/** Digits without leading zeros: the longer one is the larger one. */
export function compareNumbers(a: string, b: string): number {
  return a.length - b.length || compareTexts(a, b)
}

/** Identifiers between dots, from the left; a list that ends first comes first. */
function compareIdentifiers(a: string, b: string): number {
  const [left, right] = [identifiers(a), identifiers(b)]
  for (const [at, one] of left.entries()) {
    const other = right[at]
    if (other === undefined) return 1
    const order = compareIdentifier(one, other)
    if (order !== 0) return order
  }
  return left.length - right.length
}

function identifiers(text: string): string[] {
  return text === '' ? [] : text.split('.')
}

const DIGITS = /^[0-9]+$/

/** Numbers before words. Build metadata may have leading zeros: 1, 01, 2, as cargo has it. */
function compareIdentifier(a: string, b: string): number {
  const [isNumber, isOtherNumber] = [DIGITS.test(a), DIGITS.test(b)]
  if (isNumber !== isOtherNumber) return isNumber ? -1 : 1
  if (!isNumber) return compareTexts(a, b)
  return compareNumbers(withoutZeros(a), withoutZeros(b)) || a.length - b.length
}

function withoutZeros(digits: string): string {
  return digits.replace(/^0+/, '')
}

function compareTexts(a: string, b: string): number {
  if (a === b) return 0
  return a < b ? -1 : 1
}
