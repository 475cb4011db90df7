import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { MirrorReader } from '../store/reader.ts'
import { Answers, type Readiness } from './answers.ts'
import { refusalOf } from './refusals.ts'
import { routeOf } from './routes.ts'
import { type Pace, send, sendLine } from './send.ts'

export interface ServeOptions {
  readonly reader: MirrorReader
  readonly listen: { readonly host: string; readonly port: number }
  /** What config.json says; on loopback the server answers its own address instead. */
  readonly url: string
  readonly log: (line: string) => void
  /** What `/readyz` says of a published state; without it any state will do. */
  readonly readiness?: () => Readiness
  readonly limits?: Partial<ServeLimits>
}

/** How long a client may take, and how many there may be. Tests shorten them. */
interface ServeLimits {
  readonly headersMs: number
  readonly requestMs: number
  readonly keepAliveMs: number
  /** A client that neither reads nor sends is dropped after this. */
  readonly silentMs: number
  readonly pace: Pace
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
  pace: { graceMs: 30_000, bytesPerSecond: 1024 },
  checkMs: 1000,
  drainMs: 10_000,
  connections: 1024,
  connectionsPerAddress: 64,
}

const REQUESTS_PER_CONNECTION = 1000
const HEADER_BYTES_MAX = 8192

export interface RunningServer extends AsyncDisposable {
  readonly port: number
  readonly url: string
  /** Idle connections end now, busy ones with their answer or within ten seconds. */
  close(): Promise<void>
}

/**
 * The registry for cargo and for mirrors further down. There is no 'upgrade' listener: cargo asks
 * for h2c on clear text, and Node would hand every one of its requests to it.
 */
export async function startServer(options: ServeOptions): Promise<RunningServer> {
  const limits = { ...LIMITS, ...options.limits }
  const { host } = options.listen
  let url = options.url
  const answers = new Answers(options.reader, { url: () => url, readiness: options.readiness })
  const server = limitedServer(limits, (request, response) => {
    // an idle connection that outlives the answer would hold up `close`
    if (!server.listening) response.setHeader('connection', 'close')
    serve(request, response, { answers, pace: limits.pace, log: options.log }).catch(error => {
      options.log(`an answer was broken off: ${(error as Error).message}`)
      request.socket.destroy()
    })
  })
  const { port } = await listening(server, options.listen)
  if (isLoopback(host)) url = `http://${host.includes(':') ? `[${host}]` : host}:${port}`
  const close = (): Promise<void> => drained(server, limits)
  return { port, url, close, [Symbol.asyncDispose]: close }
}

function limitedServer(
  limits: ServeLimits,
  listener: (request: IncomingMessage, response: ServerResponse) => void,
): Server {
  const server = createServer(
    {
      headersTimeout: limits.headersMs,
      requestTimeout: limits.requestMs,
      keepAliveTimeout: limits.keepAliveMs,
      connectionsCheckingInterval: limits.checkMs,
      maxHeaderSize: HEADER_BYTES_MAX,
      insecureHTTPParser: false,
    },
    listener,
  )
  server.timeout = limits.silentMs
  server.maxRequestsPerSocket = REQUESTS_PER_CONNECTION
  server.maxConnections = limits.connections
  limitPerAddress(server, limits.connectionsPerAddress)
  return server
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

const IDLE_MS = 100

async function drained(server: Server, { drainMs }: ServeLimits): Promise<void> {
  const closed = new Promise<void>(resolve => {
    server.close(() => resolve())
  })
  server.closeIdleConnections()
  // a connection whose last answer ends now would be kept for the next request
  const idle = setInterval(() => server.closeIdleConnections(), IDLE_MS)
  const patience = setTimeout(() => server.closeAllConnections(), drainMs)
  await closed
  clearInterval(idle)
  clearTimeout(patience)
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  options: {
    readonly answers: Answers
    readonly pace: Pace
    readonly log: (line: string) => void
  },
): Promise<void> {
  const { answers, pace, log } = options
  response.setHeader('x-content-type-options', 'nosniff')
  const refusal = refusalOf(request)
  if (refusal !== undefined) {
    response.setHeader('connection', 'close')
    if (refusal.status === 405) response.setHeader('allow', 'GET, HEAD')
    sendLine(request, response, refusal)
    return
  }
  const answer = await answers.to(routeOf(request.url ?? ''))
  if (answer.status === 200) return await send(request, response, answer, pace)
  if (answer.fault !== undefined) log(answer.fault)
  sendLine(request, response, answer)
}
