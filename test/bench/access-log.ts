import { readFileSync, statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

/** What was asked in one run. */
export interface Asked {
  readonly unchanged: number
  readonly fetched: number
  readonly others: number
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
    const lines = readFileSync(this.file, 'latin1').slice(this.#read).split('\n')
    this.#read = statSync(this.file).size
    const index = lines.filter(
      line => line.includes('"GET /index/') && !line.includes('config.json'),
    )
    const unchanged = index.filter(line => line.includes('" 304 ')).length
    const others = lines.filter(Boolean).length - index.length
    return { unchanged, fetched: index.length - unchanged, others }
  }

  get size(): number {
    return statSync(this.file).size
  }
}
