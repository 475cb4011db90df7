import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { test as base, expect } from 'vitest'
import { LockLost } from '../../src/store/durable.ts'
import { acquireLock } from '../../src/store/lock.ts'
import { createMirror, type Mirror } from '../../src/store/mirror.ts'
import { readOwnerRecords } from '../../src/store/owner-record.ts'

const WRITER = fileURLToPath(new URL('./lock-writer.ts', import.meta.url))
const WRITERS = 4

const test = base.extend('mirror', async ({}, { onCleanup }) => {
  const folder = await mkdtempDisposable(join(tmpdir(), 'lock-bench-'))
  onCleanup(() => folder.remove())
  return await createMirror(join(folder.path, 'mirror'), { trust: 'observed', configuration: '' })
})

/** Writers of one kind at work on one mirror, and what is done to them. */
class Bench implements AsyncDisposable {
  readonly mirror: Mirror
  readonly kind: 'fenced' | 'looking'
  readonly done = { thefts: 0, stops: 0, kills: 0 }
  readonly #notes: string
  readonly #writers: Map<number, { child: ChildProcess; ended: Promise<unknown> }> = new Map()
  readonly #crashed: string[] = []

  constructor(mirror: Mirror, kind: 'fenced' | 'looking') {
    this.mirror = mirror
    this.kind = kind
    this.#notes = join(mirror.root, '../notes')
    writeFileSync(this.#notes, '')
    writeFileSync(join(mirror.root, 'state/published'), '0')
    for (let i = 0; i < WRITERS; i += 1) this.#start()
  }

  /** What the writers said of themselves when they ended without being killed. */
  get crashed(): readonly string[] {
    return this.#crashed
  }

  published(): number[] {
    return readFileSync(this.#notes, 'utf8').trim().split('\n').map(Number)
  }

  twice(): number[] {
    const published = this.published()
    return published.filter((n, at) => published.indexOf(n) !== at)
  }

  /** Does to whoever holds the lock what a bad day does: sleep, theft of the lock, death. */
  async disturb(chance: number): Promise<void> {
    const pid = readOwnerRecords(this.mirror.root)[0]?.pid ?? 0
    const child = this.#writers.get(pid)?.child
    if (child === undefined) return
    child.kill('SIGSTOP')
    if (chance < 0.6) this.#steal()
    else this.done.stops += 1
    await sleep(30 + chance * 50)
    if (chance > 0.85) await this.#kill(pid)
    else child.kill('SIGCONT')
  }

  #steal(): void {
    try {
      rmdirSync(join(this.mirror.root, 'state/lock'))
      this.done.thefts += 1
    } catch {
      // it was being released when it was stopped
    }
  }

  async #kill(pid: number): Promise<void> {
    const writer = this.#writers.get(pid)
    this.#writers.delete(pid)
    this.done.kills += 1
    writer?.child.kill('SIGKILL')
    await writer?.ended
    this.#start()
  }

  #start(): void {
    const child = spawn(process.execPath, [WRITER, this.mirror.root, this.#notes, this.kind], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, NODE_OPTIONS: '' },
    })
    child.stderr.on('data', text => this.#crashed.push(String(text)))
    if (child.pid === undefined) return
    this.#writers.set(child.pid, { child, ended: once(child, 'exit') })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { child, ended } of this.#writers.values()) {
      child.kill('SIGKILL')
      await ended
    }
  }
}

test.concurrent('stopped, robbed and killed at random, writers never publish a number twice (P14)', {
  timeout: 60_000,
}, async ({ mirror }) => {
  await using bench = new Bench(mirror, 'fenced')
  while (bench.crashed.length === 0 && (bench.done.thefts < 15 || bench.done.kills < 3)) {
    await bench.disturb(Math.random())
    await sleep(20)
  }
  expect(bench.crashed).toEqual([])
  expect(bench.twice(), JSON.stringify(bench.done)).toEqual([])
  expect(bench.published().length).toBeGreaterThan(15)
})

test.concurrent('the canary: looking for the lock and then renaming does publish twice', {
  timeout: 60_000,
}, async ({ mirror }) => {
  await using bench = new Bench(mirror, 'looking')
  while (bench.crashed.length === 0 && bench.twice().length === 0) {
    await bench.disturb(0)
    await sleep(20)
  }
  expect(bench.crashed).toEqual([])
  expect(bench.twice()).not.toEqual([])
})

test.concurrent('an owner whose lock was stolen is told within a heartbeat', {
  timeout: 20_000,
}, async ({ mirror }) => {
  const signal = AbortSignal.timeout(15_000)
  await using lock = await acquireLock(mirror, { command: 'test', signal, now: new Date() })
  rmdirSync(join(mirror.root, 'state/lock'))
  await once(lock.lost, 'abort', { signal })
  expect(lock.lost.reason).toBeInstanceOf(LockLost)
})
