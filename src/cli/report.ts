import { type ErrorCode, MirrorError } from '../error.ts'

/** Exit codes are an interface: README, `--help` and tests name them. */
export const EXIT: Record<ErrorCode, number> = {
  unexpected: 1,
  incomplete: 3,
  damaged: 4,
  'no-mirror': 10,
  signature: 11,
  expired: 12,
  rollback: 13,
  equivocation: 14,
  clock: 15,
  refused: 16,
  guard: 17,
  'no-space': 20,
  io: 21,
  busy: 30,
  usage: 64,
}

export const EXIT_WORDS: readonly (readonly [number, string])[] = [
  [0, 'done, or nothing to do'],
  [1, 'unexpected: please report it'],
  [3, 'incomplete, or crates are held: run again'],
  [4, 'damaged bytes here: verify --repair'],
  [10, 'no mirror here, or not this one'],
  [11, 'a signature, threshold or hash is wrong'],
  [12, 'metadata has expired'],
  [13, 'rollback: older than what was accepted before'],
  [14, 'equivocation: one version, two contents'],
  [15, 'the clock is behind what was seen before'],
  [16, 'refused: not of the expected form'],
  [17, 'a guard stopped it: it would remove or change too much'],
  [20, 'no space left'],
  [21, 'the disk or the system failed'],
  [30, 'busy: another process has the mirror'],
  [64, 'wrong usage or configuration'],
]

/** The one line for a failure, and its exit code. Stack traces only with CRATEFERRY_DEBUG=1. */
export function failure(
  error: unknown,
  env: Readonly<Record<string, string | undefined>>,
): { readonly line: string; readonly exit: number } {
  const known = error instanceof MirrorError
  const exit = known ? EXIT[error.code] : EXIT.unexpected
  const message = error instanceof Error ? error.message : String(error)
  const because =
    known && error.cause instanceof Error ? ` (${firstLine(error.cause.message)})` : ''
  const line = `crateferry: ${known ? '' : 'unexpected: '}${firstLine(message)}${because}`
  if (env['CRATEFERRY_DEBUG'] !== '1' || !(error instanceof Error)) return { line, exit }
  return { line: `${line}\n${error.stack ?? ''}`, exit }
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? ''
}

/** Of what nobody upstream has signed, wherever it is shown. */
export const OBSERVED = 'observed over TLS, not signed upstream'
