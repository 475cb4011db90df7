import { stamp } from '../sync/run.ts'
import type { Jobs } from './daemon-jobs.ts'

/** What a daemon is doing, for people and machines. */
export interface DaemonState {
  readonly isPaused: boolean
  readonly running?: {
    readonly job: string
    readonly since: string
    readonly phase?: string
    readonly artifacts?: number
    readonly artifactsDone?: number
    readonly bytes?: number
  }
  /** When a sync is expected, by schedule, windows and back-off. */
  readonly nextSync?: string
  /** How often in a row a sync failed for a passing reason. */
  readonly failures: number
  /** Why the configuration file is not the one in force. */
  readonly configError?: string
}

export function daemonState(jobs: Jobs, now: Date, configError: string | undefined): DaemonState {
  const { agenda, running } = jobs
  const next = agenda.expectedAt(now)
  const { phase, artifacts, artifactsDone, bytes } = running?.progress ?? {}
  return {
    isPaused: agenda.isPaused,
    ...(running && {
      running: {
        job: running.job,
        since: stamp(running.since),
        ...(phase && { phase, artifacts, artifactsDone, bytes }),
      },
    }),
    ...(next && { nextSync: stamp(next) }),
    failures: agenda.failures,
    ...(configError !== undefined && { configError }),
  } as DaemonState
}
