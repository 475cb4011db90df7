import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { bagOn, Courier, copyOf, edit, shown } from '../bundle/carried.ts'
import { contents, crateferry, expectExit } from '../crateferry.ts'

test('a mirror without a network is kept by what is carried: full, delta, damage, want-list', {
  timeout: 60_000,
}, async () => {
  await using courier = await Courier.make()
  const { registry, near } = courier
  const far = await courier.far()

  const full = await courier.export('full')
  expect((await courier.import(0, far, [full])).json()).toMatchObject({
    outcome: 'published',
    artifacts: 19,
    trust: 'tuf',
  })
  expect(await shown(far)).toEqual(await shown(near))
  await expectExit(0, 'verify', '--mirror', far)

  const before = await contents(far)
  expect((await courier.import(0, far, [full])).json()).toMatchObject({ outcome: 'unchanged' })
  expect(await shown(far)).toEqual(await shown(near))
  expect(Object.keys(await contents(far))).toEqual(Object.keys(before))

  await registry.publish('fe/rr/ferry-app', 'ferry-app', '9.9.9')
  await registry.remove('1/f')
  await registry.sign()
  const receipt = join(far, 'state/outbox', receiptIn(far))
  const delta = await courier.export('delta', '--base', `receipt:${receipt}`)
  expect(readdirSync(join(bagOn(delta), 'data/crates'))).toEqual([
    'crates-00001.idx',
    'crates-00001.tar',
  ])

  // too old for a delta: it says what it lacks, and publishes nothing
  const old = await courier.far('old')
  const pending = await courier.import(3, old, [delta])
  expect(pending.json()).toMatchObject({ outcome: 'pending' })
  expect(existsSync(join(old, 'state/published'))).toBe(false)
  const status = await crateferry('status', '--mirror', old)
  expect(status.stdout).toMatch(/^pending {4}targets 2 .*: \d+ files are missing/m)
  // in any order, also the older bundle first fills its gaps
  const filled = await courier.import(0, old, [full])
  expect(filled.json()).toMatchObject({ outcome: 'published' })
  expect(await shown(old)).toEqual(await shown(near))

  // damage in the delta: named, the rest kept, and the answer to the want-list heals it
  const damaged = copyOf(delta, courier.at('damaged'))
  edit(join(bagOn(damaged), 'data/crates/crates-00001.tar'), bytes => bytes.fill(0, 520, 530))
  const hurt = await courier.import(4, far, [damaged])
  expect(hurt.stderr).toContain('damaged: crates-00001: crates/ferry-app/ferry-app-9.9.9.crate')
  const want = join(far, 'state/outbox', nameIn(far, /^want-/))
  expect(readFileSync(want, 'utf8')).toMatch(
    /\nobject [0-9a-f]{64} crates\/ferry-app\/ferry-app-9\.9\.9\.crate\n/,
  )
  const answer = await courier.export('answer', '--for-want', want)
  expect(bagOn(answer)).toMatch(/cf-000002-w[0-9a-f]{8}-m01$/)
  const healed = await courier.import(0, far, [answer])
  expect(healed.json()).toMatchObject({ outcome: 'published', artifacts: 1 })
  expect(healed.stdout).toContain('"path":"1/f"')
  // what left the index stays until prune
  const { stdout } = await expectExit(0, 'prune', '--mirror', far, '--dry-run', '--json')
  expect(JSON.parse(stdout)).toMatchObject({ isDryRun: true })
  for (const path of Object.keys(await shown(near)))
    expect(Object.keys(await shown(far))).toContain(path)
  await expectExit(0, 'verify', '--mirror', far)
})

function nameIn(mirror: string, pattern: RegExp): string {
  return readdirSync(join(mirror, 'state/outbox')).find(name => pattern.test(name)) ?? ''
}

const receiptIn = (mirror: string): string => nameIn(mirror, /^receipt-/)

test('several media: the missing one is named, a damaged volume is written again bit for bit', {
  timeout: 60_000,
}, async () => {
  await using courier = await Courier.make()
  for (let n = 0; n < 40; n += 1) {
    await courier.registry.publish('fe/rr/ferry-app', 'ferry-app', `7.0.${n}`)
  }
  await courier.registry.sign()
  const size = ['--volume-size', '1MiB', '--medium-size', String(32 * 2 ** 20 + 300_000)]
  const media = await courier.export('all', ...size)
  const bags = readdirSync(media).sort()
  expect(bags.length).toBeGreaterThan(1)
  const far = await courier.far()
  const [first = '', second = ''] = bags
  const ended = await courier.import(3, far, [join(media, first)])
  expect(ended.json()).toMatchObject({
    outcome: 'pending',
    notSeen: [expect.stringMatching(/^crates-0000\d \(medium 2\)$/)],
  })
  expect(ended.stderr).toMatch(/not seen: crates-00001 \(medium 2\); bring that medium/)
  await courier.import(0, far, [join(media, second), join(media, first)])
  expect(await shown(far)).toEqual(await shown(courier.near))

  const plan = join(media, first, 'bundle.json')
  const again = courier.at('again')
  await courier.export('again', '--again', plan, '--volumes', 'crates-00001')
  const volume = 'data/crates/crates-00001.tar'
  expect(readFileSync(join(bagOn(again), volume))).toEqual(
    readFileSync(join(media, second, volume)),
  )
  expect(bagOn(again)).toMatch(/-r01$/)
  // the medium lost a volume, the repetition has it
  const other = await courier.far('other')
  rmSync(join(media, second, volume))
  await courier.import(0, other, [media, again])
  expect(await shown(other)).toEqual(await shown(courier.near))
})

test('a delta onto a mirror that lacks its base keeps what it brings, and any bundle that has the rest ends it', {
  timeout: 60_000,
}, async () => {
  await using courier = await Courier.make()
  const { registry } = courier
  // so many that the tree has tiles below its root
  for (let n = 0; n < 90; n += 1) courier.add(`crate-${n}`)
  await registry.sign()
  const full = await courier.export('full')
  courier.add('crate-7', '2.0.0')
  await registry.sign()
  const delta = await courier.export('delta', '--base', 'targets:2')
  const far = await courier.far()
  const pending = await courier.import(3, far, [delta])
  expect(pending.stderr).toMatch(/\d+ files are not here yet \(\d+ tiles of the index tree/)
  expect(existsSync(join(far, 'state/published'))).toBe(false)
  const want = readFileSync(join(far, 'state/outbox', nameIn(far, /^want-/)), 'utf8')
  expect(want).toMatch(/^tile [0-9a-f]{64} [0-9a-f]$/m)
  // of the crate that changed what came is kept: only the version before is wanted
  expect(want.match(/^object .*/gm)).toEqual([
    expect.stringMatching(/ crates\/crate-7\/crate-7-1\.0\.0\.crate$/),
  ])
  // the state before it brings the rest: not published itself, it fills the gaps
  const filled = await courier.import(0, far, [full])
  expect(filled.json()).toMatchObject({ outcome: 'published' })
  expect(await shown(far)).toEqual(await shown(courier.near))
  await expectExit(0, 'verify', '--mirror', far)
})
