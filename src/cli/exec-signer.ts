import { spawn } from 'node:child_process'
import { buffer } from 'node:stream/consumers'
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
  const fail = (why: string, cause?: unknown): MirrorError =>
    new MirrorError('io', `${what}: ${program} ${why}`, { cause })
  const child = spawn(program, args, {
    stdio: ['pipe', 'pipe', 'inherit'],
    timeout: TIME_MS,
    killSignal: 'SIGKILL',
  })
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) =>
      signal === null ? resolve(code) : reject(fail(`did not end within ${TIME_MS / 1000} s`)),
    )
  })
  // one that does not read its input ends with an error of its own
  child.stdin.on('error', () => {})
  child.stdin.end(bytes)
  try {
    const [code, answer] = await Promise.all([ended, buffer(child.stdout)])
    if (code !== 0) throw fail(`ended with ${code}`)
    return readAnswer(answer, fail)
  } catch (error) {
    throw error instanceof MirrorError ? error : fail('cannot be run', error)
  }
}

function readAnswer(answer: Uint8Array, fail: (why: string) => MirrorError): KeySignature {
  const text = Buffer.from(answer).toString()
  const expected = 'expected {"keyid":"…","sig":"…"} with hex digits'
  if (answer.length > ANSWER_BYTES_MAX) throw fail(`answered ${answer.length} bytes, ${expected}`)
  try {
    const { keyid, sig } = JSON.parse(text) as Record<string, unknown>
    const isHex = (value: unknown): value is string =>
      typeof value === 'string' && /^(?:[0-9a-f]{2})+$/i.test(value)
    if (isHex(keyid) && isHex(sig)) return { keyid, sig }
  } catch {
    // told below
  }
  throw fail(`answered ${quoted(text)}, ${expected}`)
}
