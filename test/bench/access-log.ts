import { closeSync, openSync, readSync, statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** What was asked in one run. */
export interface Asked {
  readonly unchanged: number
  readonly fetched: number
  readonly others: number
  readonly othersUnchanged: number
}

/** What nginx logged, read on from where it was read last. */
export class AccessLog {
  readonly file: string
  #read = 0

  constructor(file: string) {
    this.file = file
  }

  /** Since the last call; a request is logged a moment after it is answered. */
  async asked(): Promise<Asked> {
    await sleep(300)
    const lines = this.#fresh().filter(line => !line.includes('"curl/'))
    const isUnchanged = (line: string): boolean => line.includes('" 304 ')
    const isIndexFile = (line: string): boolean =>
      line.includes('"GET /index/') && !line.includes('config.json')
    const index = lines.filter(isIndexFile)
    const others = lines.filter(line => !isIndexFile(line))
    const unchanged = index.filter(isUnchanged).length
    return {
      unchanged,
      fetched: index.length - unchanged,
      others: others.length,
      othersUnchanged: others.filter(isUnchanged).length,
    }
  }

  /** How often curl was told "unchanged" since the last call of either. */
  async curlsUnchanged(): Promise<number> {
    await sleep(300)
    return this.#fresh().filter(line => line.includes('"curl/') && line.includes('" 304 ')).length
  }

  #fresh(): string[] {
    const bytes = Buffer.alloc(this.size - this.#read)
    const fd = openSync(this.file, 'r')
    readSync(fd, bytes, 0, bytes.length, this.#read)
    closeSync(fd)
    this.#read += bytes.length
    return bytes.toString('latin1').split('\n').filter(Boolean)
  }

  get size(): number {
    return statSync(this.file).size
  }
}
