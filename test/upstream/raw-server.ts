import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import type { Place } from '../../src/upstream/url-policy.ts'

/** A request as its bytes came: no server of ours or of Node's has tidied it. */
export interface RawRequest {
  /** Counted from 1 over all connections. */
  readonly n: number
  readonly path: string
  /** The whole head, its lines ending in CR LF. */
  readonly head: string
  readonly range: string | undefined
}

/** Answers one request with whatever bytes it likes, or with none. */
export type Script = (socket: Socket, request: RawRequest) => void

/** A server on loopback that writes raw bytes: what HTTP libraries would never send. */
export async function serveRaw(script: Script): Promise<RawServer> {
  const server = new RawServer(script)
  await server.listen()
  return server
}

export class RawServer implements AsyncDisposable {
  readonly requests: RawRequest[] = []
  readonly sockets: Socket[] = []
  readonly #server: Server
  readonly #script: Script
  #port = 0

  constructor(script: Script) {
    this.#script = script
    this.#server = createServer(socket => this.#serve(socket))
  }

  async listen(): Promise<void> {
    this.#server.listen(this.#port, '127.0.0.1')
    await once(this.#server, 'listening')
    this.#port = (this.#server.address() as AddressInfo).port
  }

  get host(): string {
    return `127.0.0.1:${this.#port}`
  }

  get origin(): string {
    return `http://${this.host}`
  }

  at(path: string): Place {
    return { origin: this.origin, path }
  }

  /** Ends every connection and listens no more. */
  async die(): Promise<void> {
    for (const socket of this.sockets) socket.destroy()
    if (!this.#server.listening) return
    this.#server.close()
    await once(this.#server, 'close')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.die()
  }

  #serve(socket: Socket): void {
    this.sockets.push(socket)
    // A client that leaves is what half of the tests are about.
    socket.on('error', () => {})
    let text = ''
    socket.on('data', bytes => {
      text += bytes.toString('latin1')
      for (let end = text.indexOf('\r\n\r\n'); end !== -1; end = text.indexOf('\r\n\r\n')) {
        const head = text.slice(0, end + 2)
        text = text.slice(end + 4)
        this.#note(socket, head)
      }
    })
  }

  #note(socket: Socket, head: string): void {
    const request = {
      n: this.requests.length + 1,
      path: head.split(' ', 2)[1] ?? '',
      head,
      range: /^range: (.*)\r$/im.exec(head)?.[1],
    }
    this.requests.push(request)
    this.#script(socket, request)
  }
}

/** An answer as it should be: the lines of its head, its length and its body. */
export function ok(body: Uint8Array | string, ...headers: string[]): Buffer {
  return answer('200 OK', [`content-length: ${body.length}`, ...headers], body)
}

/** A head as given, true or not, and the bytes after it. */
export function answer(
  status: string,
  headers: readonly string[],
  body: Uint8Array | string = '',
): Buffer {
  const head = [`HTTP/1.1 ${status}`, ...headers, '', ''].join('\r\n')
  return Buffer.concat([Buffer.from(head, 'latin1'), Buffer.from(body)])
}

/** One chunk of a chunked body. */
export function chunk(body: Uint8Array | string): Buffer {
  return Buffer.concat([
    Buffer.from(`${body.length.toString(16)}\r\n`),
    Buffer.from(body),
    Buffer.from('\r\n'),
  ])
}
