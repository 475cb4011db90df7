import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { MirrorReader } from '../store/reader.ts'
import { type Answer, Answers } from './answers.ts'
import { isNotModified, type Part, partOf } from './conditions.ts'
import type { OpenFile } from './files.ts'
import { routeOf } from './routes.ts'

export interface ServeOptions {
  readonly reader: MirrorReader
  readonly listen: { readonly host: string; readonly port: number }
  /** What config.json says; on loopback the server answers its own address instead. */
  readonly url: string
  readonly log: (line: string) => void
  readonly limits?: Partial<ServeLimits>
}

/** How long a client may take, and how many there may be. */
interface ServeLimits {
  readonly headersMs: number
  readonly requestMs: number
  readonly keepAliveMs: number
  /** A client that neither reads nor sends is dropped after this. */
  readonly silentMs: number
  readonly checkMs: number
  readonly drainMs: number
  readonly connections: number
  readonly connectionsPerAddress: number
}

const LIMITS: ServeLimits = {
  headersMs: 10_000,
  requestMs: 20_000,
  keepAliveMs: 15_000,
  silentMs: 60_000,
  checkMs: 1000,
  drainMs: 10_000,
  connections: 1024,
  connectionsPerAddress: 64,
}

export interface RunningServer extends AsyncDisposable {
  readonly port: number
  readonly url: string
  /** Idle connections end now, busy ones within ten seconds. */
  close(): Promise<void>
}

/** The registry for cargo and for mirrors further down. It has no upgrade listener: cargo asks for h2c. */
export async function startServer(options: ServeOptions): Promise<RunningServer> {
  const limits = { ...LIMITS, ...options.limits }
  const { host } = options.listen
  let url = options.url
  const answers = new Answers(options.reader, { url: () => url })
  const server = createServer(
    {
      headersTimeout: limits.headersMs,
      requestTimeout: limits.requestMs,
      keepAliveTimeout: limits.keepAliveMs,
      connectionsCheckingInterval: limits.checkMs,
      maxHeaderSize: 8192,
      insecureHTTPParser: false,
    },
    (request, response) => {
      serve(answers, request, response, options.log).catch(error => {
        options.log(`request failed: ${(error as Error).message}`)
        request.socket.destroy()
      })
    },
  )
  server.timeout = limits.silentMs
  server.maxRequestsPerSocket = 1000
  server.maxConnections = limits.connections
  limitPerAddress(server, limits.connectionsPerAddress)
  const { port } = await listening(server, options.listen)
  if (isLoopback(host)) url = `http://${host.includes(':') ? `[${host}]` : host}:${port}`
  const close = (): Promise<void> => drained(server, limits.drainMs)
  return { port, url, close, [Symbol.asyncDispose]: close }
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host)
}

async function listening(
  server: Server,
  { host, port }: { readonly host: string; readonly port: number },
): Promise<AddressInfo> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, host, () => {
      server.off('error', reject)
      resolve()
    })
  })
  return server.address() as AddressInfo
}

function limitPerAddress(server: Server, most: number): void {
  const open = new Map<string, number>()
  server.on('connection', (socket: Socket) => {
    const address = socket.remoteAddress ?? ''
    const count = (open.get(address) ?? 0) + 1
    if (count > most) {
      socket.destroy()
      return
    }
    open.set(address, count)
    socket.once('close', () => {
      const left = (open.get(address) ?? 1) - 1
      if (left === 0) open.delete(address)
      else open.set(address, left)
    })
  })
}

async function drained(server: Server, ms: number): Promise<void> {
  const closed = new Promise<void>(resolve => {
    server.close(() => resolve())
  })
  server.closeIdleConnections()
  const stop = new AbortController()
  const patience = sleep(ms, undefined, { signal: stop.signal }).then(
    () => server.closeAllConnections(),
    () => {},
  )
  await closed
  stop.abort()
  await patience
}

async function serve(
  answers: Answers,
  request: IncomingMessage,
  response: ServerResponse,
  log: (line: string) => void,
): Promise<void> {
  response.setHeader('x-content-type-options', 'nosniff')
  const refusal = refusalOf(request)
  if (refusal !== undefined) {
    response.setHeader('connection', 'close')
    if (refusal.status === 405) response.setHeader('allow', 'GET, HEAD')
    await sendLine(request, response, refusal.status, refusal.line)
    return
  }
  const answer = await answers.to(routeOf(request.url ?? ''))
  if (answer.status === 200) await send(request, response, answer)
  else {
    if (answer.fault !== undefined) log(answer.fault)
    await sendLine(request, response, answer.status, answer.line)
  }
}

/** What is refused whatever it asks for. */
function refusalOf(request: IncomingMessage): { status: number; line: string } | undefined {
  const { method, headers, httpVersion } = request
  const isGet = method === 'GET'
  if (!isGet && method !== 'HEAD') return { status: 405, line: 'only GET and HEAD are answered' }
  if (httpVersion !== '1.1' && !(httpVersion === '1.0' && isGet)) {
    return { status: 400, line: 'bad request: HTTP/1.1 is expected' }
  }
  const hosts = request.rawHeaders.filter((name, i) => i % 2 === 0 && /^host$/i.test(name)).length
  if (hosts > 1 || (hosts === 0 && httpVersion === '1.1')) {
    return { status: 400, line: 'bad request: exactly one Host header is expected' }
  }
  const hasBody =
    headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'
  if (hasBody) return { status: 400, line: 'bad request: a body is not expected' }
  return undefined
}

async function send(
  request: IncomingMessage,
  response: ServerResponse,
  answer: Answer & { status: 200 },
): Promise<void> {
  await using file = answer.body instanceof Uint8Array ? undefined : answer.body
  const size = answer.body instanceof Uint8Array ? answer.body.length : answer.body.size
  const { etag, type, cache, hasRanges } = answer
  response.setHeader('etag', etag)
  response.setHeader('cache-control', cache)
  if (isNotModified(request.headers['if-none-match'], etag)) {
    response.writeHead(304).end()
    return
  }
  const { range } = request.headers
  const ifRange = request.headers['if-range']?.toString()
  const part = hasRanges ? partOf(size, etag, { range, ifRange }) : 'whole'
  if (part === 'unsatisfiable') {
    response.setHeader('content-range', `bytes */${size}`)
    await sendLine(request, response, 416, 'range not satisfiable')
    return
  }
  if (hasRanges) response.setHeader('accept-ranges', 'bytes')
  response.setHeader('content-type', type)
  const { start, end } = part === 'whole' ? { start: 0, end: size } : part
  if (part !== 'whole') response.setHeader('content-range', `bytes ${start}-${end - 1}/${size}`)
  response.setHeader('content-length', end - start)
  response.writeHead(part === 'whole' ? 200 : 206)
  if (request.method === 'HEAD') response.end()
  else if (answer.body instanceof Uint8Array) response.end(answer.body.subarray(start, end))
  else if (file !== undefined) await stream(file, response, { start, end })
}

const CHUNK_BYTES = 262_144

/** A file that shrinks under us ends the connection: a short body must not look whole. */
async function stream(file: OpenFile, response: ServerResponse, part: Part): Promise<void> {
  const read = async function* (): AsyncGenerator<Buffer> {
    for (let at = part.start; at < part.end; ) {
      const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, part.end - at))
      const { bytesRead } = await file.handle.read(buffer, 0, buffer.length, at)
      if (bytesRead === 0) throw new Error('a file was cut while it was served')
      yield buffer.subarray(0, bytesRead)
      at += bytesRead
    }
  }
  try {
    await pipeline(read, response)
  } catch (error) {
    // a client that leaves is its own matter
    if ((error as NodeJS.ErrnoException).code === 'ERR_STREAM_PREMATURE_CLOSE') return
    response.destroy()
    throw error
  }
}

async function sendLine(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  line: string,
): Promise<void> {
  const body = Buffer.from(`${line}\n`)
  response.setHeader('content-type', 'text/plain; charset=utf-8')
  response.setHeader('cache-control', 'no-store')
  response.setHeader('content-length', body.length)
  response.writeHead(status)
  response.end(request.method === 'HEAD' ? undefined : body)
}
