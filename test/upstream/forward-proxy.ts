import { once } from 'node:events'
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { type AddressInfo, connect, type Socket } from 'node:net'

/** What a proxy was asked for, and by whom. */
export interface ProxyRequest {
  readonly method: string
  /** `host:port` of a tunnel, else the URL. */
  readonly target: string
  readonly host: string | undefined
  readonly authorization: string | undefined
}

export interface ForwardProxyOptions {
  /** `user:password`; anything else is answered 407. */
  readonly credentials?: string
  /** Answers everything with this status. */
  readonly refuses?: number
  /** Accepts connections and says nothing, or ends them. */
  readonly falls?: 'silent' | 'closed'
  /** Tunnels to other ports than this one are refused, as ordinary proxies refuse all but 443. */
  readonly tunnelPort?: number
  /** The proxy itself is spoken to over TLS. */
  readonly tls?: { readonly key: Buffer; readonly cert: Buffer }
}

/** An ordinary forward proxy on loopback: tunnels for https, absolute form for http. */
export class LoopbackProxy implements AsyncDisposable {
  readonly requests: ProxyRequest[] = []
  readonly #options: ForwardProxyOptions
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor(options: ForwardProxyOptions) {
    this.#options = options
    this.#server = options.tls === undefined ? createServer() : createTlsServer(options.tls)
    this.#server.on('connection', socket => this.#keep(socket))
    this.#server.on('connect', (incoming, socket) => this.#connect(incoming, socket as Socket))
    this.#server.on('request', (incoming, response) => this.#forward(incoming, response))
  }

  static async start(options: ForwardProxyOptions = {}): Promise<LoopbackProxy> {
    const proxy = new LoopbackProxy(options)
    proxy.#server.listen(0, '127.0.0.1')
    await once(proxy.#server, 'listening')
    return proxy
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  get origin(): string {
    return `${this.#options.tls === undefined ? 'http' : 'https'}://${this.host}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #connect({ url = '', headers }: IncomingMessage, socket: Socket): void {
    const status = this.#judge('CONNECT', url, headers)
    if (status === undefined) this.#fall(socket)
    else if (status === 200) this.#tunnel(socket, url)
    else socket.end(`HTTP/1.1 ${status} No\r\ncontent-length: 0\r\n\r\n`)
  }

  #forward(
    { method = '', url = '', headers, socket }: IncomingMessage,
    response: ServerResponse,
  ): void {
    const status = this.#judge(method, url, headers)
    if (status === undefined) this.#fall(socket)
    else if (status === 200) fetchFor(response, url, headers)
    else response.writeHead(status).end()
  }

  /** The status, or undefined where there is to be no answer. */
  #judge(method: string, target: string, headers: IncomingHttpHeaders): number | undefined {
    const { credentials, refuses, falls, tunnelPort } = this.#options
    const authorization = headers['proxy-authorization']
    this.requests.push({ method, target, host: headers.host, authorization })
    if (falls !== undefined) return undefined
    if (refuses !== undefined) return refuses
    const isPort = tunnelPort === undefined || target.endsWith(`:${tunnelPort}`)
    if (method === 'CONNECT' && !isPort) return 403
    const expected = `Basic ${Buffer.from(credentials ?? '').toString('base64')}`
    return credentials === undefined || authorization === expected ? 200 : 407
  }

  #fall(socket: Socket): void {
    if (this.#options.falls === 'closed') socket.destroy()
  }

  #tunnel(near: Socket, authority: string): void {
    const far = connect(Number(authority.split(':')[1]), authority.split(':')[0] ?? '')
    this.#keep(far)
    far.on('error', () => near.end('HTTP/1.1 502 No\r\ncontent-length: 0\r\n\r\n'))
    far.on('connect', () => {
      near.write('HTTP/1.1 200 Connection established\r\n\r\n')
      near.pipe(far).pipe(near)
    })
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => this.#sockets.delete(socket))
  }
}

/** The onward request lacks what was for the proxy only. */
function fetchFor(response: ServerResponse, url: string, given: IncomingHttpHeaders): void {
  const { 'proxy-authorization': _, ...headers } = given
  const onward = request(url, { headers }, answer => {
    response.writeHead(answer.statusCode ?? 502, answer.headers)
    answer.pipe(response)
  })
  onward.on('error', () => response.writeHead(502).end())
  onward.end()
}
