import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Http2SecureServer, Http2ServerRequest } from 'node:http2'
import type { AddressInfo } from 'node:net'
import type { MirrorReader } from '../store/reader.ts'
import { Answers } from './answers.ts'
import { Connections } from './connections.ts'
import { LIMITS, type ServeLimits } from './limits.ts'
import { type Certificate, plainServer, secureServer } from './listeners.ts'
import { Metrics } from './metrics.ts'
import { refusalOf } from './refusals.ts'
import { routeOf } from './routes.ts'
import { type Pace, send, sendLine } from './send.ts'
import type { Status } from './status.ts'
import type { Readiness } from './status-answers.ts'

export interface ServeOptions {
  readonly reader: MirrorReader
  readonly listen: { readonly host: string; readonly port: number }
  /** What config.json says; on loopback the server answers its own address instead. */
  readonly url: string
  readonly log: (line: string) => void
  /** What `/readyz` says of a published state; without it any state will do. */
  readonly readiness?: () => Readiness
  /** What the page at `/` and `/api/status` tell, given the URL that clients use. */
  readonly status?: (url: string) => Promise<Status>
  readonly limits?: Partial<ServeLimits>
  /** With it the server speaks TLS, and nothing else. */
  readonly certificate?: Certificate | undefined
}

export interface RunningServer extends AsyncDisposable {
  readonly port: number
  readonly url: string
  /** For connections from now on. @throws {Error} where it is unusable; the one before goes on */
  renew(certificate: Certificate): void
  /** Idle connections end now, busy ones with their answer or within ten seconds. */
  close(): Promise<void>
}

/**
 * The registry for cargo and for mirrors further down.
 *
 * @throws {Error} where it cannot listen, or the certificate is unusable
 */
export async function startServer(options: ServeOptions): Promise<RunningServer> {
  const limits = { ...LIMITS, ...options.limits }
  const { host } = options.listen
  let url = options.url
  const { reader, readiness, status } = options
  const metrics = new Metrics(() => connections)
  const answers = new Answers({
    reader,
    metrics,
    readiness,
    status: status && (() => status(url)),
    url: () => url,
  })
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    // an idle connection that outlives the answer would hold up `close`
    if (!server.listening) lastOnItsConnection(request, response)
    serve(request, response, { answers, metrics, pace: limits.pace, log: options.log }).catch(
      error => {
        options.log(`an answer was broken off: ${(error as Error).message}`)
        response.destroy()
      },
    )
  }
  const { certificate } = options
  const secure = certificate && secureServer(limits, certificate, listener)
  const server = secure ?? plainServer(limits, listener)
  const connections = new Connections(server, limits)
  const { port } = await listening(server, options.listen)
  if (isLoopback(host)) {
    url = `${secure ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}`
  }
  const close = (): Promise<void> => drained(server, connections, limits)
  const renew = ({ cert, key }: Certificate): void =>
    secure?.setSecureContext({ cert: Buffer.from(cert), key: Buffer.from(key) })
  return { port, url, renew, close, [Symbol.asyncDispose]: close }
}

/** HTTP/2 knows no such header: there `close` tells the client itself. */
function lastOnItsConnection(request: IncomingMessage, response: ServerResponse): void {
  if (request.httpVersionMajor < 2) response.setHeader('connection', 'close')
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127(?:\.\d{1,3}){3}$/.test(host)
}

async function listening(
  server: Server | Http2SecureServer,
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

const IDLE_MS = 100

async function drained(
  server: Server | Http2SecureServer,
  connections: Connections,
  { drainMs }: ServeLimits,
): Promise<void> {
  const closed = new Promise<void>(resolve => {
    server.close(() => resolve())
  })
  const closeIdle = (): void => (server as Server).closeIdleConnections()
  closeIdle()
  // a connection whose last answer ends now would be kept for the next request
  const idle = setInterval(closeIdle, IDLE_MS)
  const patience = setTimeout(() => connections.destroyAll(), drainMs)
  await closed
  clearInterval(idle)
  connections[Symbol.dispose]()
  clearTimeout(patience)
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  options: {
    readonly answers: Answers
    readonly metrics: Metrics
    readonly pace: Pace
    readonly log: (line: string) => void
  },
): Promise<void> {
  const { answers, metrics, pace, log } = options
  const tally = metrics.follow(response)
  response.setHeader('x-content-type-options', 'nosniff')
  const refusal = refusalOf(request)
  if (refusal !== undefined) {
    refuseRest(request, response)
    if (refusal.status === 405) response.setHeader('allow', 'GET, HEAD')
    sendLine(request, response, refusal)
    return
  }
  const route = routeOf(request.url ?? '')
  tally.kind = route.kind
  const answer = await answers.to(route)
  if (answer.status === 200) return await send(request, response, answer, { pace, tally })
  if (answer.fault !== undefined) log(answer.fault)
  sendLine(request, response, answer)
}

/** Whatever else the client would send with a request that is refused. */
function refuseRest(request: IncomingMessage, response: ServerResponse): void {
  lastOnItsConnection(request, response)
  if (request.httpVersionMajor < 2) return
  const { stream } = request as unknown as Http2ServerRequest
  response.once('finish', () => stream.close())
}
