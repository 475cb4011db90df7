import type { IncomingMessage } from 'node:http'
import type { Http2ServerRequest } from 'node:http2'

/** Why a request is refused whatever it asks for; its connection is closed with the answer. */
export interface Refusal {
  readonly status: 400 | 405
  readonly line: string
}

const METHOD: Refusal = { status: 405, line: 'only GET and HEAD are answered' }
const PROTOCOL: Refusal = { status: 400, line: 'bad request: HTTP/1.1 is expected' }
const HOST: Refusal = { status: 400, line: 'bad request: exactly one Host header is expected' }
const BODY: Refusal = { status: 400, line: 'bad request: a body is not expected' }

/** Judged by the head alone. Undefined: nothing is wrong with it. */
export function refusalOf(request: IncomingMessage): Refusal | undefined {
  const { method, httpVersion } = request
  if (method !== 'GET' && method !== 'HEAD') return METHOD
  if (httpVersion === '2.0') return refusalOfStream(request as unknown as Http2ServerRequest)
  const isOld = httpVersion === '1.0' && method === 'GET'
  if (httpVersion !== '1.1' && !isOld) return PROTOCOL
  const hosts = hostsOf(request)
  if (hosts > 1 || (hosts === 0 && !isOld)) return HOST
  return hasBody(request) ? BODY : undefined
}

/** HTTP/2 says which host in a field of its own (RFC 9113 8.3.1), and whether a body follows. */
function refusalOfStream({ authority, stream }: Http2ServerRequest): Refusal | undefined {
  if (authority === undefined || authority === '') return HOST
  return stream.endAfterHeaders ? undefined : BODY
}

/** Node keeps the first of several and says nothing of the others; the raw list has them all. */
function hostsOf({ rawHeaders }: IncomingMessage): number {
  return rawHeaders.filter((text, at) => at % 2 === 0 && text.toLowerCase() === 'host').length
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'
}
