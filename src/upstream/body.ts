import { MirrorError } from '../error.ts'
import { LIMITS } from './limits.ts'
import type { ArtifactBody } from './upstream.ts'

/** What becomes of a body while it comes; none of the three throws. */
export interface Sink {
  take(chunk: Uint8Array): void
  /** Hands the whole over, or says why it is of no use after all; then `fail` follows. */
  end(): MirrorError | undefined
  fail(error: unknown): void
}

/** Hands a body over, or says why there is none; called once. */
export interface Receiver {
  resolve(body: ArtifactBody): void
  reject(error: unknown): void
}

/** Makes of what came what was meant, or says why that cannot be. */
export type Decode = (pieces: readonly Uint8Array[]) => readonly Uint8Array[] | MirrorError

/** How the body can be held back and given up. */
export interface Flow {
  pause(): void
  resume(): void
  abort(): void
}

/**
 * A body as its chunks came, none of them copied; its connection is free by then. One in very many
 * chunks is joined on the way: a server that sends single bytes must not make us keep a million
 * objects.
 */
export class Whole implements Sink {
  readonly #receiver: Receiver
  readonly #offset: number
  readonly #keepsCut: boolean
  readonly #decode: Decode | undefined
  readonly #pieces: Uint8Array[] = []
  #received = 0

  /** `keepsCut`: what came of a cut body is handed out too, since an artifact can be continued. */
  constructor(
    receiver: Receiver,
    options: {
      readonly offset: number
      readonly keepsCut: boolean
      readonly decode?: Decode | undefined
    },
  ) {
    this.#receiver = receiver
    this.#offset = options.offset
    this.#keepsCut = options.keepsCut
    this.#decode = options.decode
  }

  take(chunk: Uint8Array): void {
    this.#pieces.push(chunk)
    this.#received += chunk.length
    if (this.#pieces.length > PIECES_MAX) joinTail(this.#pieces)
  }

  end(): MirrorError | undefined {
    const pieces = this.#decode === undefined ? this.#pieces : this.#decode(this.#pieces)
    if (pieces instanceof MirrorError) return pieces
    this.#receiver.resolve({ offset: this.#offset, pieces })
    return undefined
  }

  fail(error: unknown): void {
    if (this.#keepsCut && this.#received > 0) {
      this.#receiver.resolve({ offset: this.#offset, chunks: cutShort(this.#pieces, error) })
    } else {
      this.#receiver.reject(error)
    }
  }
}

async function* cutShort(came: readonly Uint8Array[], error: unknown): AsyncGenerator<Uint8Array> {
  yield* came
  throw error
}

const PIECES_MAX = 32

/**
 * Joins the last pieces, as far back as none is twice as long as what follows it: so each byte is
 * copied a few times at most, and few pieces remain.
 */
function joinTail(pieces: Uint8Array[]): void {
  let from = pieces.length - 1
  let length = pieces[from]?.length ?? 0
  for (let before = pieces[from - 1]; before !== undefined; before = pieces[from - 1]) {
    if (before.length > 2 * length) break
    length += before.length
    from -= 1
  }
  pieces.push(Buffer.concat(pieces.splice(from)))
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

  end(): undefined {
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
