import type { ConnectionLimits } from './connections.ts'
import type { Pace } from './send.ts'

/** How long a client may take, and how many there may be. Tests shorten them. */
export interface ServeLimits extends ConnectionLimits {
  readonly headersMs: number
  readonly requestMs: number
  readonly keepAliveMs: number
  /** A client that neither reads nor sends is dropped after this. */
  readonly silentMs: number
  readonly pace: Pace
  readonly drainMs: number
}

export const LIMITS: ServeLimits = {
  headersMs: 10_000,
  requestMs: 20_000,
  keepAliveMs: 15_000,
  silentMs: 60_000,
  pace: { graceMs: 30_000, bytesPerSecond: 1024 },
  checkMs: 1000,
  drainMs: 10_000,
  connections: 1024,
  connectionsPerAddress: 256,
  stalledMs: 1000,
}
