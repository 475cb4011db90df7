import { setTimeout as sleep } from 'node:timers/promises'
import { isHttpDate } from './http-date.ts'

/** How long the client waits for what. All of it can be made short, so that tests run the real one. */
export interface HttpTimes {
  readonly connectMs: number
  /** From the request to the first byte of its answer's head. */
  readonly headersMs: number
  /** Between two pieces of a body. */
  readonly bodyMs: number
  /** For the whole of a metadata file, a tile, an index file. */
  readonly requestMs: number
  /** An artifact has no deadline, but in every window this many bytes a second must come. */
  readonly floorBytesPerSecond: number
  readonly floorWindowMs: number
  /** The first wait between two tries; it doubles up to the most. */
  readonly backoffMs: number
  readonly backoffMsMax: number
  /** A host that asks for more patience than this is done for the run. */
  readonly retryAfterMsMax: number
}

export const HTTP_TIMES: HttpTimes = {
  connectMs: 10_000,
  headersMs: 30_000,
  bodyMs: 30_000,
  requestMs: 60_000,
  floorBytesPerSecond: 1024,
  floorWindowMs: 30_000,
  backoffMs: 500,
  backoffMsMax: 60_000,
  retryAfterMsMax: 600_000,
}

/** The wait after a failed attempt (1, 2, …), doubling, with jitter between a half and the whole. */
export function backoff(
  attempt: number,
  times: Pick<HttpTimes, 'backoffMs' | 'backoffMsMax'>,
  random: () => number,
): number {
  return Math.min(times.backoffMs * 2 ** (attempt - 1), times.backoffMsMax) * (0.5 + random() / 2)
}

/** Whole seconds, or a date ahead of us (RFC 9110 10.2.3); anything else says nothing. */
export function retryAfter(value: unknown, now: Date): number | undefined {
  if (typeof value !== 'string') return undefined
  if (/^\d{1,12}$/.test(value)) return Number(value) * 1000
  const ms = isHttpDate(value) ? Date.parse(value) - now.getTime() : Number.NaN
  return ms >= 0 ? ms : undefined
}

/** Rejects with the signal's own reason, as everything here does. */
export async function wait(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await sleep(ms, undefined, { signal })
  } catch (error) {
    signal.throwIfAborted()
    throw error
  }
}
