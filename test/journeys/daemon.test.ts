import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { Status } from '../../src/serve/status.ts'
import type { ScrubRound } from '../../src/store/scrub.ts'
import { Courier, edit } from '../bundle/carried.ts'
import { artifactAt, checksumOf, expectExit, Registry } from '../crateferry.ts'
import { Running } from '../daemon/running.ts'
import { Site } from '../site.ts'
import { serveFolder } from '../upstream.ts'

const timeout = 120_000

/** Takes the "# " from the line of a key and gives it another value. */
function configure(mirror: string, key: string, value: string): void {
  edit(join(mirror, 'crateferry.toml'), bytes => {
    const changed = bytes
      .toString()
      .replace(new RegExp(`^(?:# )?${key} = .*$`, 'm'), `${key} = ${value}`)
    expect(changed).not.toBe(bytes.toString())
    return Buffer.from(changed)
  })
}

async function indexFile(url: string, path: string): Promise<number> {
  return (await fetch(`${url}/index/${path}`)).status
}

test('a daemon syncs at once and when asked, serves, pauses, and ends well', {
  timeout,
}, async () => {
  await using registry = await Registry.make()
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  await using daemon = await Running.of(mirror)
  await daemon.until(/published snapshot 1/)
  expect(await indexFile(daemon.url, 'fe/rr/ferry-app')).toBe(200)

  await registry.publish('fe/rr/ferry-app', 'ferry-app', '9.9.9')
  await registry.sign()
  expect((await daemon.ctl('pause')).json()).toMatchObject({ isPaused: true })
  const refused = await daemon.ctl('sync-now', 64)
  expect(refused.stderr).toContain('paused: resume first')
  await daemon.ctl('resume')
  await daemon.ctl('sync-now')
  await daemon.until(/published snapshot 2/)
  const served = await (await fetch(`${daemon.url}/index/fe/rr/ferry-app`)).text()
  expect(served).toContain('"9.9.9"')

  // one mirror, one daemon; the socket is its owner's and group's
  const second = await expectExit(30, 'daemon', '--mirror', mirror, '--listen', '127.0.0.1:0')
  expect(second.stderr).toMatch(/a daemon answers on .*control\.sock already/)
  expect(statSync(join(mirror, 'state/control.sock')).mode & 0o777).toBe(0o660)
  const { runs } = (await daemon.ctl('runs')).json() as { runs: { received: number }[] }
  expect(runs).toHaveLength(2)
  expect(runs.every(({ received }) => received > 0)).toBe(true)
  const shown = await expectExit(0, 'runs', '--mirror', mirror)
  expect(shown.stdout).toMatch(/sync: exit 0 after .* s, published, snapshot 2, .* came\n$/)
  await expectExit(64, 'ctl', 'explode', '--mirror', mirror)
})

test('what rots on the disk is found and mended; what cannot be mended is told', {
  timeout,
}, async () => {
  await using registry = await Registry.make()
  const upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  await expectExit(0, 'sync', '--mirror', mirror)
  // it is read in the order of paths: this crate comes first
  const checksum = await checksumOf(join(mirror, 'public/index'), '1/f', '1.0.0')
  const artifact = join(mirror, 'public', artifactAt('1/f', checksum))
  const right = readFileSync(artifact)
  const rot = (): void => {
    rmSync(artifact)
    writeFileSync(artifact, 'rotten')
    rmSync(join(mirror, 'state/scrub.json'), { force: true })
  }
  rot()
  {
    await using daemon = await Running.of(mirror)
    await daemon.until(/scrub: f@1.0.0: .*: expected sha256/)
    expect(await scrubbed(daemon.url)).toMatchObject({ crates: 1, faults: 1, left: 0 })
    expect(readFileSync(artifact).equals(right)).toBe(true)
  }
  await upstream[Symbol.asyncDispose]()
  rot()
  await using daemon = await Running.of(mirror)
  await daemon.until(/degraded: scrub: exit 4/)
  expect(await scrubbed(daemon.url)).toMatchObject({ faults: 1, left: 1 })
  const { held, runs } = (await (await fetch(`${daemon.url}/api/status`)).json()) as Status
  expect(held.first).toMatchObject([{ crate: 'f', reason: expect.stringMatching(/^damaged/) }])
  expect(runs.map(({ command, exit }) => [command, exit])).toEqual([
    ['scrub', 4],
    ['scrub', 0],
    ['sync', 0],
  ])
})

/** The round that is being read, once something of it was. */
async function scrubbed(url: string): Promise<ScrubRound> {
  for (const end = performance.now() + 20_000; performance.now() < end; await sleep(50)) {
    const { scrub } = (await (await fetch(`${url}/api/status`)).json()) as Status
    if (scrub !== null) return scrub.round
  }
  return expect.fail('nothing was read back')
}

test('a configuration that is broken is told and not taken; the next good one is', {
  timeout,
}, async () => {
  await using registry = await Registry.make()
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  await using daemon = await Running.of(mirror)
  await daemon.until(/published snapshot 1/)
  const file = join(mirror, 'crateferry.toml')
  const good = readFileSync(file)
  writeFileSync(file, 'conections = 5\n')
  await daemon.until(/crateferry\.toml is not taken, the one before goes on/)
  // whoever asks about it is answered
  expect((await daemon.ctl('status')).json()).toMatchObject({ configError: expect.any(String) })
  await daemon.ctl('sync-now')
  await daemon.until(/nothing changed/)
  writeFileSync(file, good)
  configure(mirror, 'schedule', '"0 3 * * *"')
  await daemon.until(/crateferry\.toml is read anew/)
  const { nextSync, configError } = (await daemon.ctl('status')).json() as Record<string, string>
  expect(configError).toBeUndefined()
  const next = new Date(nextSync ?? '')
  expect([3, next.getMinutes() < 6]).toEqual([next.getHours(), true])
})

test('an upstream that is gone is asked again, sooner than the schedule, until it is back', {
  timeout,
}, async () => {
  await using registry = await Registry.make()
  const gone = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', gone.url)
  await gone[Symbol.asyncDispose]()
  await using daemon = await Running.of(mirror)
  await daemon.until(/sync: .*is done for this run/)
  const { failures, nextSync } = (await daemon.ctl('status')).json() as Record<string, string>
  expect(failures).toBe(1)
  expect(Date.parse(nextSync ?? '') - Date.now()).toBeLessThan(31_000)
})

test('what the site signed is renewed when half its life is over, also while its upstream is away', {
  timeout,
}, async () => {
  await using registry = await Registry.make()
  const upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  await expectExit(0, 'sync', '--mirror', mirror)
  await upstream[Symbol.asyncDispose]()
  const site = await Site.make(registry.at('keys'))
  site.configure(mirror)
  // two hours are less than half of the two days that the configuration wants from now on
  edit(join(mirror, 'crateferry.toml'), bytes =>
    Buffer.from(bytes.toString().replace('[sign]\n', '[sign]\ntimestamp-hours = 2\n')),
  )
  await expectExit(0, 'sign', '--mirror', mirror, '--root', site.root)
  configure(mirror, 'timestamp-hours', '48')
  await using daemon = await Running.of(mirror)
  await daemon.until(/sign: signed: targets 1, snapshot 1, timestamp 2 under root 1/)
  const shown = JSON.parse(readFileSync(join(mirror, 'public/site/timestamp.json'), 'utf8')) as {
    signed: { version: number }
  }
  expect(shown.signed.version).toBe(2)
})

test('it is ready with what was lately compared with its source, and healthy in any case', {
  timeout,
}, async () => {
  await using registry = await Registry.make()
  const upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  const asked = async (url: string): Promise<[number, string]> => {
    const answer = await fetch(url)
    return [answer.status, await answer.text()]
  }
  {
    await using daemon = await Running.of(mirror)
    await daemon.until(/published snapshot 1/)
    expect(await asked(`${daemon.url}/healthz`)).toEqual([200, 'ok\n'])
    const [status, line] = await asked(`${daemon.url}/readyz`)
    expect([status, line]).toEqual([
      200,
      expect.stringMatching(/^ready: compared .*, wanted within 48 h\n$/),
    ])
  }
  await upstream[Symbol.asyncDispose]()
  const clock = registry.at('clock.mjs')
  writeFileSync(
    clock,
    `const real = globalThis.Date
const ahead = () => real.now() + 3 * 86400000
globalThis.Date = class extends real {
  constructor(...given) { given.length === 0 ? super(ahead()) : super(...given) }
  static now() { return ahead() }
}
`,
  )
  await using late = await Running.of(mirror, { NODE_OPTIONS: `--import ${clock}` })
  await late.until(/stale: not compared with its source for 48 h/)
  expect(await asked(`${late.url}/readyz`)).toEqual([
    503,
    expect.stringMatching(/^stale: compared /),
  ])
  // cargo is served all the same
  expect(await indexFile(late.url, 'fe/rr/ferry-app')).toBe(200)
  expect(await asked(`${late.url}/healthz`)).toEqual([200, 'ok\n'])
})

test('what a courier brings is imported while the daemon serves, and hooks are told', {
  timeout,
}, async () => {
  await using courier = await Courier.make()
  const far = await courier.far()
  const inbox = courier.at('inbox')
  mkdirSync(inbox)
  const told = courier.at('told')
  const hook = courier.at('hook.sh')
  writeFileSync(hook, `#!/bin/sh\n{ echo "$CRATEFERRY_EVENT $1"; cat; } >> "${told}"\n`)
  chmodSync(hook, 0o755)
  const posted: { event?: string }[] = []
  const listener = createServer((request, response) => {
    void text(request).then(body => {
      posted.push(JSON.parse(body) as { event?: string })
      response.end()
    })
  })
  await new Promise<void>(resolve => listener.listen(0, '127.0.0.1', resolve))
  const address = listener.address()
  const port = typeof address === 'object' ? address?.port : 0
  configure(far, 'inbox', JSON.stringify([inbox]))
  configure(far, 'command', JSON.stringify([hook, 'crates']))
  configure(far, 'webhook', `"http://127.0.0.1:${port}/hook"`)
  {
    await using daemon = await Running.of(far)
    // no upstream: nothing is planned
    expect((await daemon.ctl('status')).json()).not.toHaveProperty('nextSync')
    await courier.export('full')
    renameSync(courier.at('full'), join(inbox, 'stick'))
    const [bag = ''] = readdirSync(join(inbox, 'stick'))
    renameSync(join(inbox, 'stick', bag), join(inbox, bag))
    await daemon.until(/imported: an import ended with exit code 0/)
    expect(await indexFile(daemon.url, 'fe/rr/ferry-app')).toBe(200)
    // damage in what comes next is told once as well
    await courier.registry.publish('fe/rr/ferry-app', 'ferry-app', '9.9.9')
    await courier.registry.sign()
    const next = await courier.export('next', '--base', 'targets:1')
    const [name = ''] = readdirSync(next)
    rmSync(join(next, name, 'data/crates'), { recursive: true })
    renameSync(join(next, name), join(inbox, name))
    await daemon.until(/degraded: import: exit 3/)
  }
  listener.close()
  expect(readFileSync(told, 'utf8')).toMatch(/^imported crates\n\{.*"event":"imported".*\}\n/)
  expect(posted.map(({ event }) => event)).toEqual(['imported', 'imported', 'degraded'])
})

test('a daemon that was killed leaves nothing that keeps the next one from starting', {
  timeout,
}, async () => {
  await using registry = await Registry.make()
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  const first = await Running.of(mirror)
  await first.until(/published snapshot 1/)
  await first.kill('SIGKILL')
  expect(existsSync(join(mirror, 'state/control.sock'))).toBe(true)
  const none = await expectExit(10, 'ctl', 'status', '--mirror', mirror)
  expect(none.stderr).toMatch(/no daemon answers on .*; is it running\?/)
  await using daemon = await Running.of(mirror)
  await daemon.ctl('sync-now')
  await daemon.until(/published snapshot 1|nothing changed/)
  await expectExit(0, 'verify', '--mirror', mirror)
})

test('the bytes of a month are counted, and when they are used up nothing more is asked', {
  timeout,
}, async () => {
  await using registry = await Registry.make()
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  configure(mirror, 'month-bytes', '2000')
  const first = await expectExit(3, 'sync', '--mirror', mirror)
  expect(first.stderr).toMatch(/the byte limit of this run is reached/)
  const second = await expectExit(3, 'sync', '--mirror', mirror)
  expect(second.stderr).toMatch(
    /the 2\.0 KB of sync\.month-bytes that \d{4}-\d\d has are used up; sync goes on in the next month/,
  )
  // no failure of the link: it waits for its time
  await using daemon = await Running.of(mirror)
  await daemon.ctl('sync-now')
  await daemon.until(/sync: the 2\.0 KB of sync\.month-bytes/)
  expect((await daemon.ctl('status')).json()).toMatchObject({ failures: 0 })
})
