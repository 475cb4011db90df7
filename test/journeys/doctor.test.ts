import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtempDisposable, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { test as base, expect } from 'vitest'
import { artifactAt, checksumOf, type Ended, expectExit, Registry } from '../crateferry.ts'
import { Running } from '../daemon/running.ts'
import { type LoopbackUpstream, serveFolder } from '../upstream.ts'

const TIMES = { timeout: 60_000 }

const test = base
  .extend('registry', async ({}, { onCleanup }) => {
    const registry = await Registry.make()
    onCleanup(() => registry[Symbol.asyncDispose]())
    return registry
  })
  .extend('upstream', async ({ registry }, { onCleanup }): Promise<LoopbackUpstream> => {
    const upstream = await serveFolder(registry.public)
    onCleanup(() => upstream[Symbol.asyncDispose]())
    return upstream
  })
  .extend('mirror', async ({ registry, upstream }) => {
    const mirror = await registry.mirror('mirror', upstream.url)
    await expectExit(0, 'sync', '--mirror', mirror)
    return mirror
  })

interface Check {
  readonly name: string
  readonly state: string
  readonly what: string
}

async function examined(exit: number, mirror: string): Promise<Check[]> {
  const ended: Ended = await expectExit(exit, 'doctor', '--mirror', mirror, '--json')
  return (ended.json() as { checks: Check[] }).checks
}

const stateOf = (checks: readonly Check[], name: string): Pick<Check, 'state' | 'what'> => {
  const found = checks.filter(check => check.name === name)
  return found.find(({ state }) => state !== 'ok') ?? found[0] ?? { state: 'none', what: '' }
}

async function set(mirror: string, section: string, line: string): Promise<void> {
  const file = join(mirror, 'crateferry.toml')
  const text = await readFile(file, 'utf8')
  await writeFile(file, text.replace(`[${section}]`, `[${section}]\n${line}`))
}

const hasCargo = await promisify(execFile)('cargo', ['--version']).then(
  () => true,
  () => void process.stderr.write('NO CARGO IS LET LOOSE BY THE DOCTOR: there is none here\n'),
)

test(
  'a mirror that is well: each thing is looked at, and nothing is left behind',
  TIMES,
  async ({ mirror }) => {
    await using daemon = await Running.of(mirror)
    await set(mirror, 'serve', `url = "${daemon.url}"`)
    await daemon.until(/is read anew/)
    const checks = await examined(0, mirror)
    const names = ['program', 'disk', 'space', 'upstream', 'clock', 'published', 'fresh', 'daemon']
    for (const name of [...names, 'server'])
      expect(stateOf(checks, name), name).toMatchObject({ state: 'ok' })
    expect(stateOf(checks, 'clock').what).toMatch(/ from the upstream's$/)
    if (hasCargo)
      expect(stateOf(checks, 'cargo').what).toMatch(/^cargo .* fetched .* from this mirror/)
    const { stdout } = await expectExit(0, 'doctor', '--mirror', mirror)
    expect(stdout).toMatch(/^ok {4}program .*\n(?:ok .*\n)+all is well\n$/)
    expect(existsSync(join(mirror, 'state/doctor'))).toBe(false)
  },
)

test(
  'what is wrong is named, with what to do, and its exit code',
  TIMES,
  async ({ mirror, upstream }) => {
    await upstream.goAway()
    await set(mirror, 'hooks', 'command = ["no-such-program"]')
    await set(mirror, 'bundle', 'inbox = ["nowhere"]')
    await set(mirror, 'store', 'reserve-bytes = 1125899906842624')
    const checks = await examined(3, mirror)
    expect(stateOf(checks, 'upstream')).toMatchObject({
      state: 'fail',
      what: expect.stringContaining('ECONNREFUSED'),
    })
    expect(stateOf(checks, 'hooks').what).toBe('hooks.command: no-such-program cannot be run')
    expect(stateOf(checks, 'inbox').what).toMatch(/nowhere is not a folder that can be read/)
    expect(stateOf(checks, 'space').what).toMatch(/a sync stops soon, or at once/)
    expect(stateOf(checks, 'server')).toMatchObject({ state: 'warn' })
    await set(mirror, 'sync', 'conections = 4')
    expect(stateOf(await examined(64, mirror), 'mirror').what).toMatch(/unknown key .*conections/)
  },
)

test.runIf(hasCargo)(
  'an artifact that cargo refuses fails the cargo check',
  TIMES,
  async ({ mirror }) => {
    const index = join(mirror, 'public/index')
    for (const path of ['1/f', '2/fy', '3/f/fry', 'fe/rr/ferrymast', 'fe/rr/ferry-ticket']) {
      const text = await readFile(join(index, path), 'utf8').catch(() => '')
      for (const line of text.trim().split('\n').filter(Boolean)) {
        const { vers } = JSON.parse(line) as { vers: string }
        const file = join(mirror, 'public', artifactAt(path, await checksumOf(index, path, vers)))
        await rm(file)
        await writeFile(file, 'not a crate')
      }
    }
    const { state, what } = stateOf(await examined(3, mirror), 'cargo')
    expect(what).toMatch(/could not fetch .* from this mirror: .*(?:500|damaged)/)
    expect(state).toBe('fail')
  },
)

test('a clock that differs from the upstream, and one that ran back', TIMES, async ({ mirror }) => {
  const server = createServer((_request, response) => {
    response.setHeader('date', new Date(Date.now() - 7_200_000).toUTCString())
    response.end('{}')
  }).listen(0, '127.0.0.1')
  await new Promise(done => server.once('listening', done))
  const { port } = server.address() as AddressInfo
  const file = join(mirror, 'crateferry.toml')
  const text = await readFile(file, 'utf8')
  await writeFile(file, text.replace(/^url = .*$/m, `url = "http://127.0.0.1:${port}"`))
  expect(stateOf(await examined(0, mirror), 'clock')).toMatchObject({
    state: 'warn',
    what: expect.stringMatching(/2 h.* from the upstream's.*set the clock/),
  })
  const book = join(mirror, 'state/trust/upstream/book.json')
  const noted = JSON.parse(await readFile(book, 'utf8')) as object
  await writeFile(book, JSON.stringify({ ...noted, clock: '2030-01-01T00:00:00Z' }))
  expect(stateOf(await examined(15, mirror), 'clock').what).toContain('set the clock')
  server.close()
})

test('a disk that is memory is doubted', TIMES, async ({ registry, skip }) => {
  await using folder = await mkdtempDisposable('/dev/shm/crateferry-').catch(() =>
    skip('NO MEMORY DISK IS DOUBTED: there is no /dev/shm'),
  )
  const mirror = join(folder.path, 'mirror')
  await expectExit(0, 'init', mirror, '--root', registry.root)
  const checks = await examined(0, mirror)
  expect(stateOf(checks, 'disk').what).toMatch(/^tmpfs, .*nothing here survives a restart/)
  expect(stateOf(checks, 'published').what).toBe('nothing yet; run sync')
})
