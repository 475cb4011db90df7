import { basename, dirname } from 'node:path'

/**
 * Reads a log of changing calls as a disk would that keeps nothing it was not told to flush, and
 * says where a name was given that promises more than was flushed by then:
 *
 *   a file gets its name     its own bytes are flushed
 *   `state/next`             all immutable names and their bytes are flushed, none is in `landing`
 *   `tuf/timestamp.json`     the index files under their paths are flushed too
 *   `state/published`        everything is
 *
 * It cannot see what a disk does behind the flush. Folders that are made are taken to be durable.
 */
export function orderFaults(log: readonly string[]): string[] {
  const disk = new Disk()
  return log.flatMap(line => disk.call(line))
}

class Disk {
  /** Files whose bytes are not flushed, and names whose folder is not. */
  readonly #bytes = new Set<string>()
  readonly #names = new Set<string>()

  call(line: string): string[] {
    const [, call = '', ...rest] = line.split(' ')
    const [path = '', target] = rest.join(' ').split(' -> ')
    switch (call) {
      case 'write':
      case 'pwrite':
      case 'writev':
      case 'pwritev':
      case 'ftruncate':
      case 'copy_file_range':
      case 'sendfile':
        this.#bytes.add(path)
        return []
      case 'fsync':
      case 'fdatasync':
        this.#flush(path)
        return []
      case 'syncfs':
        this.#bytes.clear()
        this.#names.clear()
        return []
      case 'rename':
      case 'link':
        return this.#name(call, path, target ?? '')
      case 'unlink':
        this.#bytes.delete(path)
        this.#names.delete(path)
        return []
      default:
        return []
    }
  }

  #flush(path: string): void {
    this.#bytes.delete(path)
    for (const name of this.#names) if (dirname(name) === path) this.#names.delete(name)
  }

  #name(call: string, from: string, to: string): string[] {
    const faults = this.#bytes.has(from) ? [`${to} was named before its bytes were flushed`] : []
    if (call === 'rename') {
      this.#bytes.delete(from)
      this.#names.delete(from)
    }
    faults.push(...this.#promised(to).map(name => `${to} was named before ${name} was flushed`))
    this.#names.add(to)
    return faults
  }

  /** What must be flushed by the time that this name is given. */
  #promised(to: string): string[] {
    const open = [...this.#bytes, ...this.#names].filter(name => name.includes('/public/'))
    if (to.endsWith('/state/published') || to.endsWith('/timestamp.json')) return open
    return to.endsWith('/state/next') ? open.filter(name => isImmutable(name)) : []
  }
}

const isImmutable = (name: string): boolean => /^[0-9a-f]{64}\./.test(basename(name))
