import { setImmediate as turn } from 'node:timers/promises'
import type { IndexFile } from '../registry/index-file.ts'
import { type IndexPath, nameOfPath } from '../registry/sparse-path.ts'
import { compareVersions, isPreRelease } from '../registry/version-order.ts'
import type { MirrorReader } from '../store/reader.ts'
import type { Snapshot } from '../store/snapshot.ts'

/** The crates that match, best first, and how many there are in all. */
export interface Matches {
  readonly total: number
  readonly best: readonly IndexPath[]
}

/** So many names are taken from tiles before others have their turn. */
const NAMES_A_TURN = 1000

interface Named {
  readonly path: IndexPath
  /** As it is compared. */
  readonly name: string
}

/** Finds crates of the published snapshot by name; the index says nothing else of them. */
export class Search {
  readonly #reader: MirrorReader
  /** Shorter names first; read when something is searched for. */
  #names: { readonly of: Snapshot; readonly all: Promise<readonly Named[]> } | undefined

  constructor(reader: MirrorReader) {
    this.#reader = reader
  }

  /**
   * Names that hold each word of the text, where `-` and `_` are one: the very name first, then
   * those that begin with the first word.
   */
  async find(text: string, atMost: number): Promise<Matches> {
    const words = folded(text).split(/\s+/).filter(Boolean)
    const [first = ''] = words
    const found: [same: IndexPath[], begin: IndexPath[], hold: IndexPath[]] = [[], [], []]
    for (const { name, path } of await this.#all()) {
      if (words.every(word => name.includes(word))) found[rankOf(name, first)].push(path)
    }
    const paths = found.flat()
    return { total: paths.length, best: paths.slice(0, atMost) }
  }

  async #all(): Promise<readonly Named[]> {
    const snapshot = this.#reader.published()
    if (snapshot === undefined) return []
    if (this.#names?.of !== snapshot) {
      this.#names = { of: snapshot, all: this.#read(snapshot) }
    }
    return await this.#names.all
  }

  async #read(snapshot: Snapshot): Promise<readonly Named[]> {
    const all: Named[] = []
    for await (const path of this.#reader.paths(snapshot)) {
      all.push({ path, name: folded(nameOfPath(path)) })
      if (all.length % NAMES_A_TURN === 0) await turn()
    }
    return all.sort((a, b) => a.name.length - b.name.length || order(a.name, b.name))
  }
}

const folded = (text: string): string => text.toLowerCase().replaceAll('_', '-')
const order = (a: string, b: string): number => (a < b ? -1 : Number(a > b))

function rankOf(name: string, word: string): 0 | 1 | 2 {
  if (name === word) return 0
  return name.startsWith(word) ? 1 : 2
}

/** The version that cargo would take, had it no other wish. */
export function newestOf({ entries }: IndexFile): IndexFile['entries'][number] | undefined {
  return entries.toSorted((a, b) => {
    return (
      Number(a.yanked) - Number(b.yanked) ||
      Number(isPreRelease(a.version)) - Number(isPreRelease(b.version)) ||
      compareVersions(b.version, a.version)
    )
  })[0]
}
