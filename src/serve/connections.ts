import type { Server, Socket } from 'node:net'

/** The open connections of a server: not too many from one address, and all of them can be ended. */
export class Connections {
  readonly #perAddress: number
  readonly #open = new Map<string, Set<Socket>>()

  constructor(server: Server, perAddress: number) {
    this.#perAddress = perAddress
    server.on('connection', (socket: Socket) => this.#opened(socket))
  }

  get open(): number {
    return this.#open.values().reduce((count, sockets) => count + sockets.size, 0)
  }

  destroyAll(): void {
    for (const sockets of this.#open.values()) for (const socket of sockets) socket.destroy()
  }

  #opened(socket: Socket): void {
    const address = socket.remoteAddress ?? ''
    const sockets = this.#open.getOrInsertComputed(address, () => new Set())
    if (sockets.size >= this.#perAddress) {
      socket.destroy()
      return
    }
    sockets.add(socket)
    socket.once('close', () => {
      sockets.delete(socket)
      if (sockets.size === 0) this.#open.delete(address)
    })
  }
}
