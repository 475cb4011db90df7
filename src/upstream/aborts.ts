/**
 * Who is to be stopped by which signal. One listener for a signal, however many wait for it: an
 * EventTarget walks the list of its listeners whenever one is added or removed.
 */
export class Aborts {
  readonly #stops = new WeakMap<AbortSignal, Set<() => void>>()

  add(signal: AbortSignal, stop: () => void): void {
    this.#stops.getOrInsertComputed(signal, listened).add(stop)
  }

  remove(signal: AbortSignal, stop: () => void): void {
    this.#stops.get(signal)?.delete(stop)
  }
}

function listened(signal: AbortSignal): Set<() => void> {
  const stops = new Set<() => void>()
  const stopAll = (): void => {
    for (const stop of stops) stop()
  }
  signal.addEventListener('abort', stopAll, { once: true })
  return stops
}
