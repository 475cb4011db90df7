import { readFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { join } from 'node:path'
import type { Pace } from './pace.ts'

/**
 * What the loopback upstream does wrong on request. Parts are fractions of the body sent, from 0
 * to 1. Each acts on one answer; the connections of other requests are left alone.
 */
export type Fault =
  /** The body ends after a part of it, by FIN unless told RST, under its full Content-Length. */
  | { readonly kind: 'cut'; readonly at: number; readonly by?: 'fin' | 'rst' }
  /** The head and a part of the body (none unless told), then silence. */
  | { readonly kind: 'stall'; readonly at?: number }
  /** No answer at all; the connection stays open. */
  | { readonly kind: 'hang' }
  /** No answer at all; the connection ends. */
  | { readonly kind: 'close' }
  /** Content-Length says so many bytes more (then the connection ends), or fewer, than come. */
  | { readonly kind: 'length'; readonly by: number }
  /** One bit of the byte in the middle is another; length and range are right. */
  | { readonly kind: 'flip' }
  /** A status with headers and a short text: 404, 503 with Retry-After, 302 with Location. */
  | {
      readonly kind: 'status'
      readonly status: number
      readonly headers?: Readonly<Record<string, string>>
    }
  /** A range is answered by the range that begins so many bytes later, and says so. */
  | { readonly kind: 'shifted'; readonly by: number }
  /** A range is answered by 200 and the whole. */
  | { readonly kind: 'no-ranges' }
  /** The bytes of another file of the folder, whole and well-formed. */
  | { readonly kind: 'other-file'; readonly path: string }
  /** An HTML page with 200, as a captive portal has for everybody. */
  | { readonly kind: 'page' }
  /** So many bytes of body a second, shared by the answers that this fault meets. */
  | { readonly kind: 'slow'; readonly bytesPerSecond: number }

/** What a request is answered with, if nothing goes wrong on the way. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

/** An honest answer as the fault would have it, whatever it was made from. */
export function spoiled(answer: Answer, fault: Fault | undefined): Answer {
  const framed = answer.status === 304 ? answer : promising(answer, answer.body.length)
  switch (fault?.kind) {
    case 'status':
      return text(fault.status, `status ${fault.status}, as the test wanted\n`, {
        ...fault.headers,
      })
    case 'page':
      return text(200, PAGE, { 'content-type': 'text/html' })
    case 'flip':
      return { ...framed, body: flipped(framed.body) }
    case 'length':
      return promising(answer, answer.body.length + fault.by)
    default:
      return framed
  }
}

/** The answer as the folder has it, or as the fault would have it. */
export async function answerFrom(
  folder: string,
  { path, range }: { readonly path: string; readonly range: string | undefined },
  fault: Fault | undefined,
): Promise<Answer> {
  if (fault?.kind === 'status') {
    const { status, headers } = fault
    return text(status, `status ${status}, as the test wanted\n`, { ...headers })
  }
  if (fault?.kind === 'page') return text(200, PAGE, { 'content-type': 'text/html' })
  const bytes = await fileAt(folder, fault?.kind === 'other-file' ? fault.path : path)
  if (bytes === undefined) return text(404, `${path} is not in the folder\n`, {})
  if (fault?.kind === 'no-ranges') return whole(bytes)
  const answer = part(bytes, range, fault?.kind === 'shifted' ? fault.by : 0)
  if (fault?.kind === 'flip') return { ...answer, body: flipped(answer.body) }
  if (fault?.kind === 'length') return promising(answer, answer.body.length + fault.by)
  return answer
}

/** Sends the answer, or as much of it as the fault lets through. */
export async function deliver(
  response: ServerResponse,
  { status, headers, body }: Answer,
  { fault, paces }: { readonly fault: Fault | undefined; readonly paces: readonly Pace[] },
): Promise<void> {
  if (fault?.kind === 'hang') return
  if (fault?.kind === 'close') {
    response.socket?.destroy()
    return
  }
  response.writeHead(status, headers)
  response.flushHeaders()
  const isPartial = fault?.kind === 'cut' || fault?.kind === 'stall'
  const end = isPartial ? Math.floor(body.length * (fault.at ?? 0)) : body.length
  await write(response, body.subarray(0, end), paces)
  if (fault?.kind === 'stall') return
  if (fault?.kind === 'cut' && fault.by === 'rst') response.socket?.resetAndDestroy()
  else if (fault?.kind === 'cut' || fault?.kind === 'length') response.socket?.end()
  else response.end()
}

const PAGE = '<html><body>Welcome. Please accept our terms to go online.</body></html>\n'

function text(status: number, words: string, headers: Record<string, string>): Answer {
  const body = Buffer.from(words)
  return promising({ status, headers, body }, body.length)
}

function whole(body: Buffer): Answer {
  return promising({ status: 200, headers: { 'accept-ranges': 'bytes' }, body }, body.length)
}

/** One range, as RFC 9110 14 has it; what is none of its three forms is as if it were not there. */
function part(bytes: Buffer, range: string | undefined, shift: number): Answer {
  const match = /^bytes=(\d*)-(\d*)$/.exec(range ?? '')
  const [, from = '', to = ''] = match ?? []
  if (from === '' && to === '') return whole(bytes)
  const last = bytes.length - 1
  const first = from === '' ? Math.max(0, bytes.length - Number(to)) : Number(from)
  const end = from === '' || to === '' ? last : Math.min(Number(to), last)
  if (first > end)
    return text(416, 'no such range\n', { 'content-range': `bytes */${bytes.length}` })
  const start = Math.min(first + shift, end)
  const headers = { 'content-range': `bytes ${start}-${end}/${bytes.length}` }
  const body = bytes.subarray(start, end + 1)
  return promising({ status: 206, headers, body }, body.length)
}

function promising(answer: Answer, length: number): Answer {
  return { ...answer, headers: { ...answer.headers, 'content-length': String(length) } }
}

function flipped(body: Buffer): Buffer {
  const copy = Buffer.from(body)
  const middle = copy.length >> 1
  copy[middle] = (copy[middle] ?? 0) ^ 1
  return copy
}

/** The file's bytes; nothing for a folder, for what is not there, and for what leads out. */
async function fileAt(folder: string, path: string): Promise<Buffer | undefined> {
  const name = decodeURIComponent(path.split('?', 1)[0] ?? '')
  if (name.split('/').includes('..')) return undefined
  try {
    return await readFile(join(folder, name))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EISDIR') return undefined
    throw error
  }
}

/** In one piece, or where it is paced in pieces; a client that left ends it. */
async function write(
  response: ServerResponse,
  body: Buffer,
  paces: readonly Pace[],
): Promise<void> {
  const size = Math.min(body.length, ...paces.map(pace => pace.pieceBytes))
  for (let at = 0; at < body.length && !response.destroyed; at += size) {
    const piece = body.subarray(at, at + size)
    for (const pace of paces) await pace.take(piece.length)
    await new Promise<void>(sent => response.write(piece, () => sent()))
  }
}
