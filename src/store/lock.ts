import { randomBytes } from 'node:crypto'
import fs, { existsSync, readdirSync, statfsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { lock } from 'proper-lockfile'
import { MirrorError } from '../error.ts'
import { LockLost, moveFolder, removeFolder, wrapped } from './durable.ts'
import { LOCK, OWNERS, ownerFolder, STATE } from './layout.ts'
import type { Mirror } from './mirror.ts'
import {
  judge,
  type OwnerRecord,
  ownRecord,
  readOwnerRecords,
  type Verdict,
  writeOwnerRecord,
} from './owner-record.ts'

/**
 * One writer (P14). proper-lockfile holds the lock; who holds it is told by a record in
 * `state/owners/{token}/`, and death is told by that record, never by time alone: an owner that
 * sleeps keeps its lock, one that died loses it at once. The fence is that folder: every mutable
 * name is renamed out of it, and a later owner moves it away first, so a writer that lost the lock
 * without knowing fails in the kernel.
 *
 *   acquire   lock  record in place  every other folder of `owners/` moved aside and deleted
 *             only then does the owner read what is published
 *   break     records of the dead moved aside, which has one winner  `state/lock` removed
 *   release   `state/lock` removed, if it is still ours  record removed
 *
 * Not covered: a breaker that is stopped between its two steps, or that meets the record of one who
 * was killed in the midst of a release, can remove a lock that was taken a moment ago. Its owner
 * finds out at the fence, like any other that lost the lock.
 */
export interface Owner {
  readonly token: string
  /** Absolute: files on their way to a mutable name are made in it. */
  readonly folder: string
}

export interface Lock extends AsyncDisposable {
  readonly owner: Owner
  /** Aborts with LockLost when the lock was taken from us. */
  readonly lost: AbortSignal
  /** Whether an owner before us ended without a release: a kill or a power cut. */
  readonly wasUnclean: boolean
}

interface LockOptions {
  readonly command: string
  readonly signal: AbortSignal
  readonly now: Date
  /** How long the lock of an owner that cannot be judged must stand still to count as dead. */
  readonly unknownMs?: number
}

/** @throws {MirrorError} busy, naming who has it */
export async function acquireLock(
  { root }: Pick<Mirror, 'root'>,
  options: LockOptions,
): Promise<Lock> {
  const claim = new Claim(root)
  const release = await take(claim, options)
  try {
    claim.stage = 'taken'
    await writeOwnerRecord(root, ownRecord(claim.token, options))
    claim.stage = 'recorded'
    const wasUnclean = await removeOthers(root, claim.token)
    const dispose = (): Promise<void> => letGo(claim, release)
    return { owner: claim, lost: claim.lost.signal, wasUnclean, [Symbol.asyncDispose]: dispose }
  } catch (error) {
    await letGo(claim, release)
    throw wrapped(error, join(root, LOCK))
  }
}

/** A lock that is being taken or held, and what tells whether it is still ours. */
class Claim implements Owner {
  readonly root: string
  readonly token: string
  readonly folder: string
  readonly lost: AbortController = new AbortController()
  stage: 'wanted' | 'taken' | 'recorded' = 'wanted'

  constructor(root: string) {
    this.root = root
    this.token = randomBytes(16).toString('hex')
    this.folder = join(root, ownerFolder(this.token))
  }

  get isOurs(): boolean {
    return this.stage === 'taken' || (this.stage === 'recorded' && existsSync(this.folder))
  }
}

const HEARTBEAT_MS = 5000
/** As good as none. The longest a timer can be set to. */
const NO_HEARTBEAT_MS = 2 ** 31 - 1

async function take(claim: Claim, options: LockOptions): Promise<() => Promise<void>> {
  const { root, lost } = claim
  for (;;) {
    options.signal.throwIfAborted()
    try {
      return await lock(join(root, STATE), {
        lockfilePath: join(root, LOCK),
        realpath: false,
        retries: 0,
        // no lock is old enough to be broken for its age, wherever the clock jumps (P13)
        stale: Number.POSITIVE_INFINITY,
        // FAT's two-second times make every heartbeat look like a thief's
        update: isFat(root) ? NO_HEARTBEAT_MS : HEARTBEAT_MS,
        fs: guarded(claim),
        onCompromised: error => lost.abort(new LockLost(join(root, LOCK), error)),
      })
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ELOCKED') await breakIfDead(root, options)
      else if (code !== 'ENOENT' || !existsSync(join(root, STATE))) {
        throw wrapped(error, join(root, LOCK))
      }
      // else it was removed between two calls of the library, by one who took us for another
    }
  }
}

/**
 * proper-lockfile removes the folder without looking whose it is: the release of an ex-owner, its
 * end, or a try that failed half-way would free the lock of the next owner.
 */
function guarded(claim: Claim): typeof fs {
  return {
    ...fs,
    rmdir: ((path: string, done: (error: NodeJS.ErrnoException | null) => void) => {
      if (claim.isOurs) fs.rmdir(path, done)
      else done(null)
    }) as typeof fs.rmdir,
    rmdirSync: path => {
      if (claim.isOurs) fs.rmdirSync(path)
    },
  }
}

/**
 * After a loss nothing is released or tidied: it is the next owner's by then. That owner may be this
 * very process, and proper-lockfile knows locks by their path alone.
 */
async function letGo(claim: Claim, release: () => Promise<void>): Promise<void> {
  if (claim.lost.signal.aborted || !claim.isOurs) return
  try {
    await release()
  } catch (error) {
    throw wrapped(error, join(claim.root, LOCK))
  }
  for (const folder of [claim.folder, `${claim.folder}.new`]) await removeFolder(folder)
}

const UNKNOWN_MS = 60_000

/** Returns when it may be worth while to try again. */
async function breakIfDead(
  root: string,
  { signal, unknownMs = UNKNOWN_MS }: Pick<LockOptions, 'signal' | 'unknownMs'>,
): Promise<void> {
  const records = readOwnerRecords(root)
  const { record, verdict } = holder(records)
  const busy = (advice = ''): MirrorError =>
    new MirrorError('busy', `${root} is in use ${described(record)}${advice}`)
  if (verdict === 'alive') throw busy()
  if (verdict === 'unknown') {
    const seen = await watch(root, { ms: isFat(root) ? SOON_MS : unknownMs, signal })
    if (seen === 'changed') return
    if (seen === 'moved') throw busy()
    if (isFat(root)) {
      throw busy(`; if no crateferry runs on it, remove the folder ${join(root, LOCK)}`)
    }
  }
  await breakLock(root, records)
}

/** Of several records, as a crash can leave them, the liveliest speaks for the lock. */
function holder(records: readonly OwnerRecord[]): {
  readonly record?: OwnerRecord
  readonly verdict: Verdict
} {
  const judged = records.map(record => ({ record, verdict: judge(record) }))
  for (const verdict of ['alive', 'unknown', 'dead']) {
    const found = judged.find(one => one.verdict === verdict)
    if (found !== undefined) return found
  }
  return { verdict: 'unknown' }
}

function described(record: OwnerRecord | undefined): string {
  if (record === undefined) return 'by a process that left no record'
  return `by pid ${record.pid} (${record.command}) since ${record.since}`
}

const LOOK_MS = 250
/** No heartbeat to wait for on FAT; but who has just taken the lock is about to leave its record. */
const SOON_MS = 1000

/**
 * Watches the lock of an owner that cannot be judged, by our own monotonic clock: its heartbeat
 * `moved`, or who claims it `changed`, or it stood `still` all the time.
 */
async function watch(
  root: string,
  { ms, signal }: { readonly ms: number; readonly signal: AbortSignal },
): Promise<'moved' | 'changed' | 'still'> {
  const before = look(root)
  for (const end = performance.now() + ms; performance.now() < end; ) {
    // an abort ends the sleep at once and is told here
    await sleep(Math.min(LOOK_MS, ms), undefined, { signal }).catch(() => signal.throwIfAborted())
    const now = look(root)
    if (now.claims !== before.claims) return 'changed'
    if (now.heartbeat !== before.heartbeat) return 'moved'
  }
  return 'still'
}

function look(root: string): { readonly claims: string; readonly heartbeat: bigint | undefined } {
  const stats = statSync(join(root, LOCK), { bigint: true, throwIfNoEntry: false })
  const tokens = readOwnerRecords(root).map(({ token }) => token)
  return { claims: [stats?.ino, ...tokens].join(' '), heartbeat: stats?.mtimeNs }
}

/** Who loses the race for the first record finds the lock gone or taken, and asks again. */
async function breakLock(root: string, records: readonly OwnerRecord[]): Promise<void> {
  const isMoved: boolean[] = []
  for (const { token } of records) {
    const aside = join(root, OWNERS, `dead-${token}`)
    isMoved.push(await moveFolder(join(root, ownerFolder(token)), aside))
  }
  if (isMoved[0] !== false) await removeFolder(join(root, LOCK))
}

/**
 * The folders of earlier owners go: from here their writers are fenced. True where one of them had
 * held the lock; one that never came so far left a folder of another name.
 */
async function removeOthers(root: string, token: string): Promise<boolean> {
  const others = readdirSync(join(root, OWNERS)).filter(name => name !== token)
  for (const [i, name] of others.entries()) {
    const aside = join(root, OWNERS, `aside-${token}-${i}`)
    if (await moveFolder(join(root, OWNERS, name), aside)) await removeFolder(aside)
  }
  return others.some(name => /^(?:dead-)?[0-9a-f]{32}$/.test(name))
}

const FAT = 0x4d44

function isFat(root: string): boolean {
  return statfsSync(root).type === FAT
}
