import type { DaemonStatus } from '../serve/status.ts'
import { stamp } from '../sync/run.ts'
import type { Jobs } from './daemon-jobs.ts'

/** What a daemon is doing, for who operates it: with why the configuration file is not the one in force. */
export interface DaemonState extends Omit<DaemonStatus, 'isConfigBroken'> {
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
