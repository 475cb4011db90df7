import { LIMITS } from './limits.ts'
import type { ArtifactBody } from './upstream.ts'

/** What becomes of a body while it comes; none of the three throws. */
export interface Sink {
  take(chunk: Uint8Array): void
  end(): void
  fail(error: unknown): void
}

/** Hands a body over, or says why there is none; called once. */
export interface Receiver {
  resolve(body: ArtifactBody): void
  reject(error: unknown): void
}

/** How the body can be held back and given up. */
export interface Flow {
  pause(): void
  resume(): void
  abort(): void
}

/** A body in one buffer, allocated at its length where that is known; its connection is free by then. */
export class Whole implements Sink {
  readonly #receiver: Receiver
  readonly #offset: number
  readonly #keepsCut: boolean
  readonly #length: number | undefined
  #buffer: Uint8Array | undefined
  readonly #chunks: Uint8Array[] = []
  #received = 0

  /** `keepsCut`: what came of a cut body is handed out too, since an artifact can be continued. */
  constructor(
    receiver: Receiver,
    options: {
      readonly offset: number
      readonly length: number | undefined
      readonly keepsCut: boolean
    },
  ) {
    this.#receiver = receiver
    this.#offset = options.offset
    this.#keepsCut = options.keepsCut
    this.#length = options.length
  }

  take(chunk: Uint8Array): void {
    if (this.#length === undefined) this.#chunks.push(chunk)
    else if (chunk.length === this.#length) this.#buffer = chunk
    else {
      this.#buffer ??= Buffer.allocUnsafe(this.#length)
      this.#buffer.set(chunk, this.#received)
    }
    this.#received += chunk.length
  }

  end(): void {
    this.#receiver.resolve({ offset: this.#offset, bytes: this.#came() })
  }

  fail(error: unknown): void {
    if (this.#keepsCut && this.#received > 0) {
      this.#receiver.resolve({ offset: this.#offset, chunks: cutShort(this.#came(), error) })
    } else {
      this.#receiver.reject(error)
    }
  }

  /** Never more than came: the rest of the buffer is somebody's old memory. */
  #came(): Uint8Array {
    return this.#buffer?.subarray(0, this.#received) ?? Buffer.concat(this.#chunks)
  }
}

async function* cutShort(came: Uint8Array, error: unknown): AsyncGenerator<Uint8Array> {
  yield came
  throw error
}

/** A body in chunks, as its reader takes them; the sender is held back by a reader that is slower. */
export class Chunks implements Sink, AsyncIterable<Uint8Array> {
  readonly #flow: Flow
  readonly #queue: Uint8Array[] = []
  #queued = 0
  #isPaused = false
  #end: { readonly error?: unknown } | undefined
  #wake: (() => void) | undefined

  constructor(flow: Flow) {
    this.#flow = flow
  }

  take(chunk: Uint8Array): void {
    this.#queue.push(chunk)
    this.#queued += chunk.length
    if (this.#queued >= LIMITS.queuedBytes && !this.#isPaused) {
      this.#isPaused = true
      this.#flow.pause()
    }
    this.#wake?.()
  }

  end(): void {
    this.#end = {}
    this.#wake?.()
  }

  fail(error: unknown): void {
    this.#end = { error }
    this.#wake?.()
  }

  /** All that came, then the end or the reason for its lack. Who leaves early gives the body up. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        const chunk = this.#queue.shift()
        if (chunk !== undefined) {
          this.#queued -= chunk.length
          yield chunk
          this.#resume()
        } else if (this.#end !== undefined) {
          if ('error' in this.#end) throw this.#end.error
          return
        } else {
          await new Promise<void>(wake => {
            this.#wake = wake
          })
        }
      }
    } finally {
      if (this.#end === undefined) this.#flow.abort()
    }
  }

  #resume(): void {
    if (!this.#isPaused || this.#queued > LIMITS.queuedBytes / 2) return
    this.#isPaused = false
    this.#flow.resume()
  }
}
