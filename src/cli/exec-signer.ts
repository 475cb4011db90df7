import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { MirrorError, quoted } from '../error.ts'
import type { KeySignature, Signer } from '../trust/signer.ts'

const TIME_MS = 60_000
/** A signature and its key id are a few hundred bytes. */
const ANSWER_BYTES_MAX = 65_536

/**
 * A program that signs: a key service, a hardware module, a smart card. It gets the bytes to sign on
 * its standard input and prints `{"keyid":"…","sig":"…"}`. Split at spaces, no shell. What it answers
 * counts only if the key that the root lists under that id verifies it.
 */
export function execSigner(command: string, what: string): Signer {
  return { keyid: undefined, signature: bytes => run(command, bytes, what) }
}

async function run(command: string, bytes: Uint8Array, what: string): Promise<KeySignature> {
  const [program = '', ...args] = command.split(' ').filter(word => word !== '')
  const running = promisify(execFile)(program, args, {
    timeout: TIME_MS,
    killSignal: 'SIGKILL',
    maxBuffer: ANSWER_BYTES_MAX,
  })
  // one that does not read its input ends with an error of its own
  running.child.stdin?.on('error', () => {})
  running.child.stdin?.end(bytes)
  try {
    const { stdout } = await running
    return readAnswer(stdout)
  } catch (error) {
    throw new MirrorError('io', `${what}: ${program} ${whyOf(error)}`, { cause: error })
  }
}

/** How a program ended, and what it said last of it. */
function whyOf(error: unknown): string {
  const { code, signal, killed, stderr, message } = error as Error & {
    readonly code?: number | string | null
    readonly signal?: string | null
    readonly killed?: boolean
    readonly stderr?: string
  }
  if (error instanceof AnswerRefused) return message
  if (code === 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER') {
    return `printed more than ${ANSWER_BYTES_MAX} bytes`
  }
  if (killed === true) return `did not end within ${TIME_MS / 1000} s`
  const last = stderr?.trimEnd().split('\n').at(-1) ?? ''
  const said = last === '' ? '' : `: ${quoted(last)}`
  if (typeof signal === 'string') return `was ended by ${signal}${said}`
  return typeof code === 'number' ? `ended with ${code}${said}` : 'cannot be run'
}

class AnswerRefused extends Error {}

function readAnswer(text: string): KeySignature {
  const isHex = (value: unknown): value is string =>
    typeof value === 'string' && /^(?:[0-9a-f]{2})+$/i.test(value)
  const { keyid, sig } = parsed(text)
  if (isHex(keyid) && isHex(sig)) return { keyid, sig }
  throw new AnswerRefused(
    `answered ${quoted(text)}, expected {"keyid":"…","sig":"…"} with hex digits`,
  )
}

function parsed(text: string): { readonly keyid?: unknown; readonly sig?: unknown } {
  try {
    return (JSON.parse(text) ?? {}) as { readonly keyid?: unknown; readonly sig?: unknown }
  } catch {
    return {}
  }
}
