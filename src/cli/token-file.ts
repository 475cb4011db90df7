import { readFileSync } from 'node:fs'
import { MirrorError, quoted } from '../error.ts'

/** One line of what a header may hold: a control character would end it. */
const TOKEN = /^[\x21-\x7e](?:[\x20-\x7e]{0,4094}[\x21-\x7e])?$/

/** The token that `upstream.token-file` names. No message shows any of it. */
export function readTokenFile(file: string): string {
  let token: string
  try {
    token = readFileSync(file, 'latin1').trim()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw unusable(file, `cannot be read (${code ?? 'no reason given'})`)
  }
  if (!TOKEN.test(token)) throw unusable(file, 'is not one line of at most 4,096 plain characters')
  return token
}

function unusable(file: string, fault: string): MirrorError {
  return new MirrorError('usage', `upstream.token-file: ${quoted(file)} ${fault}`)
}
