import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { sha256 } from '../src/registry/checksum.ts'
import type { CrateName } from '../src/registry/crate-name.ts'
import { indexPath } from '../src/registry/sparse-path.ts'
import { Landing } from '../src/store/landing.ts'
import { acquireLock } from '../src/store/lock.ts'
import { createMirror, openMirror } from '../src/store/mirror.ts'
import { Writer } from '../src/store/writer.ts'
import { syncObserved } from '../src/sync/observe.ts'
import { DirectoryObserver } from '../src/sync/observe-directory.ts'
import { Progress, type Run } from '../src/sync/run.ts'
import { signPublished } from '../src/sync/sign.ts'
import type { SyncReport } from '../src/sync/sync.ts'
import { signingKey } from '../src/trust/key-file.ts'
import { foundRoot } from '../src/trust/root-text.ts'
import { directoryUpstream } from '../src/upstream/directory.ts'

const key = (n: number): ReturnType<typeof signingKey> => signingKey(Buffer.alloc(32, n))
const KEYS = {
  root: [key(1), key(2), key(3)],
  targets: key(4),
  snapshot: key(5),
  timestamp: key(6),
}

interface Line {
  readonly version: string
  readonly cksum: string
  readonly isYanked: boolean
}

const DAY_MS = 86_400_000
const SCRATCH = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

/**
 * A mirror that signs a plain directory, in this process and by a clock that the test sets, so that
 * weeks of snapshots take a second.
 */
export class History implements AsyncDisposable {
  readonly mirror: string
  readonly crates: Map<string, Line[]> = new Map()
  now: Date = new Date('2026-01-01T00:00:00Z')
  /** Whether the next sync shows an index of only what is here. */
  prunesIndex = false
  readonly #plain: string
  readonly #remove: () => Promise<void>
  #versions = 0

  private constructor(folder: string, remove: () => Promise<void>) {
    this.mirror = join(folder, 'mirror')
    this.#plain = join(folder, 'plain')
    this.#remove = remove
    mkdirSync(join(this.#plain, 'index'), { recursive: true })
    mkdirSync(join(this.#plain, 'crates'))
  }

  static async begin(): Promise<History> {
    const folder = await mkdtempDisposable(join(SCRATCH, 'crateferry-history-'))
    const history = new History(folder.path, () => folder.remove())
    const bytes = await foundRoot(KEYS, { threshold: 2, now: history.now })
    const pinnedRoot = { version: 1, bytes }
    await createMirror(history.mirror, { trust: 'tuf', pinnedRoot, configuration: '' })
    return history
  }

  at(file: string): string {
    return join(this.mirror, file)
  }

  pass(days: number): void {
    this.now = new Date(this.now.getTime() + days * DAY_MS)
  }

  /** One more version, of bytes of its own or of those given; returns its checksum. */
  publish(name: string, text?: string): string {
    this.#versions += 1
    const version = `0.0.${this.#versions}`
    const bytes = text ?? `${name} ${version}`
    const cksum = sha256(bytes)
    this.crates.getOrInsertComputed(name, () => []).push({ version, cksum, isYanked: false })
    writeFileSync(this.#artifact(name, version), bytes)
    this.#write(name)
    return cksum
  }

  /** A version whose artifact nobody has: its crate will be held. */
  publishLost(name: string): void {
    this.publish(name)
    rmSync(this.#artifact(name, `0.0.${this.#versions}`))
  }

  change(name: string, change: (lines: Line[]) => Line[]): void {
    const lines = change(this.crates.get(name) ?? [])
    if (lines.length === 0) this.crates.delete(name)
    else this.crates.set(name, lines)
    this.#write(name)
  }

  async sync(): Promise<SyncReport> {
    return await this.asRun(run => {
      const observer = new DirectoryObserver(run, directoryUpstream(this.#plain))
      return syncObserved(run, observer, (run, tree) => signPublished(run, tree, KEYS))
    })
  }

  async asRun<Result>(work: (run: Run) => Promise<Result>): Promise<Result> {
    const mirror = await openMirror(this.mirror)
    const signal = AbortSignal.timeout(60_000)
    await using lock = await acquireLock(mirror, { command: 'test', signal, now: new Date() })
    const writer = new Writer(mirror, lock.owner)
    return await work({
      writer,
      landing: new Landing(writer),
      settings: {
        url: 'http://127.0.0.1:8377',
        connections: 4,
        tries: 1,
        reserveBytes: 0,
        origin: false,
        select: undefined,
        pruneIndex: this.prunesIndex,
        guard: { removalPercent: 100, removalCrates: 1000, removalVersions: 1000 },
      },
      accepted: { removals: 0, absent: 0, changed: new Set(), clock: false, reason: undefined },
      limitBytes: undefined,
      progress: new Progress(),
      signal,
      now: () => this.now,
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#remove()
  }

  #artifact(name: string, version: string): string {
    return join(this.#plain, `crates/${name}-${version}.crate`)
  }

  #write(name: string): void {
    const file = join(this.#plain, 'index', indexPath(name as CrateName))
    const lines = this.crates.get(name)?.map(({ version, cksum, isYanked }) => {
      return JSON.stringify({
        name,
        vers: version,
        deps: [],
        cksum,
        features: {},
        yanked: isYanked,
      })
    })
    if (lines === undefined) {
      rmSync(file, { force: true })
      return
    }
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, `${lines.join('\n')}\n`)
  }
}
