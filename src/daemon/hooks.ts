import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { HookEvent } from './events.ts'

/** Whom to tell, and of what. */
export interface Hooks {
  readonly command: readonly string[]
  readonly webhook: string | undefined
  /** None: all. */
  readonly events: readonly HookEvent[]
}

/** What happened: JSON for whoever is told. */
export interface Happening {
  readonly event: HookEvent
  readonly at: string
  /** One line for people. */
  readonly message: string
  readonly [fact: string]: unknown
}

const PATIENCE_MS = 30_000

/** Tells; that somebody could not be told is a line of the log, and nothing else. */
export async function tell(
  hooks: Hooks,
  happening: Happening,
  log: (line: string) => void,
): Promise<void> {
  const { event } = happening
  if (hooks.events.length > 0 && !hooks.events.includes(event)) return
  const body = JSON.stringify(happening)
  const failed = (whom: string) => (error: unknown) =>
    log(`hook ${event}: ${whom} was not told (${(error as Error).message})`)
  const { command, webhook } = hooks
  await Promise.all([
    command.length > 0 && run(command, event, body).catch(failed(command[0] ?? '')),
    webhook !== undefined && post(webhook, body).catch(failed(new URL(webhook).host)),
  ])
}

async function run([program = '', ...args]: readonly string[], event: string, body: string) {
  const child = spawn(program, args, {
    stdio: ['pipe', 'ignore', 'inherit'],
    env: { ...process.env, CRATEFERRY_EVENT: event },
    timeout: PATIENCE_MS,
  })
  // one that does not read what it is told is none the worse
  child.stdin?.on('error', () => {}).end(`${body}\n`)
  const [exit, signal] = await once(child, 'exit')
  if (exit !== 0) throw new Error(signal === null ? `exit ${exit}` : `ended by ${signal}`)
}

async function post(url: string, body: string): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const signal = AbortSignal.timeout(PATIENCE_MS)
  const response = await fetch(url, { method: 'POST', headers, body, redirect: 'error', signal })
  await response.body?.cancel()
  if (!response.ok) throw new Error(`status ${response.status}`)
}
