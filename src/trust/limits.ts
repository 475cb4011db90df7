import { MirrorError } from '../error.ts'

/** How much of each kind may come from outside. Sizes are of decoded bytes, cut while they stream. */
export const LIMITS = {
  /** The defaults of python-tuf and tuf-js; nothing states the length of these two. */
  root: 512_000,
  timestamp: 16_384,
  /** Where the parent states a length, it counts, up to `most`. */
  snapshot: { unstated: 2_000_000, most: 8_000_000 },
  targets: { unstated: 5_000_000, most: 64_000_000 },
  /** At the limit a refresh goes on with what it has; the next one continues (TUF 5.3.3). */
  rootsPerCycle: 1024,
  keys: 1024,
  signatures: 1024,
  /** Roles that one role names, and so bins of 16 bits. */
  delegations: 65_536,
  binBits: 16,
  rolesPerSearch: 32,
  depth: 64,
} as const

/** How many bytes to ask for, given the length that the parent states, if any. */
export function bytesMax(
  file: string,
  stated: number | undefined,
  limit: { readonly unstated: number; readonly most: number },
): number {
  if (stated === undefined) return limit.unstated
  if (stated <= limit.most) return stated
  throw new MirrorError('refused', `${file}: ${stated} bytes stated, at most ${limit.most} allowed`)
}
