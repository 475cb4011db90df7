import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test as base, expect } from 'vitest'
import { CratesIo } from '../crates-io.ts'
import { Observing } from '../observing.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE

/** Three crates, mirrored; the feeds and the advisories were read just now. */
const test = base
  .extend('registry', async ({}, { onCleanup }) => {
    const registry = await CratesIo.start({ now: new Date('2026-03-01T00:00:00Z') })
    onCleanup(() => registry[Symbol.asyncDispose]())
    for (const name of ['serde', 'tokio', 'rand']) registry.publish(name, '1.0.0')
    registry.advance(2 * HOUR)
    return registry
  })
  .extend('mirror', async ({ registry }, { onCleanup }) => {
    const mirror = await Observing.make(registry)
    onCleanup(() => mirror[Symbol.asyncDispose]())
    expect((await mirror.sync()).exit).toBe(0)
    registry.requests.clear()
    return mirror
  })

const asked = ({ requests }: CratesIo): string[] => {
  const paths = requests.map(({ path }) => path)
  requests.clear()
  return paths
}
const FEEDS = ['/static/rss/updates.xml', '/static/rss/crates.xml']

test('a tick with nothing new is two requests, and writes nothing', async ({
  registry,
  mirror,
}) => {
  const published = await readFile(join(mirror.mirror, 'state/published'), 'utf8')
  for (let n = 0; n < 3; n += 1) {
    registry.advance(5 * MINUTE)
    expect((await mirror.sync()).exit).toBe(0)
    expect(asked(registry)).toEqual(FEEDS)
  }
  expect(await readFile(join(mirror.mirror, 'state/published'), 'utf8')).toBe(published)
})

test('a new version and a new crate cost their files, and nothing else', async ({
  registry,
  mirror,
}) => {
  registry.advance(5 * MINUTE)
  registry.publish('serde', '1.0.1')
  registry.publish('log', '0.1.0')
  expect((await mirror.sync()).exit).toBe(0)
  expect(asked(registry).toSorted()).toEqual(
    [
      ...FEEDS,
      '/index/se/rd/serde',
      '/index/3/l/log',
      '/static/crates/serde/1.0.1/download',
      '/static/crates/log/0.1.0/download',
    ].toSorted(),
  )
  registry.advance(5 * MINUTE)
  await mirror.sync()
  expect(asked(registry)).toEqual(FEEDS)
})

test('what the feed told and a stale copy does not show yet is asked for until it does', async ({
  registry,
  mirror,
}) => {
  registry.stale(30)
  registry.publish('serde', '1.0.1')
  registry.publish('log', '0.1.0')
  for (let minutes = 5; minutes < 30; minutes += 5) {
    registry.advance(5 * MINUTE)
    expect((await mirror.sync()).exit).toBe(0)
    expect(asked(registry).slice(2).toSorted()).toEqual(['/index/3/l/log', '/index/se/rd/serde'])
  }
  registry.advance(5 * MINUTE)
  expect((await mirror.sync()).exit).toBe(0)
  expect(existsSync(join(mirror.mirror, 'public/index/3/l/log'))).toBe(true)
  expect(await readFile(join(mirror.mirror, 'public/index/se/rd/serde'), 'utf8')).toContain('1.0.1')
  asked(registry)
  registry.advance(5 * MINUTE)
  await mirror.sync()
  expect(asked(registry)).toEqual(FEEDS)
})

test('a crate that the feed told of and the index never shows is forgotten after a day', async ({
  registry,
  mirror,
}) => {
  registry.publish('fleeting', '0.1.0')
  registry.deleteCrate('fleeting')
  registry.advance(MINUTE)
  expect((await mirror.sync()).exit).toBe(0)
  expect(asked(registry)).toContain('/index/fl/ee/fleeting')
  registry.advance(20 * HOUR)
  await mirror.sync()
  expect(asked(registry)).toContain('/index/fl/ee/fleeting')
  registry.advance(5 * HOUR)
  // a sweep is due by now: it asks for what is known, and that is not
  await mirror.sync()
  registry.advance(5 * MINUTE)
  asked(registry)
  await mirror.sync()
  expect(asked(registry)).toEqual(FEEDS)
})

test('a feed that no longer has what was read last brings a sweep', async ({
  registry,
  mirror,
}) => {
  // 100 items or an hour of them: so many that the one read last is out
  for (let n = 0; n < 101; n += 1) registry.publish('serde', `1.1.${n}`)
  registry.yank('tokio', '1.0.0')
  registry.advance(2 * HOUR)
  expect((await mirror.sync()).exit).toBe(0)
  expect(await mirror.status()).toMatchObject({
    sweep: { why: 'the feed of updates no longer has what was read last', settled: true },
  })
  const paths = asked(registry)
  for (const path of ['se/rd/serde', 'to/ki/tokio', 'ra/nd/rand']) {
    expect(paths).toContain(`/index/${path}`)
  }
  // no feed tells of a yank
  const tokio = await readFile(join(mirror.mirror, 'public/index/to/ki/tokio'), 'utf8')
  expect(tokio).toContain('"yanked":true')
})
