import { MirrorError } from '../error.ts'
import { HostGone } from '../upstream/faults.ts'

/**
 * Whether an error is a verdict on one crate: its bytes could not be had, or are not right, while
 * the host serves others. Everything else (a host that is gone, our disk, an abort) ends the run.
 */
export function isVerdict(error: unknown, signal: AbortSignal): error is MirrorError {
  if (!(error instanceof MirrorError) || error instanceof HostGone || signal.aborted) return false
  return error.code === 'incomplete' || error.code === 'refused'
}
