import { existsSync, readFileSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import { MirrorError } from '../error.ts'
import { type Checksum, sha256 } from '../registry/checksum.ts'
import type { CrateName } from '../registry/crate-name.ts'
import { type IndexFile, IndexFileRefused, readIndexFile } from '../registry/index-file.ts'
import { type IndexPath, indexPath } from '../registry/sparse-path.ts'
import { indexFileByHash } from '../store/layout.ts'
import {
  type Observation,
  readObservation,
  type Sweep,
  writeObservation,
} from '../store/observation.ts'
import { Observations } from '../store/observations.ts'
import { rootRef, type Snapshot } from '../store/snapshot.ts'
import { localTiles } from '../store/tiles.ts'
import { EMPTY_TREE } from '../tree/build.ts'
import type { LoadTiles } from '../tree/diff.ts'
import type { TileRef, TreeEntry } from '../tree/entry.ts'
import { lookUp } from '../tree/prove.ts'
import { type TreeChange, updateTree } from '../tree/update.ts'
import { entriesOf } from '../tree/walk.ts'
import type { SparseRegistry, Validators } from '../upstream/sparse-registry.ts'
import { Belief } from './belief.ts'
import { readDumpNames } from './dump-names.ts'
import { isVerdict } from './faults.ts'
import { inParallel } from './in-parallel.ts'
import { Malware } from './malware.ts'
import type { NewTiles } from './new-tiles.ts'
import { type News, readNews } from './news.ts'
import type { Observer } from './observer.ts'
import { type Run, type Source, stamp } from './run.ts'

export interface RegistryOptions {
  /** A sweep is due when the last one began this long ago. */
  readonly sweepHours: number
  /** Days that a crate stays which is gone from the index. */
  readonly holdDays: number
  /** `--sweep`. */
  readonly isSweepAsked: boolean
  /** Names that the operator gives, beside those of the dump; read when a sweep begins. */
  readonly names: () => readonly CrateName[]
  readonly random: () => number
}

/**
 * An unsigned sparse registry, watched. A sweep looks at every known index file, in random order; a
 * tick at those that the feeds name, and at what is still open. Each look is kept in a cache as it
 * is made, so a killed sweep goes on where it was; what a look brought lies under its hash, which
 * nobody reads yet. A sweep is closed before anything of it becomes a snapshot, and open news is
 * taken as read only when its snapshot is published (`settle`).
 */
export class RegistryObserver implements Observer {
  readonly name: string
  readonly warnings: string[] = []
  readonly unseen: Map<IndexPath, string> = new Map()
  readonly reasons: ReadonlyMap<IndexPath, string>
  readonly artifact: Source['artifact']
  readonly pause: Source['pause']
  readonly #run: Run
  readonly #registry: SparseRegistry
  readonly #options: RegistryOptions
  readonly #seen: Observations
  readonly #belief: Belief
  readonly #malware: Malware
  /** Seconds since 1970: what was seen since then was seen by this run. */
  readonly #begun: number
  readonly #statuses = new Map<IndexPath, number>()
  #observation: Observation
  /** As it lies on the disk: where nothing changed nothing is written. */
  #kept: Observation

  constructor(run: Run, registry: SparseRegistry, options: RegistryOptions) {
    const { root } = run.writer.mirror
    this.#run = run
    this.#registry = registry
    this.#options = options
    this.name = registry.name
    this.artifact = (wanted, how) => registry.artifact(wanted, how)
    this.pause = (attempt, error, how) => registry.pause(attempt, error, how)
    this.#observation = readObservation(root)
    this.#kept = this.#observation
    this.#seen = new Observations(run.writer)
    this.#malware = new Malware(run, this.#observation)
    const advisoryAbout: Malware['about'] = (path, versions) => this.#malware.about(path, versions)
    this.#belief = new Belief(run, { holdDays: options.holdDays, advisoryAbout })
    this.reasons = this.#belief.reasons
    this.#begun = secondsOf(run.now().toISOString())
  }

  async look(published: Snapshot | undefined, tiles: NewTiles): Promise<TileRef> {
    const root = published === undefined ? EMPTY_TREE : rootRef(published.tree)
    try {
      await this.#malware.read(this.#registry)
      const changes = await this.#changes(published, root)
      await this.#belief.save()
      return await updateTree(root, changes, { load: tiles.load, put: tiles.put })
    } finally {
      await this.#run.landing.settle()
      await this.#seen.close()
    }
  }

  async withdraw(): Promise<readonly string[]> {
    const acted = await this.#malware.act(path => this.#checksumsOf(path))
    const { observed, position, withdrawn } = acted
    const feeds = { ...this.#observation.feeds, ...(position && { advisories: position }) }
    this.#observation = { ...this.#observation, ...observed, feeds }
    this.warnings.push(...this.#malware.warnings)
    return withdrawn
  }

  async settle(): Promise<void> {
    const { sweep } = this.#observation
    const settled = sweep && { ...sweep, settled: sweep.closed !== null }
    await this.#belief.settle()
    await this.#keep({ ...this.#observation, sweep: settled })
  }

  async indexFile(
    entry: TreeEntry,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<Uint8Array> {
    const look = await this.#registry.indexFile(entry.path, {}, { signal })
    if (look.kind === 'file') return look.bytes
    throw this.#gone(`index/${entry.path}`)
  }

  /** Nobody else has the tiles of a tree that we built. */
  async tile(): Promise<Uint8Array> {
    throw this.#gone('a tile')
  }

  async #changes(published: Snapshot | undefined, root: TileRef): Promise<TreeChange[]> {
    const isUnsettled = this.#observation.sweep?.settled === false && this.#seen.size > 0
    const why = this.#whySweep()
    if (why !== undefined) return await this.#sweep(root, why)
    if (isUnsettled) return await this.#ofAll(root)
    const news = await readNews(this.#registry, this.#observation, this.#run)
    if (news.gap !== undefined) return await this.#sweep(root, news.gap)
    return await this.#tick(published, root, news)
  }

  #whySweep(): string | undefined {
    const { sweep } = this.#observation
    if (sweep === null) return 'the first one'
    if (sweep.closed === null) return sweep.why
    if (this.#options.isSweepAsked) return 'it was asked for'
    if (!sweep.settled && this.#seen.size === 0) return 'what was seen is lost'
    const hours = (this.#run.now().getTime() - Date.parse(sweep.started)) / 3_600_000
    if (hours >= this.#options.sweepHours) return `the last one began ${Math.floor(hours)} h ago`
    return undefined
  }

  /** One that a kill interrupted goes on. The feeds are read before: what is newer is for a tick. */
  async #sweep(root: TileRef, why: string): Promise<TreeChange[]> {
    const { sweep: before } = this.#observation
    const isOpen = before !== null && before.closed === null
    const sweep: Sweep = isOpen
      ? before
      : { started: stamp(this.#run.now()), why, closed: null, settled: false }
    if (!isOpen) await this.#open(root, sweep)
    const since = secondsOf(sweep.started)
    for (const path of this.#malware.paths(one => this.#isKnown(one))) this.#know(path)
    const open = [...this.#seen.paths()].filter(path => (this.#seen.get(path)?.at ?? 0) < since)
    await this.#lookAt(shuffled(open, this.#options.random))
    await this.#run.landing.settle()
    await this.#keep({
      ...this.#observation,
      sweep: { ...sweep, closed: stamp(this.#run.now()) },
    })
    return await this.#ofAll(root)
  }

  async #open(root: TileRef, sweep: Sweep): Promise<void> {
    const news = await readNews(this.#registry, this.#observation, this.#run)
    for await (const { path } of entriesOf(root, localTiles(this.#run.writer.mirror.root))) {
      this.#know(path)
    }
    for (const path of news.paths) this.#know(path)
    const know = (name: CrateName): void => this.#know(indexPath(name))
    this.#options.names().forEach(know)
    const given = { namesAt: this.#observation.namesAt, run: this.#run }
    const { namesAt, warnings } = await readDumpNames(this.#registry, given, know)
    this.warnings.push(...warnings)
    if (this.#seen.size === 0) {
      throw new MirrorError(
        'usage',
        `${this.name}: no names of crates are known; set upstream.dump or upstream.names-file`,
      )
    }
    this.#seen.flush()
    await this.#keep({ ...this.#observation, sweep, namesAt, feeds: news.positions, pending: {} })
  }

  #isKnown(path: IndexPath): boolean {
    return this.#seen.has(path)
  }

  #know(path: IndexPath): void {
    if (this.#isKnown(path)) return
    this.#seen.set(path, { at: 0, length: 0, sha256: undefined })
  }

  async #tick(published: Snapshot | undefined, root: TileRef, news: News): Promise<TreeChange[]> {
    const held = Object.keys(published?.held ?? {}) as IndexPath[]
    const malware = this.#malware.paths(path => this.#isKnown(path))
    const due = this.#belief.due(this.#run.now())
    const paths = [...new Set([...news.paths, ...held, ...due, ...malware])]
    await this.#lookAt(paths)
    await this.#run.landing.settle()
    const pending = news.pendingAfter(path => this.#versionsOf(path))
    this.#observation = { ...this.#observation, feeds: news.positions, pending }
    const load = localTiles(this.#run.writer.mirror.root)
    const changes: TreeChange[] = []
    for (const path of new Set([...paths, ...this.#belief.sure(this.#run.now())])) {
      const entry = await lookUp(root, path, load)
      changes.push(...this.#judged(path, entry?.sha256))
    }
    return changes
  }

  /** What the index has of a crate as this run saw it; undefined: it was not looked at. */
  #checksumsOf(path: IndexPath): ReadonlySet<Checksum> | undefined {
    const seen = this.#seen.get(path)
    if (seen === undefined || seen.at < this.#begun || this.unseen.has(path)) return undefined
    const { entries = [] } = this.#fileSeen(path) ?? {}
    return new Set(entries.map(({ checksum }) => checksum))
  }

  /** Undefined: there is no such crate, as far as was seen. */
  #versionsOf(path: IndexPath): ReadonlySet<string> | undefined {
    const file = this.#fileSeen(path)
    if (file === undefined) return undefined
    return new Set<string>([...file.entries.map(({ version }) => version), ...file.unusable])
  }

  #fileSeen(path: IndexPath): IndexFile | undefined {
    const checksum = this.#seen.get(path)?.sha256
    const file = checksum && this.#run.writer.at(indexFileByHash(path, checksum))
    if (file === undefined || !existsSync(file)) return undefined
    return readIndexFile(readFileSync(file), path, { signed: true })
  }

  /** Everything that is known against everything that is published. */
  async #ofAll(root: TileRef): Promise<TreeChange[]> {
    const changes: TreeChange[] = []
    const load = localTiles(this.#run.writer.mirror.root)
    let known = 0
    for await (const { path, sha256: have } of entriesOf(root, load)) {
      if (this.#isKnown(path)) known += 1
      changes.push(...this.#judged(path, have))
    }
    // most often there is nothing else, and no second list of all crates
    return known === this.#seen.size
      ? changes
      : [...changes, ...(await this.#ofUnpublished(root, load))]
  }

  async #ofUnpublished(root: TileRef, load: LoadTiles): Promise<TreeChange[]> {
    const changes: TreeChange[] = []
    const others = new Set(this.#seen.paths())
    for await (const { path } of entriesOf(root, load)) others.delete(path)
    for (const path of others) {
      changes.push(...this.#judged(path, undefined))
      if (this.#seen.get(path)?.sha256 === undefined) this.#seen.forget(path)
    }
    return changes
  }

  #judged(path: IndexPath, have: Checksum | undefined): TreeChange[] {
    const seen = this.#seen.get(path)
    if (seen === undefined || seen.at === 0 || this.unseen.has(path)) return []
    const status = this.#statuses.get(path) ?? 404
    const change = this.#belief.judge({ path, have, seen, status })
    return change === undefined ? [] : [change]
  }

  async #lookAt(paths: readonly IndexPath[]): Promise<void> {
    const { progress, settings, signal } = this.#run
    progress.crates = paths.length
    progress.cratesExamined = 0
    const look = (path: IndexPath, stop: AbortSignal): Promise<void> => this.#lookAtOne(path, stop)
    for await (const _ of inParallel(paths, 2 * settings.connections, look, signal)) {
      progress.cratesExamined += 1
      this.#guardUnseen(progress.cratesExamined)
    }
  }

  /** Of so many wrong answers each alone would be believed; together they are somebody in between. */
  #guardUnseen(looked: number): void {
    if (this.unseen.size <= UNSEEN_MAX || this.unseen.size * 100 <= looked) return
    const [first = ['', '']] = this.unseen
    throw new MirrorError(
      'incomplete',
      `${this.unseen.size} of ${looked} index files came wrong, so none is believed and nothing was published; the first: ${first[0]}: ${first[1]}`,
    )
  }

  /** A file of a wrong form is asked for again: a proxy's page passes, a torn copy heals. */
  async #lookAtOne(path: IndexPath, signal: AbortSignal): Promise<void> {
    const { tries } = this.#run.settings
    for (let attempt = 1; ; attempt += 1) {
      try {
        await this.#ask(path, attempt === 1 ? this.#validators(path) : {}, signal)
        return
      } catch (error) {
        if (!isVerdict(error, signal)) throw error
        if (error instanceof IndexFileRefused && attempt < tries) {
          await this.#registry.pause(attempt, error, { signal })
          continue
        }
        this.unseen.set(path, `index file: ${error.message}`)
        return
      }
    }
  }

  async #ask(path: IndexPath, known: Validators, signal: AbortSignal): Promise<void> {
    const at = secondsOf(this.#run.now().toISOString())
    const look = await this.#registry.indexFile(path, known, { signal })
    const before = this.#seen.get(path)
    switch (look.kind) {
      case 'same':
        if (before !== undefined) this.#seen.set(path, { ...before, at })
        return
      case 'gone':
        this.#statuses.set(path, look.status)
        this.#seen.set(path, { at, length: 0, sha256: undefined })
        return
      case 'file': {
        const { bytes, validators } = look
        readIndexFile(bytes, path)
        const checksum = sha256(bytes)
        const final = indexFileByHash(path, checksum)
        if (!existsSync(this.#run.writer.at(final))) await this.#run.landing.addBytes(final, bytes)
        this.#seen.set(path, { at, length: bytes.length, sha256: checksum, ...validators })
        return
      }
      default:
        look satisfies never
    }
  }

  /** Only of a file that is here "still the same" is an answer. */
  #validators(path: IndexPath): Validators {
    const seen = this.#seen.get(path)
    if (seen?.sha256 === undefined) return {}
    if (!existsSync(this.#run.writer.at(indexFileByHash(path, seen.sha256)))) return {}
    const { etag, lastModified } = seen
    return { ...(etag && { etag }), ...(lastModified && { lastModified }) }
  }

  async #keep(observation: Observation): Promise<void> {
    this.#observation = observation
    if (isDeepStrictEqual(observation, this.#kept)) return
    await writeObservation(this.#run.writer, observation)
    this.#kept = observation
  }

  #gone(what: string): MirrorError {
    return new MirrorError('incomplete', `${this.name} has no other copy of ${what}`)
  }
}

const UNSEEN_MAX = 20

const secondsOf = (instant: string): number => Math.floor(Date.parse(instant) / 1000)

/** Random order: no letter's crates are always the last, and no cache is walked in a row. */
function shuffled<Item>(items: Item[], random: () => number): Item[] {
  for (let last = items.length - 1; last > 0; last -= 1) {
    const at = Math.floor(random() * (last + 1))
    const item = items[at] as Item
    items[at] = items[last] as Item
    items[last] = item
  }
  return items
}
