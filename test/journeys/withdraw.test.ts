import { existsSync } from 'node:fs'
import { cp, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test as base, expect } from 'vitest'
import { startServer } from '../../src/serve/server.ts'
import { MirrorReader } from '../../src/store/reader.ts'
import { artifactAt, checksumOf, crateferry, expectExit, Registry } from '../crateferry.ts'
import { type LoopbackUpstream, serveFolder } from '../upstream.ts'

const HULL = 'fe/rr/ferry-hull'
const WHY = 'court order 12/345'
const TIMES = { timeout: 60_000 }

/** A mirror of the fixtures whose `ferry-hull@1.1.0` an operator is about to withdraw. */
class Case {
  readonly registry: Registry
  readonly upstream: LoopbackUpstream
  readonly mirror: string
  readonly checksum: string

  constructor(given: Omit<Pick<Case, keyof Case>, 'public' | 'quarantine' | 'run' | 'ask'>) {
    this.registry = given.registry
    this.upstream = given.upstream
    this.mirror = given.mirror
    this.checksum = given.checksum
  }

  get public(): string {
    return join(this.mirror, 'public', artifactAt(HULL, this.checksum))
  }
  quarantine(kind: 'crate' | 'json'): string {
    return join(this.mirror, 'state/quarantine', `${this.checksum}.${kind}`)
  }
  async run(exit: number, ...args: string[]): ReturnType<typeof expectExit> {
    return await expectExit(exit, ...args, '--mirror', this.mirror)
  }
  /** What a client is told who asks for the artifact by each of its names. */
  async ask(): Promise<{ status: number; text: string }[]> {
    const reader = new MirrorReader(this.mirror)
    const log = (line: string): never => expect.fail(line)
    const listen = { host: '127.0.0.1', port: 0 }
    await using server = await startServer({ reader, listen, url: 'http://unused.example', log })
    const names = [artifactAt(HULL, this.checksum), 'api/v1/crates/ferry-hull/1.1.0/download']
    const answers = names.map(async name => {
      const answer = await fetch(`${server.url}/${name}`)
      return { status: answer.status, text: await answer.text() }
    })
    return await Promise.all(answers)
  }
}

const test = base
  .extend('registry', async ({}, { onCleanup }) => {
    const registry = await Registry.make()
    onCleanup(() => registry[Symbol.asyncDispose]())
    return registry
  })
  .extend('upstream', async ({ registry }, { onCleanup }) => {
    const upstream = await serveFolder(registry.public)
    onCleanup(() => upstream[Symbol.asyncDispose]())
    return upstream
  })
  .extend('at', async ({ registry, upstream }) => {
    const mirror = await registry.mirror('mirror', upstream.url)
    await expectExit(0, 'sync', '--mirror', mirror)
    const checksum = await checksumOf(registry.at('plain/index'), HULL, '1.1.0')
    return new Case({ registry, upstream, mirror, checksum })
  })

test(
  'what an operator withdraws is gone for every reader, and no sync brings it back',
  TIMES,
  async ({ at }) => {
    const bytes = await readFile(at.public)
    const taken = await at.run(0, 'withdraw', 'ferry-hull@1.1.0', '--reason', WHY)
    expect(taken.stdout).toBe(`withdrawn: ferry-hull@1.1.0 (sha256 ${at.checksum})\n`)
    expect(existsSync(at.public)).toBe(false)
    expect(await readFile(at.quarantine('crate'))).toEqual(bytes)
    for (const { status, text } of await at.ask()) {
      expect(status).toBe(404)
      expect(text).toMatch(/^withdrawn: ferry-hull@1\.1\.0: court order 12\/345, 20\d\d-\S+Z\n$/)
    }

    // upstream's index still has it, and says something new of the crate
    await at.registry.publish(HULL, 'ferry-hull', '3.0.0')
    await at.registry.sign()
    at.upstream.requests.clear()
    await at.run(0, 'sync')
    expect(at.upstream.requests.count(/3\.0\.0|\.crate/)).toBe(1)
    expect(existsSync(at.public)).toBe(false)
    expect((await at.run(0, 'verify')).stdout).toBe('no fault found\n')
    const one = await at.run(0, 'verify', 'ferry-hull@1.1.0')
    expect(one.stderr).toContain(`warning: withdrawn: ferry-hull@1.1.0: ${WHY}, `)

    const status = await at.run(0, 'status')
    expect(status.stdout).toContain(`withdrawn  ferry-hull@1.1.0: ${WHY}, `)
    const json = (await at.run(0, 'status', '--json')).json()
    const record = { crate: 'ferry-hull', version: '1.1.0', prefixes: ['fe/rr'], why: WHY }
    expect(json['withdrawn']).toMatchObject({ [at.checksum]: record })
    const run = { command: 'withdraw', exit: 0, reason: WHY, withdrawn: [at.checksum], count: 1 }
    expect(json['runs']).toContainEqual(expect.objectContaining(run))
    const again = await at.run(0, 'withdraw', 'ferry-hull@1.1.0', '--reason', 'another')
    expect(again.stdout).toContain('1 of them were withdrawn before')
    expect(JSON.parse(await readFile(at.quarantine('json'), 'utf8'))).toMatchObject(record)
  },
)

test('what was withdrawn by mistake gets its names back', TIMES, async ({ at }) => {
  const bytes = await readFile(at.public)
  await at.run(0, 'withdraw', 'ferry-hull@1.1.0', '--reason', WHY)
  await at.run(64, 'withdraw', '--restore', 'ferry-hull@1.0.0', '--reason', 'appeal won')
  const back = ['withdraw', '--restore', 'ferry-hull@1.1.0', '--reason', 'appeal won']
  expect((await at.run(0, ...back)).stdout).toBe(
    `restored: ferry-hull@1.1.0 (sha256 ${at.checksum})\n`,
  )
  expect(await readFile(at.public)).toEqual(bytes)
  expect((await at.ask()).map(({ status }) => status)).toEqual([200, 200])
  expect((await at.run(0, 'verify')).stdout).toBe('no fault found\n')
  const json = (await at.run(0, 'status', '--json')).json()
  expect(json['withdrawn']).toEqual({})
  expect((json['runs'] as object[]).at(-1)).toMatchObject({
    command: 'withdraw --restore',
    reason: 'appeal won',
  })
})

test('wrong bytes are not restored, and lost ones are fetched again', TIMES, async ({ at }) => {
  await at.run(0, 'withdraw', 'ferry-hull@1.1.0', '--reason', WHY)
  const back = ['withdraw', '--restore', 'ferry-hull@1.1.0', '--reason', 'appeal won']
  await writeFile(at.quarantine('crate'), 'damaged')
  expect((await at.run(4, ...back)).stderr).toMatch(/has sha256 \S+; remove it and restore again/)
  expect((await at.ask()).map(({ status }) => status)).toEqual([404, 404])
  await rm(at.quarantine('crate'))
  expect((await at.run(0, ...back)).stdout).toContain('verify ferry-hull@1.1.0 --repair fetches')
  await at.run(0, 'verify', 'ferry-hull@1.1.0', '--repair')
  expect((await at.run(0, 'verify')).stdout).toBe('no fault found\n')
})

test(
  'a kill between the record and the move: nobody is given it, and any writer finishes',
  TIMES,
  async ({ at }) => {
    const saved = at.registry.at('saved.crate')
    await cp(at.public, saved)
    await at.run(0, 'withdraw', 'ferry-hull@1.1.0', '--reason', WHY)
    for (const finish of [['sync'], ['verify', '--repair'], ['verify', 'ferry-hull', '--repair']]) {
      await rename(at.quarantine('crate'), at.public)
      expect((await at.ask()).map(({ status }) => status)).toEqual([404, 404])
      const { stdout } = await at.run(4, 'verify')
      expect(stdout).toContain('withdrawn, and still here: ferry-hull@1.1.0: court order')
      await at.run(0, ...finish)
      expect(existsSync(at.public), finish.join(' ')).toBe(false)
      expect(await readFile(at.quarantine('crate'))).toEqual(await readFile(saved))
    }
  },
)

test(
  'a copy under another prefix goes too; what upstream took away is found in older files',
  TIMES,
  async ({ at }) => {
    const twin = join(at.mirror, 'public/crates/tw/in', `${at.checksum}.crate`)
    await mkdir(join(twin, '..'), { recursive: true })
    await cp(at.public, twin)
    await at.registry.edit(HULL, lines => lines.filter(line => !line.includes('"vers":"1.1.0"')))
    await at.registry.sign()
    await at.run(0, 'sync')
    await at.run(0, 'withdraw', 'ferry-hull@1.1.0', '--reason', WHY)
    expect([existsSync(at.public), existsSync(twin)]).toEqual([false, false])
    expect((await at.ask()).map(({ text }) => text.slice(0, 28))).toEqual([
      'withdrawn: ferry-hull@1.1.0:',
      'withdrawn: ferry-hull@1.1.0:',
    ])
    expect((await at.run(0, 'verify', 'ferry-hull@1.1.0')).stdout).toBe('no fault found\n')
    await at.run(0, 'withdraw', '--restore', 'ferry-hull@1.1.0', '--reason', 'appeal won')
    expect(await readFile(twin)).toEqual(await readFile(at.public))
  },
)

test(
  'a lost or damaged record keeps its artifact away, and can be written again',
  TIMES,
  async ({ at }) => {
    await at.run(0, 'withdraw', 'ferry-hull@1.1.0', '--reason', WHY)
    await writeFile(at.quarantine('json'), '{')
    expect((await at.run(0, 'status')).stdout).toMatch(
      /withdrawn {2}unknown@unknown: .* is damaged/,
    )
    expect((await at.ask())[0]).toMatchObject({ status: 404 })
    await rm(at.quarantine('json'))
    expect((await at.run(0, 'status')).stdout).toMatch(
      /withdrawn {2}unknown@unknown: .* is missing/,
    )
    await at.run(0, 'withdraw', 'ferry-hull@1.1.0', '--reason', WHY)
    expect((await at.run(0, 'status')).stdout).toContain(`withdrawn  ferry-hull@1.1.0: ${WHY}`)
  },
)

test('names that are wrong change nothing', TIMES, async ({ at }) => {
  const wrong = ['ferry-hull', 'ferry-hull@2', 'ferry-hull@9.9.9', 'nothing@1.0.0', '@1.0.0']
  for (const name of wrong) {
    const ended = await crateferry(
      'withdraw',
      'ferry-hull@1.1.0',
      name,
      '--reason',
      WHY,
      '--mirror',
      at.mirror,
    )
    expect([name, ended.exit]).toEqual([name, 64])
    expect(ended.stderr.trim().split('\n')).toHaveLength(1)
  }
  await at.run(64, 'withdraw', 'ferry-hull@1.1.0')
  expect(existsSync(at.public)).toBe(true)
})
