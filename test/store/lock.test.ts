import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { test as base, expect } from 'vitest'
import { LockLost } from '../../src/store/durable.ts'
import { acquireLock } from '../../src/store/lock.ts'
import { createMirror, type Mirror, openMirror } from '../../src/store/mirror.ts'
import { Writer } from '../../src/store/writer.ts'

const test = base.extend('mirror', async ({}, { onCleanup }) => {
  const folder = await mkdtempDisposable(join(tmpdir(), 'lock-'))
  onCleanup(() => folder.remove())
  return await createMirror(join(folder.path, 'mirror'), { trust: 'observed', configuration: '' })
})

const options = { command: 'test', signal: AbortSignal.timeout(30_000), now: new Date() }

/** Another process that takes the lock and keeps it until it is killed. */
async function holder(mirror: Mirror): Promise<ReturnType<typeof spawn>> {
  const at = (file: string): string => JSON.stringify(resolve('src/store', file))
  const script = `
    import { acquireLock } from ${at('lock.ts')}
    import { openMirror } from ${at('mirror.ts')}
    const mirror = await openMirror(${JSON.stringify(mirror.root)})
    await acquireLock(mirror, { command: 'holder', signal: AbortSignal.timeout(60000), now: new Date() })
    console.log('held')
    setInterval(() => {}, 1000)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  return child
}

test('released, a lock leaves nothing and can be taken again', async ({ mirror }) => {
  for (let i = 0; i < 3; i += 1) {
    await using lock = await acquireLock(mirror, options)
    expect(lock.wasUnclean).toBe(false)
  }
  expect(existsSync(join(mirror.root, 'state/lock'))).toBe(false)
  expect(readdirSync(join(mirror.root, 'state/owners'))).toEqual([])
})

test('a second process is told the pid of the first; killed, its lock is taken at once (P14)', {
  timeout: 30_000,
}, async ({ mirror }) => {
  const child = await holder(mirror)
  await expect(acquireLock(mirror, options)).rejects.toThrow(`pid ${child.pid} (holder)`)
  // one that sleeps keeps it, however long
  child.kill('SIGSTOP')
  await expect(acquireLock(mirror, options)).rejects.toMatchObject({ code: 'busy' })
  child.kill('SIGKILL')
  await once(child, 'exit')
  await using lock = await acquireLock(mirror, options)
  expect(lock.wasUnclean).toBe(true)
  expect(readdirSync(join(mirror.root, 'state/owners'))).toEqual([lock.owner.token])
})

test('an owner that cannot be judged is waited for, and then taken for dead', async ({
  mirror,
}) => {
  {
    const lock = await acquireLock(mirror, options)
    writeFileSync(join(lock.owner.folder, 'owner.json'), '{"of": "another machine"}')
    // it is never released: as if its machine had vanished
  }
  const begun = performance.now()
  await using next = await acquireLock(mirror, { ...options, unknownMs: 600 })
  expect(performance.now() - begun).toBeGreaterThan(500)
  expect(next.owner.token).toMatch(/^[0-9a-f]{32}$/)
})

test('an owner whose folder was moved away replaces nothing any more (P14)', async ({ mirror }) => {
  const lost = await acquireLock(mirror, options)
  const writer = new Writer(mirror, lost.owner)
  await writer.replace('state/published', Buffer.from('first'))
  writeFileSync(join(lost.owner.folder, 'owner.json'), '{}')
  await using _next = await acquireLock(mirror, { ...options, unknownMs: 100 })
  await expect(writer.replace('state/published', Buffer.from('second'))).rejects.toThrow(LockLost)
})

test('a folder without a marker is no mirror, and another marker is noticed (P9)', async ({
  mirror,
}) => {
  await expect(openMirror(join(mirror.root, 'state'))).rejects.toMatchObject({ code: 'no-mirror' })
  await mirror.assertStillHere()
  const other = JSON.stringify({ ...mirror.marker, uuid: 'another' })
  writeFileSync(join(mirror.root, 'state/marker'), other)
  await expect(mirror.assertStillHere()).rejects.toThrow('found another')
})
