import PQueue from 'p-queue'

/** The download queue: a bounded p-queue, so that the plan stays a stream and memory stays flat. */
export class Downloads {
  readonly #queue: PQueue

  constructor(concurrency: number) {
    this.#queue = new PQueue({ concurrency })
  }

  /** Works through `items`; the first failure stops the rest. Returns when nothing runs any more. */
  async drain<Item>(
    items: AsyncIterable<Item> | Iterable<Item>,
    work: (item: Item, signal: AbortSignal) => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    const failure = new AbortController()
    const stop = AbortSignal.any([signal, failure.signal])
    const release = (): void => this.#queue.clear()
    stop.addEventListener('abort', release, { once: true })
    try {
      for await (const item of items) {
        await this.#room()
        if (stop.aborted) break
        // not `add(…, { signal })`: that frees the slot while `work` still runs
        this.#queue.add(() => work(item, stop)).catch(error => failure.abort(error))
      }
    } catch (error) {
      failure.abort(error)
    }
    await this.#queue.onIdle()
    stop.removeEventListener('abort', release)
    stop.throwIfAborted()
  }

  /** Waits seldom and for much: a wait of p-queue costs as much as half a request. */
  async #room(): Promise<void> {
    const { size, concurrency } = this.#queue
    if (size >= 2 * concurrency) await this.#queue.onSizeLessThan(concurrency)
  }
}
