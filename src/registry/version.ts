/** A version exactly as published, build metadata included: `110.0.0+1.1.0f` is not `110.0.0`. */
export type Version = string & { readonly __brand: 'Version' }

const NUMBER = '(?:0|[1-9][0-9]*)'
const PRE = '(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)'
const BUILD = '[0-9A-Za-z-]+'
const VERSION = new RegExp(
  `^${NUMBER}\\.${NUMBER}\\.${NUMBER}(?:-${PRE}(?:\\.${PRE})*)?(?:\\+${BUILD}(?:\\.${BUILD})*)?$`,
)

/** The version, or undefined where it is not SemVer 2 or too long for any file name. */
export function parseVersion(text: unknown): Version | undefined {
  if (typeof text !== 'string' || text.length > 250 || !VERSION.test(text)) return undefined
  return text as Version
}
