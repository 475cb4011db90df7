import { readFileSync, readSync } from 'node:fs'
import { resolve } from 'node:path'
import { MirrorError } from '../error.ts'
import type { Context } from './context.ts'

export interface PassphraseOptions {
  readonly passphraseFile?: string
  readonly passphraseFd?: number
}

/** Longer than any passphrase is. */
const BYTES_MAX = 4096

/**
 * The passphrase of a key: the first line of a file or descriptor, else typed. Never an argument and
 * never the environment, which others on the machine can read. `twice` asks for it again: it is new.
 */
export async function readPassphrase(
  { cwd }: Pick<Context, 'cwd'>,
  of: string,
  options: PassphraseOptions,
  { twice = false }: { readonly twice?: boolean } = {},
): Promise<string> {
  const { passphraseFile, passphraseFd } = options
  if (passphraseFile !== undefined) return passphraseIn(resolve(cwd, passphraseFile))
  if (passphraseFd !== undefined)
    return firstLine(readAll(passphraseFd), `descriptor ${passphraseFd}`)
  if (process.stdin.isTTY !== true) {
    throw new MirrorError(
      'usage',
      `${of} needs a passphrase: give --passphrase-file FILE or --passphrase-fd N, or run it on a terminal`,
    )
  }
  const typed = await ask(`passphrase of ${of}: `)
  if (typed === '') throw new MirrorError('usage', 'an empty passphrase protects nothing')
  if (twice && (await ask('the same again: ')) !== typed) {
    throw new MirrorError('usage', 'the two passphrases differ')
  }
  return typed
}

/** The first line of a file. @throws {MirrorError} usage */
export function passphraseIn(file: string): string {
  let bytes: Uint8Array
  try {
    bytes = readFileSync(file)
  } catch (error) {
    throw new MirrorError('usage', `cannot read the passphrase file ${file}`, { cause: error })
  }
  return firstLine(bytes, file)
}

function firstLine(bytes: Uint8Array, from: string): string {
  const [line = ''] = Buffer.from(bytes).toString().split(/\r?\n/, 1)
  if (line !== '' && bytes.length <= BYTES_MAX) return line
  throw new MirrorError(
    'usage',
    `${from}: expected a passphrase, one line of at most ${BYTES_MAX} bytes`,
  )
}

function readAll(fd: number): Uint8Array {
  const buffer = Buffer.alloc(BYTES_MAX + 1)
  let length = 0
  try {
    for (;;) {
      const read = readSync(fd, buffer, length, buffer.length - length, null)
      length += read
      if (read === 0 || length === buffer.length) return buffer.subarray(0, length)
    }
  } catch (error) {
    throw new MirrorError('usage', `cannot read a passphrase from descriptor ${fd}`, {
      cause: error,
    })
  }
}

const [ENTER, LINE_FEED, CTRL_C, CTRL_D, BACKSPACE, DELETE] = [
  '\r',
  '\n',
  '\x03',
  '\x04',
  '\b',
  '\x7f',
]

/** Reads a line from the terminal and shows none of it. */
async function ask(prompt: string): Promise<string> {
  const { stdin, stderr } = process
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  let typed = ''
  const onText = (text: string): void => {
    for (const character of text) {
      if (character === CTRL_C) reject(new MirrorError('usage', 'no passphrase was given'))
      if (character === ENTER || character === LINE_FEED || character === CTRL_D) resolve(typed)
      if (character === BACKSPACE || character === DELETE) typed = [...typed].slice(0, -1).join('')
      else typed += character
    }
  }
  // before the prompt: who types at once must not be shown
  stdin.setRawMode(true)
  stdin.setEncoding('utf8').on('data', onText).resume()
  stderr.write(prompt)
  try {
    return await promise
  } finally {
    stdin.off('data', onText).pause()
    stdin.setRawMode(false)
    stderr.write('\n')
  }
}
