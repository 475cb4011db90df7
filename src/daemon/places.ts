import { readFileSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { watch } from 'chokidar'

/** Places that something arrives in: folders, and mount points while something is mounted there. */
export interface Places {
  readonly folders: readonly string[]
  readonly media: readonly string[]
}

const POLL_MS = 1000
/** However silent it is: events are hints, and a hint can be lost, as one before the first scan ended. */
const ANYHOW_MS = 10_000

/**
 * Says when it is worth while to look. Polls, since neither mounts nor other machines' writes send
 * events; what an event says is not believed, it only wakes.
 */
export class Watch implements AsyncDisposable {
  readonly #places: Places
  readonly #watcher: ReturnType<typeof watch>
  #isDue = true
  #mounted = ''
  #lookedAt = 0

  constructor(places: Places) {
    this.#places = places
    const options = { usePolling: true, interval: POLL_MS, depth: 3, followSymlinks: false }
    this.#watcher = watch([...places.folders], { ...options, ignoreInitial: true })
    this.#watcher.on('all', () => this.look()).on('error', () => this.look())
  }

  /** Somebody wants another look, as soon as nothing else is done. */
  look(): void {
    this.#isDue = true
  }

  /** Where to look now; undefined: nothing may have changed. Ask about once a second. */
  due(): readonly string[] | undefined {
    const mounted = this.#places.media.filter(isMounted)
    const isChanged = mounted.join('\n') !== this.#mounted
    this.#mounted = mounted.join('\n')
    const now = performance.now()
    if (!this.#isDue && !isChanged && now - this.#lookedAt < ANYHOW_MS) return undefined
    this.#isDue = false
    this.#lookedAt = now
    return [...this.#places.folders, ...mounted]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#watcher.close()
  }
}

/** Whether a medium is there: the bare folder that it would be mounted on never counts. */
function isMounted(place: string): boolean {
  const path = resolve(place)
  const found = statSync(path, { throwIfNoEntry: false })
  if (found?.isDirectory() !== true) return false
  return found.dev !== statSync(dirname(path)).dev || mountPoints().has(path)
}

/** By the kernel's own list, in which blanks and the like are written in octal; empty where it has none. */
function mountPoints(): ReadonlySet<string> {
  let text: string
  try {
    text = readFileSync('/proc/self/mountinfo', 'utf8')
  } catch {
    return new Set()
  }
  const fields = text.split('\n').map(line => line.split(' ')[4] ?? '')
  return new Set(
    fields.map(field =>
      field.replace(/\\([0-7]{3})/g, (_, octal: string) =>
        String.fromCharCode(Number.parseInt(octal, 8)),
      ),
    ),
  )
}
