import { statSync } from 'node:fs'
import { watch } from 'chokidar'

const POLL_MS = 1000

/**
 * Says when one of some files was written, made or removed. Polls, for an editor that renames and a
 * link that is turned both change what a watch by inode would no longer see.
 */
export class FileWatch implements AsyncDisposable {
  readonly #watcher: ReturnType<typeof watch>
  readonly #changed = new Set<string>()

  constructor(files: readonly string[]) {
    const options = { usePolling: true, interval: POLL_MS, ignoreInitial: true }
    this.#watcher = watch([...files], options)
    this.#watcher.on('all', (_event, path) => this.#changed.add(path)).on('error', () => {})
    // what changes before the first look of the watcher is no event of its
    const before = new Map(files.map(file => [file, stampOf(file)]))
    this.#watcher.once('ready', () => {
      for (const [file, stamp] of before) if (stampOf(file) !== stamp) this.#changed.add(file)
    })
  }

  /** The files that changed since this was asked last. */
  take(): readonly string[] {
    const files = [...this.#changed]
    this.#changed.clear()
    return files
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#watcher.close()
  }
}

function stampOf(file: string): string {
  const stats = statSync(file, { bigint: true, throwIfNoEntry: false })
  return stats === undefined ? '' : `${stats.ino} ${stats.mtimeNs} ${stats.size}`
}
