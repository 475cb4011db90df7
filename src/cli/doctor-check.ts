import type { Config } from '../config.ts'
import type { Mirror } from '../store/mirror.ts'
import type { Context } from './context.ts'
import { failure } from './report.ts'

/** One line of the doctor's: what was looked at, how it is, and what to do where it is not well. */
export interface Check {
  readonly name: string
  readonly state: 'ok' | 'warn' | 'fail'
  readonly what: string
  /** With which code the doctor ends where this is the first that failed. */
  readonly exit?: number
}

/** What is looked at. */
export interface Patient {
  readonly context: Context
  readonly mirror: Mirror
  readonly config: Config
}

export const ok = (name: string, what: string): Check => ({ name, state: 'ok', what })
export const warn = (name: string, what: string): Check => ({ name, state: 'warn', what })

/** An error as the command that would meet it tells it. */
export function failed(name: string, error: unknown, env: Context['env']): Check {
  const { exit, line } = failure(error, env)
  return { name, state: 'fail', what: line.replace(/^crateferry: /, ''), exit }
}
