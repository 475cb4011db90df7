import { randomBytes } from 'node:crypto'
import fs, { existsSync, readdirSync, readFileSync, statfsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { lock } from 'proper-lockfile'
import { MirrorError } from '../error.ts'
import { LockLost, makeFolder, moveFolder, removeFolder, replaceFile, wrapped } from './durable.ts'
import { LOCK, OWNERS, ownerFolder, STATE } from './layout.ts'
import type { Mirror } from './mirror.ts'
import { isObject, recordBytes } from './record.ts'

/**
 * One writer (P14). proper-lockfile holds the lock; who holds it is told by a record in
 * `state/owners/{token}/`, and death is told by that record, never by time alone: an owner that
 * sleeps keeps its lock, one that died loses it at once. The fence is that folder: every mutable
 * name is renamed out of it, and a later owner moves it away first, so a writer that lost the lock
 * without knowing fails in the kernel.
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
  /** Whether the owner before us ended without a release: a kill or a power cut. */
  readonly wasUnclean: boolean
}

interface OwnerRecord {
  readonly pid: number
  readonly startTick: string
  readonly bootId: string
  readonly pidNamespace: string
  readonly machineId: string
  readonly token: string
  readonly since: string
  readonly command: string
}

const TEN_YEARS_MS = 315_360_000_000
const HEARTBEAT_MS = 5000
const UNKNOWN_MS = 60_000
const FAT = 0x4d44

export async function acquireLock(
  mirror: Mirror,
  options: {
    readonly command: string
    readonly signal: AbortSignal
    readonly now: Date
    /** How long the lock of an owner that cannot be judged must stand still to count as dead. */
    readonly unknownMs?: number
  },
): Promise<Lock> {
  const { root } = mirror
  const token = randomBytes(16).toString('hex')
  const lost = new AbortController()
  const release = await take(root, token, lost, options)
  const folder = join(root, ownerFolder(token))
  try {
    await writeRecord(folder, record(token, options))
    const others = await removeOthers(root, token)
    const owner = { token, folder }
    const dispose = async (): Promise<void> => {
      // after a loss nothing is released or tidied: it is the next owner's by then
      if (lost.signal.aborted || !existsSync(folder)) return
      await release()
      await removeFolder(folder)
    }
    return { owner, lost: lost.signal, wasUnclean: others > 0, [Symbol.asyncDispose]: dispose }
  } catch (error) {
    await release()
    throw error
  }
}

async function take(
  root: string,
  token: string,
  lost: AbortController,
  options: { readonly signal: AbortSignal; readonly unknownMs?: number },
): Promise<() => Promise<void>> {
  for (;;) {
    options.signal.throwIfAborted()
    try {
      return await lock(join(root, STATE), {
        lockfilePath: join(root, LOCK),
        realpath: false,
        retries: 0,
        stale: TEN_YEARS_MS,
        // FAT's two-second times make every heartbeat look like a thief's
        update: isFat(root) ? 2 ** 31 - 1 : HEARTBEAT_MS,
        fs: guarded(root, token),
        onCompromised: error => lost.abort(new LockLost(join(root, LOCK), error)),
      })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ELOCKED') {
        throw wrapped(error, join(root, LOCK))
      }
      await breakIfDead(root, options)
    }
  }
}

/** An ex-owner's release would otherwise free the next owner's lock: it removes without looking. */
function guarded(root: string, token: string): typeof fs {
  const isOurs = (): boolean => existsSync(join(root, ownerFolder(token)))
  return {
    ...fs,
    rmdir: ((path: string, done: (error: NodeJS.ErrnoException | null) => void) => {
      if (isOurs()) fs.rmdir(path, done)
      else done(null)
    }) as typeof fs.rmdir,
    rmdirSync: path => {
      if (isOurs()) fs.rmdirSync(path)
    },
  }
}

type Verdict = 'alive' | 'dead' | 'unknown'

async function breakIfDead(
  root: string,
  { signal, unknownMs = UNKNOWN_MS }: { signal: AbortSignal; unknownMs?: number },
): Promise<void> {
  const found = readRecord(root)
  const verdict = found === undefined ? 'unknown' : judge(found)
  const busy = (why: string): MirrorError =>
    new MirrorError('busy', `${root} is in use ${describe(found)}${why}`)
  if (verdict === 'alive') throw busy('')
  if (verdict === 'unknown') {
    if (isFat(root)) {
      throw busy(`; if no crateferry runs on it, remove the folder ${join(root, LOCK)}`)
    }
    if (!(await stoodStill(root, unknownMs, signal))) throw busy('')
  }
  await breakLock(root, found)
}

function describe(found: OwnerRecord | undefined): string {
  if (found === undefined) return 'by a process that left no record'
  return `by pid ${found.pid} (${found.command}) since ${found.since}`
}

/** Reused pids are told apart by the tick at which they started; a reboot ends all of them. */
function judge(found: OwnerRecord): Verdict {
  const here = hereAndNow()
  if (found.machineId === here.machineId && found.bootId !== here.bootId) return 'dead'
  if (
    found.machineId !== here.machineId ||
    found.bootId !== here.bootId ||
    found.pidNamespace !== here.pidNamespace
  ) {
    return 'unknown'
  }
  const tick = startTick(found.pid)
  if (tick === undefined) return isRunning(found.pid) ? 'alive' : 'dead'
  return tick === found.startTick ? 'alive' : 'dead'
}

/** Whether the heartbeat stood still for so long by our own monotonic clock. */
async function stoodStill(root: string, ms: number, signal: AbortSignal): Promise<boolean> {
  const stamp = (): string => {
    const stats = statSync(join(root, LOCK), { bigint: true, throwIfNoEntry: false })
    return `${stats?.ino} ${stats?.mtimeNs}`
  }
  const before = stamp()
  for (const end = performance.now() + ms; performance.now() < end; ) {
    await sleep(Math.min(500, ms), undefined, { signal })
    if (stamp() !== before) return false
  }
  return true
}

/** Moving the record aside has one winner; who loses finds the lock gone or taken, and asks again. */
async function breakLock(root: string, found: OwnerRecord | undefined): Promise<void> {
  if (found !== undefined) {
    const aside = join(root, OWNERS, `dead-${found.token}`)
    if (!(await moveFolder(join(root, ownerFolder(found.token)), aside))) return
  }
  await removeFolder(join(root, LOCK))
}

/** The folders of earlier owners go: from here their writers are fenced. */
async function removeOthers(root: string, token: string): Promise<number> {
  const others = readdirSync(join(root, OWNERS)).filter(name => name !== token)
  for (const [i, name] of others.entries()) {
    const aside = join(root, OWNERS, `aside-${token}-${i}`)
    if (await moveFolder(join(root, OWNERS, name), aside)) await removeFolder(aside)
  }
  return others.length
}

async function writeRecord(folder: string, value: OwnerRecord): Promise<void> {
  const making = `${folder}.new`
  await makeFolder(making)
  const file = join(making, RECORD)
  await replaceFile(file, recordBytes(value), { via: `${file}.new` })
  await moveFolder(making, folder)
}

const RECORD = 'owner.json'

function readRecord(root: string): OwnerRecord | undefined {
  for (const name of readdirSync(join(root, OWNERS))) {
    if (!/^[0-9a-f]{32}$/.test(name)) continue
    try {
      const value: unknown = JSON.parse(readFileSync(join(root, OWNERS, name, RECORD), 'utf8'))
      if (isRecord(value) && value.token === name) return value
    } catch {
      // moved away while we looked, or not ours to judge: unknown
    }
  }
  return undefined
}

function isRecord(value: unknown): value is OwnerRecord {
  const texts = ['startTick', 'bootId', 'pidNamespace', 'machineId', 'token', 'since', 'command']
  return (
    isObject(value) &&
    Number.isSafeInteger(value['pid']) &&
    texts.every(key => typeof value[key] === 'string')
  )
}

function record(token: string, options: { command: string; now: Date }): OwnerRecord {
  return {
    ...hereAndNow(),
    pid: process.pid,
    startTick: startTick(process.pid) ?? '',
    token,
    since: `${options.now.toISOString().slice(0, 19)}Z`,
    command: options.command,
  }
}

function hereAndNow(): Pick<OwnerRecord, 'bootId' | 'machineId' | 'pidNamespace'> {
  return {
    bootId: textOf('/proc/sys/kernel/random/boot_id'),
    machineId: textOf('/etc/machine-id'),
    pidNamespace: linkOf('/proc/self/ns/pid'),
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    return ''
  }
}

function linkOf(file: string): string {
  try {
    return fs.readlinkSync(file)
  } catch {
    return ''
  }
}

/** Field 22 of /proc/PID/stat; the second may hold spaces and brackets of its own. */
function startTick(pid: number): string | undefined {
  const stat = textOf(`/proc/${pid}/stat`)
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]
}

/** A process that we may not signal exists all the same. */
function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function isFat(root: string): boolean {
  return statfsSync(root).type === FAT
}
