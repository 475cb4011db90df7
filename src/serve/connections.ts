import type { Server, Socket } from 'node:net'

export interface ConnectionLimits {
  readonly connections: number
  readonly connectionsPerAddress: number
  /** A connection on which nothing moved for so long may be ended for a new one. */
  readonly stalledMs: number
  readonly checkMs: number
}

/** What is known of an open connection. */
interface Open {
  readonly address: string
  bytes: number
  movedAt: number
}

/**
 * The open connections of a server. Where there are too many, in all or of one address, the one on
 * which nothing moved for longest makes room for a new one: those who hang on lock nobody out. If
 * something moves on each of them, the new one is refused.
 */
export class Connections implements Disposable {
  readonly #limits: ConnectionLimits
  readonly #open = new Map<Socket, Open>()
  readonly #perAddress = new Map<string, number>()
  readonly #timer: NodeJS.Timeout
  /** So far: new ones that were not taken, and old ones that made room. */
  refused = 0
  evicted = 0

  constructor(server: Server, limits: ConnectionLimits) {
    this.#limits = limits
    server.on('connection', (socket: Socket) => this.#opened(socket))
    this.#timer = setInterval(() => this.#look(), limits.checkMs).unref()
  }

  get open(): number {
    return this.#open.size
  }

  destroyAll(): void {
    for (const socket of this.#open.keys()) socket.destroy()
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }

  #opened(socket: Socket): void {
    const address = socket.remoteAddress ?? ''
    if (!this.#hasRoomFor(address)) {
      this.refused += 1
      socket.destroy()
      return
    }
    this.#open.set(socket, { address, bytes: 0, movedAt: performance.now() })
    this.#perAddress.set(address, this.#count(address) + 1)
    socket.once('close', () => this.#closed(socket))
  }

  #hasRoomFor(address: string): boolean {
    const { connections, connectionsPerAddress } = this.#limits
    if (this.#count(address) >= connectionsPerAddress)
      return this.#evicts(one => one.address === address)
    return this.#open.size < connections || this.#evicts(() => true)
  }

  #evicts(isOfThese: (one: Open) => boolean): boolean {
    this.#look()
    const before = performance.now() - this.#limits.stalledMs
    let stalled: Socket | undefined
    let since = before
    for (const [socket, one] of this.#open) {
      if (one.movedAt > since || !isOfThese(one)) continue
      stalled = socket
      since = one.movedAt
    }
    if (stalled === undefined) return false
    this.evicted += 1
    this.#closed(stalled)
    stalled.destroy()
    return true
  }

  #look(): void {
    const now = performance.now()
    for (const [socket, one] of this.#open) {
      const bytes = socket.bytesRead + socket.bytesWritten
      if (bytes === one.bytes) continue
      one.bytes = bytes
      one.movedAt = now
    }
  }

  #closed(socket: Socket): void {
    const one = this.#open.get(socket)
    if (one === undefined) return
    this.#open.delete(socket)
    const left = this.#count(one.address) - 1
    if (left === 0) this.#perAddress.delete(one.address)
    else this.#perAddress.set(one.address, left)
  }

  #count(address: string): number {
    return this.#perAddress.get(address) ?? 0
  }
}
