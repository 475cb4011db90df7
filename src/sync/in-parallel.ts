/**
 * Maps `items` with at most `limit` of `work` under way, and yields results as they come, in no
 * order. Nothing is pulled ahead of need: at most `limit` results wait. The first failure, or the
 * signal, stops the rest; whoever leaves the loop early stops it too. For walks that are not
 * downloads.
 */
export async function* inParallel<Item, Result>(
  items: Iterable<Item> | AsyncIterable<Item>,
  limit: number,
  work: (item: Item, signal: AbortSignal) => Promise<Result>,
  signal: AbortSignal,
): AsyncGenerator<Result> {
  const ended = new AbortController()
  const stop = AbortSignal.any([signal, ended.signal])
  const underWay = new Set<Promise<void>>()
  const settled: Settled<Result>[] = []
  let wake: (() => void) | undefined
  const start = (item: Item): void => {
    const one: Promise<void> = work(item, stop).then(
      result => end(one, { result }),
      error => end(one, { error }),
    )
    underWay.add(one)
  }
  const end = (one: Promise<void>, how: Settled<Result>): void => {
    settled.push(how)
    underWay.delete(one)
    wake?.()
  }
  // not `Promise.race`, which would hang a reaction on each promise each time
  const someSettled = async (): Promise<void> => {
    if (settled.length > 0) return
    await new Promise<void>(resolve => {
      wake = resolve
    })
  }
  try {
    for await (const item of items) {
      stop.throwIfAborted()
      start(item)
      while (underWay.size + settled.length >= limit) {
        await someSettled()
        yield* drained(settled)
      }
    }
    while (underWay.size > 0 || settled.length > 0) {
      await someSettled()
      yield* drained(settled)
    }
    stop.throwIfAborted()
  } finally {
    ended.abort()
    await Promise.all(underWay)
  }
}

type Settled<Result> = { readonly result: Result } | { readonly error: unknown }

function* drained<Result>(settled: Settled<Result>[]): Generator<Result> {
  for (let one = settled.shift(); one !== undefined; one = settled.shift()) {
    if ('error' in one) throw one.error
    yield one.result
  }
}
