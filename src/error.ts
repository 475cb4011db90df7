/**
 * Why something cannot be done, in the words of the exit codes: `cli/report.ts` maps each to its
 * number, README explains them.
 */
export type ErrorCode =
  | 'unexpected'
  | 'incomplete'
  | 'damaged'
  | 'no-mirror'
  | 'signature'
  | 'expired'
  | 'rollback'
  | 'equivocation'
  | 'clock'
  | 'refused'
  | 'guard'
  | 'no-space'
  | 'io'
  | 'busy'
  | 'usage'

/**
 * The one base of every error that somebody can act on. The message says what, where, expected and
 * found, in lower case, without a full stop; `transient` says whether asking again may help.
 */
export class MirrorError extends Error {
  readonly code: ErrorCode
  readonly transient: boolean

  constructor(
    code: ErrorCode,
    message: string,
    options: { readonly cause?: unknown; readonly transient?: boolean } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = new.target.name
    this.code = code
    this.transient = options.transient ?? false
  }
}

/** Text from outside, made safe for a terminal: quoted, escaped, cut at 80 characters. */
export function quoted(text: string): string {
  const cut = text.length > 80 ? `${text.slice(0, 80)}…` : text
  return JSON.stringify(cut).replace(
    /[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g,
    character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
