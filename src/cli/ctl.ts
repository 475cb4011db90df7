import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Config } from '../config.ts'
import { askControl, VERBS, type Verb } from '../daemon/control.ts'
import { MirrorError } from '../error.ts'
import { STATE } from '../store/layout.ts'
import type { RunRecord } from '../store/runs.ts'
import { type Context, mirrorFolder, openConfigured } from './context.ts'
import { runLine } from './runs.ts'

/** `crateferry ctl VERB`: asks the daemon of this mirror. */
export async function ctlCommand(context: Context, word: string): Promise<number> {
  const verb = VERBS.find(one => one === word)
  if (verb === undefined) {
    throw new MirrorError('usage', `"${word}" is not one of ${VERBS.join(', ')}`)
  }
  const answer = await askControl(await socketOf(context), verb)
  if (answer['ok'] !== true) throw new MirrorError('usage', `${answer['error'] ?? 'refused'}`)
  context.out.result(answer, linesOf(verb, answer))
  return 0
}

function linesOf(verb: Verb, answer: Readonly<Record<string, unknown>>): string[] {
  if (verb === 'runs') return (answer['runs'] as RunRecord[]).map(runLine)
  const { isPaused, running, nextSync, configError } = answer as {
    isPaused?: boolean
    running?: { job: string; since: string }
    nextSync?: string
    configError?: string
  }
  const what = running === undefined ? 'idle' : `${running.job} since ${running.since}`
  return [
    isPaused ? `${what}, paused` : what,
    nextSync === undefined ? 'no sync is planned' : `next sync ${nextSync}`,
    ...(configError === undefined ? [] : [`configuration not taken: ${configError}`]),
  ]
}

/** A configuration that is broken must not keep anybody from asking the daemon about it. */
async function socketOf(context: Context): Promise<string> {
  try {
    const { mirror, config } = await openConfigured(context)
    return controlSocket(mirror.root, config)
  } catch (error) {
    const socket = join(mirrorFolder(context), STATE, 'control.sock')
    if (existsSync(socket)) return socket
    throw error
  }
}

/** Where who asks and who answers meet. */
export function controlSocket(root: string, { serve }: Config): string {
  return resolve(root, serve.control ?? join(STATE, 'control.sock'))
}
