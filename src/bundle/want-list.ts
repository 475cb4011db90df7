import { MirrorError, quoted } from '../error.ts'
import { type Checksum, isChecksum } from '../registry/checksum.ts'
import { isSiteName } from './receipt.ts'

/** One state of an index tree: the version of its targets metadata, and its root tile. */
interface State {
  readonly targets: number
  readonly tree: Checksum
}

/**
 * What an import lacks, for whoever sends the next bundle. A hint: of what it names only hashes and
 * numbers count, and what the sender's own tree does not list is passed over.
 */
export interface WantList {
  readonly site: string
  readonly bundleId: Checksum
  /** Published where it was written; null: nothing yet. */
  readonly have: State | null
  readonly target: State
  /** Nothing of the target is there: everything is wanted, and no line says so one by one. */
  readonly isAll: boolean
  /** Root versions that the chain lacks. */
  readonly roots: readonly number[]
  readonly tiles: ReadonlySet<Checksum>
  readonly indexFiles: ReadonlySet<Checksum>
  readonly objects: ReadonlySet<Checksum>
}

const LINE_BYTES_MAX = 320
const LINES_MAX = 4_000_000
const HEAD = 'crateferry-want 1'

export function wantListName({ bundleId, site }: Pick<WantList, 'bundleId' | 'site'>): string {
  return `want-${bundleId.slice(0, 8)}-${site}.txt`
}

/** The five lines at the top of every want-list. */
export function wantListHead({
  site,
  bundleId,
  have,
  target,
}: Pick<WantList, 'site' | 'bundleId' | 'have' | 'target'>): string {
  const state = (one: State | null): string => (one ? `${one.targets} ${one.tree}` : '0 -')
  return `${HEAD}\nsite ${site}\nbundle ${bundleId}\nhave ${state(have)}\ntarget ${state(target)}\n`
}

/**
 * Reads a want-list line by line; whoever reads the lines bounds them.
 * @throws {MirrorError} refused, with the number of the first line that is none
 */
export function readWantList(lines: Iterable<string>, name: string): WantList {
  const reading = new Reading(name)
  for (const line of lines) reading.take(line)
  return reading.end()
}

class Reading {
  readonly #name: string
  #line = 0
  #site = ''
  #bundleId: Checksum | undefined
  #have: State | null = null
  #target: State | undefined
  #isAll = false
  readonly #roots: number[] = []
  readonly #tiles = new Set<Checksum>()
  readonly #indexFiles = new Set<Checksum>()
  readonly #objects = new Set<Checksum>()

  constructor(name: string) {
    this.#name = name
  }

  take(line: string): void {
    this.#line += 1
    if (this.#line > LINES_MAX) throw this.#refused(`more than ${LINES_MAX} lines`)
    const isTaken =
      line.length < LINE_BYTES_MAX && (this.#line <= 5 ? this.#head(line) : this.#wanted(line))
    if (!isTaken) throw this.#refused(`${quoted(line)} is not allowed here`)
  }

  end(): WantList {
    if (this.#bundleId === undefined || this.#target === undefined) {
      throw this.#refused('it ends before its five first lines do')
    }
    return {
      site: this.#site,
      bundleId: this.#bundleId,
      have: this.#have,
      target: this.#target,
      isAll: this.#isAll,
      roots: this.#roots,
      tiles: this.#tiles,
      indexFiles: this.#indexFiles,
      objects: this.#objects,
    }
  }

  #head(line: string): boolean {
    if (this.#line === 1) return line === HEAD
    const [, word, rest = ''] = /^([a-z]+) (.+)$/.exec(line) ?? []
    if (word !== ['site', 'bundle', 'have', 'target'][this.#line - 2]) return false
    if (word === 'site') {
      this.#site = rest
      return isSiteName(rest)
    }
    if (word === 'bundle') {
      this.#bundleId = isChecksum(rest) ? rest : undefined
      return isChecksum(rest)
    }
    const state = stateIn(rest)
    if (word === 'have') {
      this.#have = state ?? null
      return state !== undefined || rest === '0 -'
    }
    this.#target = state
    return state !== undefined
  }

  /** What follows a hash is for people, and is not read. */
  #wanted(line: string): boolean {
    if (line === 'all') {
      this.#isAll = true
      return this.#line === 6
    }
    if (this.#isAll) return false
    const [, word, first = ''] =
      /^(root|tile|index|object|damaged) (\S+)(?: [\x21-\x7e ]+)?$/.exec(line) ?? []
    if (word === 'root') {
      const version = Number(/^[1-9][0-9]{0,8}$/.exec(first)?.[0])
      this.#roots.push(version)
      return !Number.isNaN(version)
    }
    if (word === undefined || !isChecksum(first)) return false
    if (word === 'tile') this.#tiles.add(first)
    if (word === 'index') this.#indexFiles.add(first)
    if (word === 'object') this.#objects.add(first)
    return true
  }

  #refused(why: string): MirrorError {
    return new MirrorError('refused', `${this.#name}: line ${this.#line}: ${why}`)
  }
}

function stateIn(text: string): State | undefined {
  const [, targets, tree] = /^([1-9][0-9]{0,15}) ([0-9a-f]{64})$/.exec(text) ?? []
  return isChecksum(tree) ? { targets: Number(targets), tree } : undefined
}
