import { errors } from 'undici'
import { MirrorError, quoted } from '../error.ts'
import { type Asked, codeOf } from './asked.ts'
import { Garbled, TransferCut, WrongForm } from './faults.ts'
import { LIMITS } from './limits.ts'
import { type Place, shown } from './url-policy.ts'

/** How far an exchange had come when it failed. */
export interface Progress {
  readonly isConnected: boolean
  readonly hasHead: boolean
  readonly received: number
}

/** Errors of undici, of its parser and of Node's sockets, under our own names. */
export function named(error: Error, asked: Asked, place: Place, at: Progress): MirrorError {
  if (error instanceof MirrorError) return error
  const why = reason(error)
  if (!at.isConnected) return unconnected(place.origin, error)
  if (error instanceof errors.HeadersOverflowError) {
    const message = `${shown(place)}: more than ${LIMITS.headerBytes} bytes of headers`
    return new WrongForm('incomplete', message, { cause: error })
  }
  if (at.hasHead) {
    return new TransferCut(`${shown(place)}: cut after ${at.received} bytes (${why})`, error)
  }
  if (isGarbled(error)) {
    const options = { cause: error, transient: true }
    return new Garbled(codeOf(asked), `${shown(place)}: not HTTP/1.1 (${why})`, options)
  }
  return new TransferCut(`${shown(place)}: no answer (${why})`, error)
}

/** No connection to an origin, or to a proxy, came about. */
export function unconnected(to: string, error: Error): TransferCut {
  const why = reason(error)
  const because = UNTRUSTED.has(why)
    ? `its certificate is not trusted (${why}); give its CA as upstream.ca-file`
    : why
  return new TransferCut(`cannot connect to ${to}: ${because}`, error)
}

/** OpenSSL's words for a chain that ends in nobody we know: what another CA would mend. */
const UNTRUSTED: ReadonlySet<string> = new Set([
  'CERT_UNTRUSTED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
])

/** Whether a connection ended under a request, as one that was kept too long does. */
export function isSocketClosed(error: Error): boolean {
  return (error instanceof errors.SocketError && !isGarbled(error)) || 'syscall' in error
}

/** Told by class, since some have no code; a failed assertion is undici's word for status 000. */
function isGarbled(error: Error): boolean {
  return (
    error instanceof errors.HTTPParserError ||
    error instanceof errors.ResponseContentLengthMismatchError ||
    codeFrom(error) === 'ERR_ASSERTION' ||
    (error instanceof errors.SocketError && error.message.startsWith('bad '))
  )
}

/** Node's messages may hold text from outside, such as a certificate's: its codes say enough. */
export function reason(error: Error): string {
  const code = codeFrom(error)
  return code === undefined || code.startsWith('UND_') ? quoted(error.message) : code
}

function codeFrom(error: Error): string | undefined {
  const { code } = error as NodeJS.ErrnoException
  return typeof code === 'string' ? code : undefined
}
