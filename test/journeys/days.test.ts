import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { sha256 } from '../../src/registry/checksum.ts'
import { parseIndexPath } from '../../src/registry/sparse-path.ts'
import { CratesIo } from '../crates-io.ts'
import { Observing, type Told } from '../observing.ts'

/**
 * Thirty simulated days of a registry that signs nothing: a tick every few hours, a sweep each
 * night, and everything that may happen to one. After each day the mirror is what the registry
 * served at the last closed sweep, but for what `status` lists with a reason.
 */

const HOUR = 3_600_000
const DAY = 24 * HOUR

/** Days on which something special happens; on all others people publish and yank. */
const EVENTS: Readonly<Record<number, (story: Story) => void | Promise<void>>> = {
  3: ({ registry }) => registry.yank('steady-02', '1.0.0'),
  4: ({ registry }) => registry.unyank('steady-02', '1.0.0'),
  6: ({ registry }) => registry.deleteVersion('steady-03', '1.0.0'),
  9: ({ registry }) => registry.deleteCrate('fleeting'),
  12: ({ registry }) => {
    registry.deleteCrate('reused')
  },
  14: ({ registry }) => {
    registry.publish('reused', '1.0.0', { bytes: Buffer.from('other bytes of the same version') })
  },
  17: ({ registry }) => registry.captivePortal(true),
  18: ({ registry }) => registry.captivePortal(false),
  20: story => {
    story.cutsSweep = true
  },
  22: ({ registry }) => {
    registry.deleteVersion('wicked', '1.0.1')
    registry.advisory(
      'RUSTSEC-2026-0900',
      'wicked',
      '`wicked` 1.0.1 was removed from crates.io for malicious code',
    )
  },
  25: ({ registry }) => registry.stale(12 * 60),
  26: ({ registry }) => registry.stale(0),
}

interface Story {
  readonly registry: CratesIo
  cutsSweep: boolean
}

test('thirty days: the mirror is what the registry was, nothing is lost, all is told', {
  timeout: 240_000,
}, async () => {
  await using registry = await CratesIo.start({ now: new Date('2026-03-01T00:00:00Z') })
  for (let n = 1; n <= 30; n += 1) registry.publish(steady(n), '1.0.0')
  registry.publish('fleeting', '0.1.0')
  registry.publish('reused', '1.0.0')
  registry.publish('wicked', '1.0.0')
  registry.publish('wicked', '1.0.1')
  registry.advance(DAY)
  await using mirror = await Observing.make(registry)
  expect((await mirror.sync()).exit).toBe(0)

  const story: Story = { registry, cutsSweep: false }
  const artifacts = new Set<string>()
  const fetched = new Set<string>()
  const told: { readonly day: number; readonly run: Told }[] = []
  for (let day = 1; day <= 30; day += 1) {
    await EVENTS[day]?.(story)
    registry.publish(steady(day), `1.0.${day}`)
    if (day % 5 === 0) registry.publish(`new-${day}`, '0.1.0')
    for (let hour = 0; hour < 24; hour += 6) {
      registry.advance(6 * HOUR)
      if (story.cutsSweep && hour === 18) await cutTheSweep(story, mirror)
      registry.requests.clear()
      const isSweepDue = await sweepIsDue(registry, mirror)
      const run = await mirror.sync()
      told.push({ day, run })
      expectPolite(registry, { isSweepDue, run, fetched })
    }
    await compare(day, registry, mirror, artifacts)
  }
  await expectRecorded(mirror)
  const withdrawn = told.filter(({ run }) => (run.json['withdrawn'] as [] | undefined)?.length)
  expect(withdrawn).toMatchObject([{ day: 22 }])
  expect(Object.values((await mirror.status())['withdrawn'] as object)).toMatchObject([
    { crate: 'wicked', version: '1.0.1', why: expect.stringContaining('RUSTSEC-2026-0900') },
  ])
  expect(told.filter(({ run }) => run.exit === 17).map(({ day }) => day)).toContain(14)
  expect(new Set(told.filter(({ run }) => run.exit === 3).map(({ day }) => day))).toContain(17)
  // the name that came back with other bytes: both are here, and the index names the first
  expect(await readdir(join(mirror.mirror, 'public/crates/re/us'))).toHaveLength(2)
  const verified = await mirror.verify()
  expect(verified.exit, verified.said.join('\n')).toBe(0)
})

/** 30 steady ones, six new ones, and those with a story of their own. */
const CRATES_IN_ALL = 39

const steady = (n: number): string => `steady-${String(n).padStart(2, '0')}`

/** As docs/operating.md says: an open one, and a day after the last one began. */
async function sweepIsDue(registry: CratesIo, mirror: Observing): Promise<boolean> {
  const { sweep } = (await mirror.status()) as { sweep: { started: string; closed: string | null } }
  return sweep.closed === null || registry.now.getTime() - Date.parse(sweep.started) >= DAY
}

/**
 * What one run asked: the feeds, advisories, what they name and what is open; a sweep once for each
 * file that was ever known; the API host for nothing. No artifact that came is asked for again.
 */
function expectPolite(
  { requests }: CratesIo,
  {
    isSweepDue,
    run,
    fetched,
  }: { readonly isSweepDue: boolean; readonly run: Told; readonly fetched: Set<string> },
): void {
  expect(requests.count(/^\/api\//)).toBe(0)
  const index = requests.filter(({ path }) => path.startsWith('/index/')).map(({ path }) => path)
  const known = CRATES_IN_ALL
  expect(index.length).toBeLessThanOrEqual(isSweepDue ? known : 4)
  expect(requests.count(/rss|advisories/)).toBeLessThanOrEqual(3)
  expect(requests.count(/db-dump/)).toBeLessThanOrEqual(isSweepDue ? 4 : 0)
  const others = requests.filter(({ path }) => !/^\/index\/|rss|advisories|db-dump/.test(path))
  expect(others.length).toBeLessThanOrEqual(4)
  // an outage and a captive portal are asked twice: `tries`
  if (run.exit === 3) return
  expect(new Set(index).size).toBe(index.length)
  for (const { path } of others) {
    expect(fetched).not.toContain(path)
    fetched.add(path)
  }
}

/** All that happened, dated, with the reason, for who reads the records a year later. */
async function expectRecorded({ mirror }: Observing): Promise<void> {
  const text = await readFile(join(mirror, 'state/runs.jsonl'), 'utf8')
  const runs = text
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line))
  const recorded = (key: string): unknown[] =>
    runs.flatMap(run => (run[key] ?? []).map((what: unknown) => [run.at.slice(0, 10), what]))
  const twice = (first: string, last: string): unknown =>
    expect.stringMatching(new RegExp(`first ${first}.*, last ${last}`))
  expect(recorded('yanked')).toEqual([['2026-03-05', 'steady-02@1.0.0']])
  expect(recorded('unyanked')).toEqual([['2026-03-06', 'steady-02@1.0.0']])
  expect(recorded('withdrawn')).toEqual([['2026-03-23', expect.stringContaining('wicked@1.0.1')]])
  expect(recorded('removed')).toEqual([
    ['2026-03-08', { ...one('st/ea/steady-03', false), reason: twice('2026-03-08', '2026-03-08') }],
    [
      '2026-03-18',
      {
        ...one('fl/ee/fleeting', true),
        versions: ['0.1.0'],
        reason: twice('2026-03-11', '2026-03-18'),
      },
    ],
    [
      '2026-03-23',
      {
        ...one('wi/ck/wicked', false),
        versions: ['1.0.1'],
        reason: expect.stringContaining('RUSTSEC'),
      },
    ],
  ])
  expect(recorded('rollbacks')[0]).toEqual(['2026-03-15', 're/us/reused'])
  const ended = Map.groupBy(runs, ({ exit }) => exit)
  // the portal, and the sweep that was cut
  expect(new Set(ended.get(3)?.map(({ at }) => at.slice(0, 10)))).toEqual(
    new Set(['2026-03-18', '2026-03-19', '2026-03-22']),
  )
  expect([...ended.keys()].sort()).toEqual([0, 17, 3])
}

const one = (path: string, all: boolean): object => ({ path, all, versions: ['1.0.0'] })

/** An outage in the midst of a sweep: it stays open, and the next run goes on with it. */
async function cutTheSweep(story: Story, mirror: Observing): Promise<void> {
  story.cutsSweep = false
  story.registry.misbehave(/^\/index\/st/, { kind: 'close' }, { skip: 10 })
  expect((await mirror.sync({ sweep: true })).exit).toBe(3)
  expect(await mirror.status()).toMatchObject({ sweep: { closed: null } })
  story.registry.behave()
}

/** Byte for byte what the registry serves, or listed with a reason; and no artifact ever goes. */
async function compare(
  day: number,
  registry: CratesIo,
  mirror: Observing,
  artifacts: Set<string>,
): Promise<void> {
  const status = await mirror.status()
  const listed = { ...(status['held'] as object), ...(status['kept'] as object) }
  const excused = new Set(Object.keys(listed))
  const isPortal = day === 17
  for (const [path, bytes] of registry.state()) {
    if (excused.has(path) || isPortal) continue
    const file = join(mirror.mirror, 'public/index', path)
    const found = existsSync(file) ? await readFile(file, 'utf8') : 'nothing'
    expect(found, `day ${day}: ${path}`).toBe(bytes.toString())
    for (const line of bytes.toString().trimEnd().split('\n')) {
      artifacts.add(`${path.slice(0, path.lastIndexOf('/'))}/${JSON.parse(line).cksum}`)
    }
  }
  const names = await readdir(join(mirror.mirror, 'public/index'), { recursive: true })
  for (const path of names.flatMap(name => parseIndexPath(name) ?? [])) {
    const isTheirs = registry.state().has(path) || excused.has(path) || isPortal
    expect(isTheirs, `day ${day}: ${path} is nobody's`).toBe(true)
  }
  for (const name of artifacts) {
    const [prefix, cksum] = [name.slice(0, name.lastIndexOf('/')), name.slice(-64)]
    const file = join(mirror.mirror, 'public/crates', prefix, `${cksum}.crate`)
    const quarantined = join(mirror.mirror, 'state/quarantine', `${cksum}.crate`)
    const there = existsSync(file) ? file : quarantined
    expect(sha256(await readFile(there)), `day ${day}: ${name}`).toBe(cksum)
  }
}
