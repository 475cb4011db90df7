import { errors } from 'undici'
import { MirrorError, quoted } from '../error.ts'
import { type Asked, codeOf } from './answer.ts'
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
  if (!at.isConnected) return new TransferCut(`cannot connect to ${place.origin}: ${why}`, error)
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
function reason(error: Error): string {
  const code = codeFrom(error)
  return code === undefined || code.startsWith('UND_') ? quoted(error.message) : code
}

function codeFrom(error: Error): string | undefined {
  const { code } = error as NodeJS.ErrnoException
  return typeof code === 'string' ? code : undefined
}
