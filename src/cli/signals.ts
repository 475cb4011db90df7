import { MirrorError } from '../error.ts'

/**
 * The one place that listens to signals: the first asks everything to stop, keeping what came; the
 * second ends the process at once, which is safe as well.
 */
export function stopOnSignals(): AbortController {
  const stop = new AbortController()
  const onSignal = (name: NodeJS.Signals): void => {
    if (stop.signal.aborted) process.exit(130)
    stop.abort(new MirrorError('incomplete', `stopped by ${name}; what came is kept, run it again`))
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  return stop
}
