import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { test as base, expect } from 'vitest'
import { LockLost } from '../../src/store/durable.ts'
import { acquireLock, type Lock } from '../../src/store/lock.ts'
import { createMirror, type Mirror } from '../../src/store/mirror.ts'
import type { OwnerRecord } from '../../src/store/owner-record.ts'
import { Writer } from '../../src/store/writer.ts'

const test = base.extend('mirror', async ({}, { onCleanup }) => {
  const folder = await mkdtempDisposable(join(tmpdir(), 'lock-'))
  onCleanup(() => folder.remove())
  return await createMirror(join(folder.path, 'mirror'), { trust: 'observed', configuration: '' })
})

const options = { command: 'test', signal: AbortSignal.timeout(60_000), now: new Date() }
/** Longer than any test: who waits for it to pass fails. */
const NEVER_MS = 50_000

const lockOf = (mirror: Mirror): string => join(mirror.root, 'state/lock')
const ownersOf = (mirror: Mirror): string[] => readdirSync(join(mirror.root, 'state/owners'))

/** Another process that takes the lock and keeps it until it is killed. */
async function holder(mirror: Mirror): Promise<ChildProcess & AsyncDisposable> {
  const at = (file: string): string => JSON.stringify(resolve('src/store', file))
  const script = `
    import { acquireLock } from ${at('lock.ts')}
    import { openMirror } from ${at('mirror.ts')}
    const mirror = await openMirror(${JSON.stringify(mirror.root)})
    const signal = AbortSignal.timeout(60000)
    await acquireLock(mirror, { command: 'holder', signal, now: new Date() })
    console.log('held')
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_OPTIONS: '' },
  })
  await once(child.stdout, 'data')
  return Object.assign(child, { [Symbol.asyncDispose]: () => killed(child) })
}

async function killed(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exit = once(child, 'exit')
  child.kill('SIGKILL')
  await exit
}

/** What an owner left that is not there to release it: the lock and a record, with `changes`. */
async function leftover(mirror: Mirror, changes: Partial<OwnerRecord>): Promise<string> {
  const lock = await acquireLock(mirror, options)
  const record = readFileSync(join(lock.owner.folder, 'owner.json'), 'utf8')
  await lock[Symbol.asyncDispose]()
  const token = 'f'.repeat(32)
  const folder = join(mirror.root, 'state/owners', token)
  mkdirSync(folder)
  const left = { ...(JSON.parse(record) as OwnerRecord), token, ...changes }
  writeFileSync(join(folder, 'owner.json'), JSON.stringify(left))
  mkdirSync(lockOf(mirror))
  return folder
}

/** As if it lived where we cannot look. */
const FOREIGN = { pidNamespace: 'pid:[1]', pid: 7, command: 'sync' }

async function timed<T>(work: Promise<T>): Promise<readonly [T, number]> {
  const begun = performance.now()
  return [await work, performance.now() - begun]
}

test('released, a lock leaves nothing and can be taken again', async ({ mirror }) => {
  for (let i = 0; i < 3; i += 1) {
    await using lock = await acquireLock(mirror, options)
    expect(lock.wasUnclean).toBe(false)
    expect(existsSync(lockOf(mirror))).toBe(true)
    expect(ownersOf(mirror)).toEqual([lock.owner.token])
  }
  expect(existsSync(lockOf(mirror))).toBe(false)
  expect(ownersOf(mirror)).toEqual([])
})

test('a second process is told the pid of the first; killed, its lock is taken at once (P14)', {
  timeout: 30_000,
}, async ({ mirror }) => {
  await using child = await holder(mirror)
  const refusal = {
    code: 'busy',
    message: expect.stringMatching(
      new RegExp(`is in use by pid ${child.pid} \\(holder\\) since 20..-..-..T..:..:..Z$`),
    ),
  }
  await expect(acquireLock(mirror, options)).rejects.toMatchObject(refusal)
  // one that sleeps keeps it, however long
  child.kill('SIGSTOP')
  utimesSync(lockOf(mirror), 0, 0)
  await expect(acquireLock(mirror, options)).rejects.toMatchObject(refusal)
  await killed(child)
  const [lock, ms] = await timed(acquireLock(mirror, options))
  await using _lock = lock
  expect(ms).toBeLessThan(1000)
  expect(lock.wasUnclean).toBe(true)
  expect(ownersOf(mirror)).toEqual([lock.owner.token])
})

test('an owner whose pid was given to another process is dead', async ({ mirror }) => {
  await leftover(mirror, { startTick: '1' })
  await using lock = await acquireLock(mirror, { ...options, unknownMs: NEVER_MS })
  expect(lock.wasUnclean).toBe(true)
})

test('of several at once one takes the lock of a dead owner, and the others are told', async ({
  mirror,
}) => {
  await leftover(mirror, { startTick: '1' })
  const tries = Array.from({ length: 8 }, () => acquireLock(mirror, options))
  const ended = await Promise.allSettled(tries)
  const [won, ...more] = ended.filter(one => one.status === 'fulfilled')
  expect(more).toEqual([])
  await using lock = won?.value as Lock
  for (const one of ended) {
    if (one.status === 'fulfilled') continue
    expect(one.reason).toMatchObject({
      code: 'busy',
      message: expect.stringContaining(`by pid ${process.pid} (test)`),
    })
  }
  expect(ownersOf(mirror)).toEqual([lock.owner.token])
})

test('of several that watched one owner together, one takes its lock', async ({ mirror }) => {
  await leftover(mirror, FOREIGN)
  const tries = Array.from({ length: 8 }, () => acquireLock(mirror, { ...options, unknownMs: 300 }))
  const ended = await Promise.allSettled(tries)
  const won = ended.filter(one => one.status === 'fulfilled').map(one => one.value)
  expect(ownersOf(mirror)).toEqual(won.map(lock => lock.owner.token))
  for (const lock of won) await lock[Symbol.asyncDispose]()
  expect(won.length).toBe(1)
})

test('an owner in another container is waited for, and its lock taken when it stands still', async ({
  mirror,
}) => {
  const folder = await leftover(mirror, FOREIGN)
  const [lock, ms] = await timed(acquireLock(mirror, { ...options, unknownMs: 600 }))
  await using _lock = lock
  expect(ms).toBeGreaterThanOrEqual(600)
  expect(existsSync(folder)).toBe(false)
})

test('so is an owner whose record cannot be read, or is not there', async ({ mirror }) => {
  const folder = await leftover(mirror, {})
  writeFileSync(join(folder, 'owner.json'), '{"pid":')
  {
    const [lock, ms] = await timed(acquireLock(mirror, { ...options, unknownMs: 300 }))
    await using _lock = lock
    expect(ms).toBeGreaterThanOrEqual(300)
    expect(existsSync(folder)).toBe(false)
  }
  mkdirSync(lockOf(mirror))
  const [lock, ms] = await timed(acquireLock(mirror, { ...options, unknownMs: 300 }))
  await using _lock = lock
  expect(ms).toBeGreaterThanOrEqual(300)
  expect(lock.wasUnclean).toBe(false)
})

test('an owner in another container that still beats keeps the lock', async ({ mirror }) => {
  const folder = await leftover(mirror, FOREIGN)
  const beat = (): void => utimesSync(lockOf(mirror), 1, performance.now())
  const heart = setInterval(beat, 50)
  try {
    await expect(acquireLock(mirror, { ...options, unknownMs: NEVER_MS })).rejects.toMatchObject({
      code: 'busy',
      message: expect.stringContaining('is in use by pid 7 (sync) since'),
    })
  } finally {
    clearInterval(heart)
  }
  expect(existsSync(lockOf(mirror))).toBe(true)
  expect(existsSync(folder)).toBe(true)
})

test('a lock that is released while we watch it is ours at once', async ({ mirror }) => {
  const folder = await leftover(mirror, FOREIGN)
  const taking = acquireLock(mirror, { ...options, unknownMs: NEVER_MS })
  await sleep(50)
  rmdirSync(lockOf(mirror))
  rmSync(folder, { recursive: true })
  await using lock = await taking
  expect(lock.wasUnclean).toBe(false)
})

test('an owner that has just taken the lock is told as soon as its record stands', async ({
  mirror,
}) => {
  const folder = await leftover(mirror, {})
  renameSync(folder, `${folder}.new`)
  const taking = acquireLock(mirror, { ...options, unknownMs: NEVER_MS })
  const told = expect(taking).rejects.toThrow(`by pid ${process.pid} (test)`)
  await sleep(50)
  renameSync(`${folder}.new`, folder)
  await told
})

test('beside the record of a dead owner, that of a living one speaks for the lock', async ({
  mirror,
}) => {
  await leftover(mirror, {})
  const dead = join(mirror.root, 'state/owners', '0'.repeat(32))
  const record = readFileSync(
    join(mirror.root, 'state/owners', 'f'.repeat(32), 'owner.json'),
    'utf8',
  )
  mkdirSync(dead)
  const changes = { token: '0'.repeat(32), startTick: '1' }
  writeFileSync(join(dead, 'owner.json'), JSON.stringify({ ...JSON.parse(record), ...changes }))
  await expect(acquireLock(mirror, options)).rejects.toMatchObject({ code: 'busy' })
  expect(existsSync(lockOf(mirror))).toBe(true)
})

test('whoever stops waiting for a lock says why, and has left nothing', async ({ mirror }) => {
  await leftover(mirror, FOREIGN)
  const stop = new AbortController()
  const taking = acquireLock(mirror, { ...options, signal: stop.signal, unknownMs: NEVER_MS })
  const stopped = expect(taking).rejects.toThrow('stopped by hand')
  await sleep(50)
  stop.abort(new Error('stopped by hand'))
  await stopped
  expect(ownersOf(mirror)).toEqual(['f'.repeat(32)])
})

test('a lock whose record cannot be written is not kept (P8)', async ({ mirror }) => {
  const owners = join(mirror.root, 'state/owners')
  rmdirSync(owners)
  writeFileSync(owners, 'no folder')
  await expect(acquireLock(mirror, options)).rejects.toMatchObject({ code: 'io' })
  expect(existsSync(lockOf(mirror))).toBe(false)
})

test('an owner that lost the lock without knowing neither writes nor frees it (P14)', async ({
  mirror,
}) => {
  const lost = await acquireLock(mirror, options)
  const writer = new Writer(mirror, lost.owner)
  await writer.replace('state/published', Buffer.from('first'))
  // a thief: the lock goes under an owner that sleeps
  rmdirSync(lockOf(mirror))
  const next = await acquireLock(mirror, options)
  expect(next.wasUnclean).toBe(true)
  await expect(writer.replace('state/published', Buffer.from('second'))).rejects.toThrow(LockLost)
  await lost[Symbol.asyncDispose]()
  expect(existsSync(lockOf(mirror))).toBe(true)
  expect(ownersOf(mirror)).toEqual([next.owner.token])
  expect(readFileSync(join(mirror.root, 'state/published'), 'utf8')).toBe('first')
  await next[Symbol.asyncDispose]()
  expect(existsSync(lockOf(mirror))).toBe(false)
})

test('an owner that lost the lock does not free it by ending, either (P14)', async ({ mirror }) => {
  await using child = await holder(mirror)
  rmdirSync(lockOf(mirror))
  await using _next = await acquireLock(mirror, options)
  const exit = once(child, 'exit')
  child.kill('SIGTERM')
  await exit
  expect(existsSync(lockOf(mirror))).toBe(true)
})

test('where the mirror has gone away there is no lock, and no folder is made in its place', async ({
  mirror,
}) => {
  rmSync(join(mirror.root, 'state'), { recursive: true })
  await expect(acquireLock(mirror, options)).rejects.toMatchObject({ code: 'io' })
  expect(readdirSync(mirror.root)).not.toContain('state')
})
