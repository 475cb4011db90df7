import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { contents, expectExit } from '../crateferry.ts'
import { CratesIo } from '../crates-io.ts'
import { Observing } from '../observing.ts'

const HOUR = 3_600_000
const timeout = 120_000
const nameOf = (n: number): string => `crate-${String(n).padStart(4, '0')}`

test.for([
  ['a sweep', { sweep: true }],
  ['a tick', {}],
] as const)(
  'a registry that lost half of its crates empties no mirror: exit 17 in %s, until just that is accepted',
  {
    timeout,
  },
  async ([, second]) => {
    await using registry = await CratesIo.start({ now: new Date('2026-03-01T00:00:00Z') })
    for (let n = 0; n < 60; n += 1) registry.publish(nameOf(n), '1.0.0')
    await using mirror = await Observing.make(registry)
    await mirror.configure('# hold-days = 7', 'hold-days = 0')
    expect((await mirror.sync()).exit).toBe(0)
    const before = await contents(join(mirror.mirror, 'public'))

    for (let n = 0; n < 30; n += 1) registry.deleteCrate(nameOf(n))
    registry.advance(HOUR)
    const first = await mirror.sync({ sweep: true })
    expect(first.exit, first.said.join('\n')).toBe(0)
    expect(Object.keys((await mirror.status())['kept'] as object)).toHaveLength(30)
    registry.advance(HOUR)
    const stopped = await mirror.sync(second)
    expect(stopped.exit).toBe(17)
    expect(stopped.said.join('\n')).toMatch(
      /would remove 30 of 60 crates .*cr\/at\/crate-00\d\d.*; nothing was changed\. If that is right, run sync --accept-removals 30 --reason TEXT/,
    )
    expect(await contents(join(mirror.mirror, 'public'))).toEqual(before)

    // fewer than would go is no word on them
    const fewer = await mirror.sync({ acceptRemovals: 29, reason: 'asked around' })
    expect(fewer.exit).toBe(17)
    expect(await contents(join(mirror.mirror, 'public'))).toEqual(before)
    const accepted = await mirror.sync({ acceptRemovals: 30, reason: 'asked around' })
    expect(accepted.exit, accepted.said.join('\n')).toBe(0)
    const index = Object.keys(await contents(join(mirror.mirror, 'public/index')))
    expect(index.filter(path => /\/crate-\d{4}$/.test(path))).toHaveLength(30)
    // their artifacts stay for `prune`, and their index files for who pinned an older state
    const crates = await contents(join(mirror.mirror, 'public/crates'))
    expect(Object.keys(crates)).toHaveLength(60)
    const { runs } = (await mirror.status()) as { runs: Record<string, unknown>[] }
    expect(runs.at(-1)).toMatchObject({ exit: 0, reason: 'asked around' })
    expect((await mirror.verify()).exit).toBe(0)
  },
)

test('kill -9 in the midst of a sweep: the next run asks for the rest', { timeout }, async () => {
  const crates = 2500
  await using registry = await CratesIo.start()
  for (let n = 0; n < crates; n += 1) registry.publish(nameOf(n), '1.0.0')
  await using observing = await Observing.make(registry)
  const { mirror } = observing
  await observing.configure('[select]', '[select]\ndeny = ["*"]')
  await expectExit(0, 'sync', '--mirror', mirror)
  await expect.poll(() => Date.now() % 1000).toBeLessThan(200)

  registry.requests.clear()
  const args = ['bin/crateferry.js', 'sync', '--sweep', '--mirror', mirror]
  const child = spawn(process.execPath, args, { stdio: 'ignore' })
  const looks = (): number => registry.requests.count(/^\/index\/cr/)
  await expect.poll(looks, { interval: 1, timeout: 20_000 }).toBeGreaterThan(1500)
  child.kill('SIGKILL')
  expect(await once(child, 'exit')).toEqual([null, 'SIGKILL'])
  const before = looks()
  expect(before).toBeLessThan(crates)
  registry.requests.clear()
  const { stdout } = await expectExit(0, 'sync', '--mirror', mirror)
  expect(stdout).toMatch(/^nothing changed: .*, observed over TLS, not signed upstream$/m)
  expect(looks()).toBeLessThanOrEqual(crates - 1300)
  expect(before + looks()).toBeGreaterThanOrEqual(crates)
})
