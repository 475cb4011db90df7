import type { CrateName } from './crate-name.ts'
import type { Version } from './version.ts'

/** `tokio-*` or `serde@1.*`: the crates, or the versions of them, that a rule is about. */
export interface CratePattern {
  readonly text: string
  /** In lower case. */
  readonly name: string
  /** Whether it names one crate: it has no `*` and no `?` before the `@`. */
  readonly isExact: boolean
  /** Undefined: every version. */
  readonly version: string | undefined
}

const FORM = /^[A-Za-z0-9_*?-]{1,64}(?:@[0-9A-Za-z.+*?-]{1,250})?$/

/** `*` stands for any characters, `?` for one; undefined where no crate could have such a name. */
export function parseCratePattern(text: string): CratePattern | undefined {
  if (!FORM.test(text)) return undefined
  const [name = '', version] = text.split('@')
  return { text, name: name.toLowerCase(), isExact: !/[*?]/.test(name), version }
}

/** The case of a name does not count: no two crates differ in nothing else. */
export function matchesName({ name }: CratePattern, crate: CrateName): boolean {
  return matchesGlob(name, crate.toLowerCase())
}

export function matchesVersion({ version: glob }: CratePattern, version: Version): boolean {
  return glob === undefined || matchesGlob(glob, version)
}

/** Only the last `*` is ever widened: that suffices, and no pattern takes longer than its product. */
function matchesGlob(glob: string, text: string): boolean {
  let [at, from] = [0, 0]
  let star = -1
  let starFrom = 0
  while (from < text.length) {
    if (glob[at] === '*') {
      star = at
      starFrom = from
      at += 1
    } else if (glob[at] === '?' || glob[at] === text[from]) {
      at += 1
      from += 1
    } else if (star >= 0) {
      starFrom += 1
      from = starFrom
      at = star + 1
    } else return false
  }
  return /^\**$/.test(glob.slice(at))
}
