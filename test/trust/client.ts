import { expect } from 'vitest'
import { EXIT } from '../../src/cli/report.ts'
import { MirrorError } from '../../src/error.ts'
import { Cycle } from '../../src/trust/cycle.ts'
import { ONLINE } from '../../src/trust/freshness.ts'
import type { Found } from '../../src/trust/search.ts'
import { type Vouched, vouchedBy } from '../../src/trust/vouched.ts'
import type { Files } from './repository.ts'

export const NOW: Date = new Date('2026-11-26T12:00:00Z')
const HOUR_MS = 3_600_000
export const later = (hours: number): Date => new Date(NOW.getTime() + hours * HOUR_MS)

/** The client workflow over a repository in memory, with what it kept; `asked` lists its requests. */
export class Client {
  kept: Files
  asked: string[] = []
  readonly accused: (readonly [string, number])[] = []
  failKeepAt: number | undefined

  constructor(root: Uint8Array) {
    this.kept = { 'root.json': root }
  }

  /** Down to the top-level targets, whatever they list. */
  async follow(files: Files, now = NOW, acceptClock = false): Promise<Cycle> {
    let keeps = 0
    this.asked = []
    const { kept } = this
    const roots = Object.keys(kept).filter(name => name.startsWith('root_history/'))
    const part = (name: string): object => {
      const bytes = kept[`${name}.json`]
      return bytes === undefined ? {} : { [name]: bytes }
    }
    const chain = {
      root: kept['root.json'] ?? new Uint8Array(),
      roots: roots.map(name => kept[name] ?? new Uint8Array()),
      ...part('timestamp'),
      ...part('snapshot'),
      ...part('targets'),
      ...part('book'),
      delegated: (file: string) => kept[`delegated/${file}`],
    }
    const io = {
      fetch: async (file: string) => {
        this.asked.push(file)
        return files[file]
      },
      keep: async (file: string, bytes: Uint8Array) => {
        keeps += 1
        if (keeps === this.failKeepAt) throw new Error('killed')
        this.kept[file] = bytes
      },
      drop: async (names: readonly string[]) => {
        for (const name of names) delete this.kept[name]
      },
      accuse: async (file: string, contents: readonly Uint8Array[]) => {
        this.accused.push([file, contents.length])
      },
    }
    const cycle = new Cycle(chain, io, { now, acceptClock, freshness: ONLINE })
    await cycle.refresh()
    return cycle
  }

  async refresh(files: Files, now = NOW, acceptClock = false): Promise<Vouched> {
    const cycle = await this.follow(files, now, acceptClock)
    return { ...vouchedBy(cycle.trusted), warnings: cycle.warnings }
  }

  async find(files: Files, path: string): Promise<Found | undefined> {
    return await (await this.follow(files)).find(path)
  }

  /** The exit code of a cycle down to a target, 0 where it is found; nothing refused may be kept. */
  async exit(files: Files, { path = 'index-tree', now = NOW } = {}): Promise<number> {
    const error = await this.#failure(async () => (await this.follow(files, now)).find(path))
    return error === undefined ? 0 : EXIT[error.code]
  }

  /** The code of a refresh that must keep nothing of what it refuses. */
  async refusal(files: Files, now = NOW): Promise<string> {
    const before = { ...this.kept }
    const error = await this.#failure(() => this.refresh(files, now))
    delete before['book.json']
    const after = { ...this.kept }
    delete after['book.json']
    expect(after, 'what was refused is not kept').toEqual(before)
    return error?.code ?? 'accepted'
  }

  async #failure(work: () => Promise<unknown>): Promise<MirrorError | undefined> {
    try {
      await work()
      return undefined
    } catch (error) {
      if (error instanceof MirrorError) return error
      throw error
    }
  }
}
