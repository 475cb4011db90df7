import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { IndexPath } from '../../src/registry/sparse-path.ts'
import { readScrub, type Scrub, writeScrub } from '../../src/store/scrub.ts'
import { Progress } from '../../src/sync/run.ts'
import { afterBite, type Bite, scrubBite, scrubShare } from '../../src/sync/scrub.ts'
import { Traffic } from '../../src/upstream/traffic.ts'
import { artifactAt, checksumOf, expectExit, Registry } from '../crateferry.ts'
import { serveFolder } from '../upstream.ts'

let registry: Registry
let mirror: string
const CRATES = 11

beforeAll(async () => {
  registry = await Registry.make()
  await using upstream = await serveFolder(registry.public)
  mirror = await registry.mirror('mirror', upstream.url)
  await expectExit(0, 'sync', '--mirror', mirror)
}, 60_000)

afterAll(() => registry[Symbol.asyncDispose]())

const HOUR_MS = 3_600_000
const start = Date.parse('2026-11-01T00:00:00Z')
const at = (hours: number): Date => new Date(start + hours * HOUR_MS)

/** A bite that reads what it is asked for, of a mirror with so many crates. */
function read(scrub: Scrub | undefined, share: number, crates: number): Bite {
  const left = crates - (scrub?.round.crates ?? 0)
  const count = Math.min(share, left)
  return {
    share,
    after: 'se/rd/serde' as IndexPath,
    crates: count,
    bytes: count,
    faults: [],
    isStopped: false,
  }
}

test('an hour at a time everything is read within the days of a round, again and again', () => {
  const plan = { crates: 250_000, days: 30 }
  const ended: number[] = []
  let scrub: Scrub | undefined
  let most = 0
  for (let hour = 0; hour < 24 * 91; hour += 1) {
    const share = scrubShare(scrub, { ...plan, now: at(hour) })
    expect(share).toBeGreaterThan(0)
    most = Math.max(most, share)
    const before = scrub?.before?.ended
    scrub = afterBite(scrub, read(scrub, share, plan.crates), { now: at(hour), left: 0 })
    if (scrub.before?.ended !== before) ended.push(hour / 24)
    expect(scrubShare(scrub, { ...plan, now: at(hour + 0.9) })).toBe(0)
  }
  expect(ended.map(Math.round)).toEqual([30, 60, 90])
  expect(most).toBe(Math.ceil(250_000 / 720))
  expect(scrub?.before).toMatchObject({ crates: 250_000, faults: 0 })
})

test('a long stop is not made up for, a clock set back makes nothing wait, 0 days are never', () => {
  const plan = { crates: 7200, days: 30 }
  const scrub = afterBite(undefined, read(undefined, 10, 7200), { now: at(0), left: 0 })
  expect(scrubShare(scrub, { ...plan, now: at(2) })).toBe(20)
  expect(scrubShare(scrub, { ...plan, now: at(24) })).toBe(240)
  expect(scrubShare(scrub, { ...plan, now: at(24 * 20) })).toBe(240)
  expect(scrubShare(scrub, { ...plan, now: at(-1000) })).toBe(10)
  expect(scrubShare(scrub, { ...plan, days: 0, now: at(24) })).toBe(0)
})

test('what was stopped half way has paid for half', () => {
  const plan = { crates: 7200, days: 30 }
  const first = afterBite(undefined, read(undefined, 10, 7200), { now: at(0), left: 0 })
  const half: Bite = { ...read(first, 60, 7200), crates: 30, isStopped: true }
  const scrub = afterBite(first, half, { now: at(6), left: 0 })
  expect(scrub.before).toBeNull()
  expect(scrubShare(scrub, { ...plan, now: at(6) })).toBe(30)
})

async function bite(
  scrub: Scrub | undefined,
  share: number,
  { signal = AbortSignal.timeout(20_000), pace = new Traffic() } = {},
): Promise<Bite> {
  const url = 'http://127.0.0.1:8377'
  const look = { url, pace, progress: new Progress(), now: new Date(), signal }
  return await scrubBite(mirror, { ...look, after: scrub?.after ?? null, share })
}

test('a round reads each crate once; a wrong byte and a lost file are found in it', async () => {
  const index = join(mirror, 'public/index')
  const [deck, hull] = ['fe/rr/ferry_deck', 'fe/rr/ferry-hull']
  const wrong = artifactAt(deck, await checksumOf(index, deck, '0.3.0'))
  const lost = artifactAt(hull, await checksumOf(index, hull, '1.0.0'))
  writeFileSync(join(mirror, 'public', wrong), 'not this')
  rmSync(join(mirror, 'public', lost))
  const files: string[] = []
  const crates: number[] = []
  let scrub: Scrub | undefined
  while (scrub?.before == null) {
    const read = await bite(scrub, 4)
    files.push(...read.faults.map(({ file }) => file))
    crates.push(read.crates)
    scrub = afterBite(scrub, read, { now: new Date(), left: 1 })
  }
  expect(crates).toEqual([4, 4, CRATES - 8])
  expect(files.sort()).toEqual([`public/${wrong}`, `public/${lost}`].sort())
  expect(scrub.after).toBeNull()
  expect(scrub.before).toMatchObject({ crates: CRATES, faults: 2, left: 3 })
  expect(scrub.before.bytes).toBeGreaterThan(10_000)
})

test('to be stopped is a good end, and the next bite goes on from there', async () => {
  const stop = new AbortController()
  const pace = new Traffic(() => {
    stop.abort()
    return 1000
  })
  const stopped = await bite(undefined, CRATES, { signal: stop.signal, pace })
  expect(stopped).toMatchObject({ isStopped: true })
  expect(stopped.crates).toBeLessThan(CRATES)
  const scrub = afterBite(undefined, stopped, { now: new Date(), left: 0 })
  expect(scrub.before).toBeNull()
  expect((await bite(scrub, CRATES)).crates).toBe(CRATES - stopped.crates)
})

test('it reads no faster than it may', { timeout: 20_000 }, async () => {
  const began = performance.now()
  const { bytes } = await bite(undefined, CRATES, { pace: new Traffic(() => 20_000) })
  expect(performance.now() - began).toBeGreaterThan((bytes / 20_000) * 500)
})

test('a record that is not ours is as none, and one that is comes back', () => {
  const scrub = afterBite(undefined, read(undefined, 3, 9), { now: at(0), left: 0 })
  writeScrub(mirror, scrub)
  expect(readScrub(mirror)).toEqual(scrub)
  const file = join(mirror, 'state/scrub.json')
  for (const text of ['', '{"format":1', '{}', JSON.stringify({ ...scrub, after: '../../x' })]) {
    writeFileSync(file, text)
    expect(readScrub(mirror)).toBeUndefined()
  }
})
