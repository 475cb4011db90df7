import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { MirrorError } from '../error.ts'
import { LockLost, makeFolder, moveFolder, replaceFile } from './durable.ts'
import { OWNERS, ownerFolder } from './layout.ts'
import { isObject, recordBytes } from './record.ts'

/**
 * Who an owner is, in `state/owners/{token}/owner.json`: enough to tell whether it lives. A pid
 * alone would not do, since containers give the same few again and again; the tick at which the
 * process started tells two of them apart.
 */
export interface OwnerRecord {
  readonly pid: number
  readonly startTick: string
  readonly bootId: string
  readonly pidNamespace: string
  readonly machineId: string
  readonly token: string
  readonly since: string
  readonly command: string
}

/** Where processes can see each other; empty where the system does not tell. */
type Place = Pick<OwnerRecord, 'bootId' | 'machineId' | 'pidNamespace'>

const RECORD = 'owner.json'
const TOKEN = /^[0-9a-f]{32}$/

/** This process, as the record of the lock it is about to hold. */
export function ownRecord(
  token: string,
  { command, now }: { readonly command: string; readonly now: Date },
): OwnerRecord {
  return {
    ...hereAndNow(),
    pid: process.pid,
    startTick: statOf(process.pid)?.startTick ?? '',
    token,
    since: `${now.toISOString().slice(0, 19)}Z`,
    command,
  }
}

/**
 * Puts the record in place, whole or not at all, since the folder is made under another name.
 * @throws {LockLost} where another owner has tidied that folder away in the meantime
 */
export async function writeOwnerRecord(root: string, record: OwnerRecord): Promise<void> {
  const folder = join(root, ownerFolder(record.token))
  const making = `${folder}.new`
  const file = join(making, RECORD)
  try {
    await makeFolder(making)
    await replaceFile(file, recordBytes(record), { via: `${file}.new` })
  } catch (error) {
    const cause = (error as MirrorError).cause as NodeJS.ErrnoException | undefined
    const isTidied = cause?.code === 'ENOENT' && !existsSync(making)
    throw isTidied ? new LockLost(folder, error) : error
  }
  if (!(await moveFolder(making, folder))) throw new LockLost(folder, undefined)
}

/** The records there are, by token, so that everyone who looks finds them in one order. */
export function readOwnerRecords(root: string): OwnerRecord[] {
  const folder = join(root, OWNERS)
  if (!existsSync(folder)) return []
  const tokens = readdirSync(folder).filter(name => TOKEN.test(name))
  return tokens.sort().flatMap(token => readOwnerRecord(root, token) ?? [])
}

function readOwnerRecord(root: string, token: string): OwnerRecord | undefined {
  try {
    const file = join(root, ownerFolder(token), RECORD)
    const value: unknown = JSON.parse(readFileSync(file, 'utf8'))
    return isOwnerRecord(value) && value.token === token ? value : undefined
  } catch {
    // moved away while we looked, or not ours to judge
    return undefined
  }
}

function isOwnerRecord(value: unknown): value is OwnerRecord {
  const texts = ['startTick', 'bootId', 'pidNamespace', 'machineId', 'token', 'since', 'command']
  return (
    isObject(value) &&
    Number.isSafeInteger(value['pid']) &&
    texts.every(key => typeof value[key] === 'string')
  )
}

/** Whether an owner lives, as far as this process can tell. */
export type Verdict = 'alive' | 'dead' | 'unknown'

/**
 * A reboot ends all processes. Of others only the same pid namespace can be looked into; and a
 * machine without an id is never taken for ours, or two containers would rob each other.
 */
export function judge(record: OwnerRecord, here: Place = hereAndNow()): Verdict {
  const isSameBoot = here.bootId !== '' && record.bootId === here.bootId
  const isSameMachine = here.machineId !== '' && record.machineId === here.machineId
  if (!isSameBoot) return isSameMachine ? 'dead' : 'unknown'
  if (here.pidNamespace === '' || record.pidNamespace !== here.pidNamespace) return 'unknown'
  const stat = statOf(record.pid)
  if (stat === undefined) return isRunning(record.pid) ? 'alive' : 'dead'
  return stat.startTick === record.startTick && !stat.isZombie ? 'alive' : 'dead'
}

function hereAndNow(): Place {
  return {
    bootId: textOrNone(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8')),
    machineId: textOrNone(() => readFileSync('/etc/machine-id', 'utf8')),
    pidNamespace: textOrNone(() => readlinkSync('/proc/self/ns/pid')),
  }
}

/**
 * Fields 3 and 22 of `/proc/PID/stat`; undefined where that cannot be read. A zombie has ended and
 * only waits for its parent, which in a container may never ask.
 */
function statOf(
  pid: number,
): { readonly startTick: string; readonly isZombie: boolean } | undefined {
  const stat = textOrNone(() => readFileSync(`/proc/${pid}/stat`, 'utf8'))
  // field 2 is the program's name in brackets, which may hold spaces and brackets of its own
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [state = '', startTick] = [fields[0], fields[19]]
  return startTick === undefined ? undefined : { startTick, isZombie: 'ZX'.includes(state) }
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

function textOrNone(read: () => string): string {
  try {
    return read().trim()
  } catch {
    return ''
  }
}
