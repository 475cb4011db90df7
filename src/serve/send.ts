import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ServerHttp2Stream } from 'node:http2'
import type { Writable } from 'node:stream'
import type { Found } from './answer.ts'
import { isNotModified, type Part, partOf } from './conditions.ts'
import type { OpenFile } from './files.ts'
import type { Tally } from './metrics.ts'

/** How slowly a body may be taken: each piece has the grace and its own length at this rate. */
export interface Pace {
  readonly graceMs: number
  readonly bytesPerSecond: number
}

/** Sends a body, a part of it, or that the client has it; whatever happens its file is closed. */
export async function send(
  request: IncomingMessage,
  response: ServerResponse,
  answer: Found,
  { pace, tally }: { readonly pace: Pace; readonly tally: Tally },
): Promise<void> {
  await using file = answer.body instanceof Uint8Array ? undefined : answer.body
  const { etag, type, cache, body } = answer
  const size = body instanceof Uint8Array ? body.length : body.size
  response.setHeader('etag', etag)
  response.setHeader('cache-control', cache)
  if (answer.isPage) response.setHeader('content-security-policy', PAGE_POLICY)
  if (isNotModified(request.headers['if-none-match'], etag)) {
    response.writeHead(304).end()
    return
  }
  const part = partFor(request, answer, size)
  if (part === 'unsatisfiable') {
    response.setHeader('content-range', `bytes */${size}`)
    sendLine(request, response, { status: 416, line: 'range not satisfiable' })
    return
  }
  if (answer.hasRanges) response.setHeader('accept-ranges', 'bytes')
  response.setHeader('content-type', type)
  const { start, end } = part === 'whole' ? { start: 0, end: size } : part
  if (part !== 'whole') response.setHeader('content-range', `bytes ${start}-${end - 1}/${size}`)
  response.setHeader('content-length', end - start)
  response.writeHead(part === 'whole' ? 200 : 206)
  if (request.method === 'HEAD') {
    response.end()
  } else if (body instanceof Uint8Array) {
    tally.bytes += body.length
    response.end(body)
  } else if (file !== undefined) {
    await stream(file, response, { start, end }, { pace, tally })
  }
}

/** Everything from here, nothing inline, no frames. */
const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** A range is of GET alone (RFC 9110 14.2): HEAD tells of the whole. */
function partFor(
  { method, headers }: IncomingMessage,
  { hasRanges, etag }: Found,
  size: number,
): Part | 'whole' | 'unsatisfiable' {
  if (!hasRanges || method !== 'GET') return 'whole'
  const ifRange = headers['if-range']?.toString()
  return partOf(size, etag, { range: headers.range, ifRange })
}

/** A large buffer is faster; where many streams are under way, each has a small one. */
const PIECE_BYTES = 65_536
const SMALL_PIECE_BYTES = 16_384
const MANY_STREAMS = 64

let streams = 0

/**
 * Reads as fast as the client takes, a piece at a time into one buffer, so that a thousand who do
 * not read hold little. A file that shrinks under us ends the connection: a short body must not
 * look whole.
 */
async function stream(
  file: OpenFile,
  response: ServerResponse,
  part: Part,
  { pace, tally }: { readonly pace: Pace; readonly tally: Tally },
): Promise<void> {
  const expect = patience(response, pace)
  const out = writableOf(response)
  const most = streams < MANY_STREAMS ? PIECE_BYTES : SMALL_PIECE_BYTES
  const buffer = Buffer.allocUnsafeSlow(Math.min(most, part.end - part.start))
  streams += 1
  try {
    for (let at = part.start; at < part.end; at += buffer.length) {
      const piece = buffer.subarray(0, Math.min(buffer.length, part.end - at))
      await file.read(piece, at)
      expect(piece.length)
      tally.bytes += piece.length
      if (!(await isTaken(out, piece))) return
    }
    out.end()
  } finally {
    streams -= 1
  }
}

/** Whether the system has the bytes; a client that leaves is its own matter. */
async function isTaken(out: Writable, piece: Uint8Array): Promise<boolean> {
  return await new Promise(resolve => {
    const gone = (): void => resolve(false)
    out.once('close', gone)
    out.write(piece, error => {
      out.off('close', gone)
      resolve(error == null)
    })
  })
}

/** Of HTTP/2 the stream itself: its answer is not told when it is destroyed. */
function writableOf(response: ServerResponse): Writable {
  return 'stream' in response ? (response.stream as ServerHttp2Stream) : response
}

/** Drops a client that does not take what it was given in the time that the pace allows. */
function patience(response: ServerResponse, pace: Pace): (bytes: number) => void {
  let timer: NodeJS.Timeout | undefined
  response.once('close', () => clearTimeout(timer))
  return bytes => {
    clearTimeout(timer)
    const ms = pace.graceMs + (bytes * 1000) / pace.bytesPerSecond
    timer = setTimeout(() => response.destroy(), ms).unref()
  }
}

/** One line of text: cargo prints the body of an answer that it does not like. */
export function sendLine(
  request: IncomingMessage,
  response: ServerResponse,
  { status, line }: { readonly status: number; readonly line: string },
): void {
  const body = Buffer.from(`${line.replaceAll(/\p{Cc}+/gu, ' ')}\n`)
  response.setHeader('content-type', 'text/plain; charset=utf-8')
  response.setHeader('cache-control', 'no-store')
  response.setHeader('content-length', body.length)
  response.writeHead(status)
  response.end(request.method === 'HEAD' ? undefined : body)
}
