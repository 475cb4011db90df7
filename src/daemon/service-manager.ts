import { spawn } from 'node:child_process'

/** Whoever started the daemon and waits for its word: systemd, or nobody. */
export interface ServiceManager {
  ready(): void
  stopping(): void
}

/**
 * systemd's notifications, by its own `systemd-notify`: Node has no datagram sockets of the Unix kind.
 * The unit says `NotifyAccess=all`, for it is a child that speaks. With a watchdog it is told twice in
 * its time that the event loop turns; a process that hangs is silent, and started anew.
 */
export function serviceManager(env: Readonly<Record<string, string | undefined>>): ServiceManager {
  if (env['NOTIFY_SOCKET'] === undefined) return { ready: () => {}, stopping: () => {} }
  const watchdogMs = Number(env['WATCHDOG_USEC'] ?? 0) / 1000
  const timer =
    watchdogMs > 0 ? setInterval(() => notify('WATCHDOG=1'), watchdogMs / 2).unref() : undefined
  return {
    ready: () => notify('--ready'),
    stopping: () => {
      clearInterval(timer)
      notify('STOPPING=1')
    },
  }
}

/** That nobody could be told is for the manager to notice. */
function notify(what: string): void {
  spawn('systemd-notify', [what], { stdio: 'ignore' })
    .on('error', () => {})
    .unref()
}
