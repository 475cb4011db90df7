import { execFile } from 'node:child_process'
import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Updater } from 'tuf-js'
import { expect, test } from 'vitest'
import { sha256 } from '../../src/registry/checksum.ts'
import { acquireLock } from '../../src/store/lock.ts'
import { bagOn, Courier } from '../bundle/carried.ts'
import { contents, crateferry, expectExit } from '../crateferry.ts'
import { serveFolder } from '../upstream.ts'

const timeout = 60_000

test('an export that has a hole does not start: the object is named, no folder is made (B5)', {
  timeout,
}, async () => {
  await using courier = await Courier.make()
  const crates = join(courier.near, 'public/crates')
  const [lost = ''] = readdirSync(crates, { recursive: true, encoding: 'utf8' }).filter(name =>
    name.endsWith('.crate'),
  )
  rmSync(join(crates, lost))
  mkdirSync(courier.at('stick'))
  const ended = await expectExit(
    3,
    'bundle',
    'export',
    '--to',
    courier.at('stick'),
    '--mirror',
    courier.near,
  )
  expect(ended.stderr).toMatch(
    /1 objects of the published state are not here: [\w-]+@[\w.+-]+; run verify --repair/,
  )
  expect(readdirSync(courier.at('stick'))).toEqual([])
  expect(existsSync(join(courier.near, 'state/exports'))).toBe(false)
})

test('what cannot be exported says why: into the mirror, no folder, too old on arrival', {
  timeout,
}, async () => {
  await using courier = await Courier.make()
  const { near } = courier
  const to = (folder: string, ...more: string[]): string[] => [
    'bundle',
    'export',
    '--to',
    folder,
    '--mirror',
    near,
    ...more,
  ]
  await expectExit(64, ...to(join(near, 'public')))
  await expectExit(64, ...to(courier.at('nowhere')))
  mkdirSync(courier.at('stick'))
  await expectExit(64, ...to(courier.at('stick'), '--medium', '2'))
  await expectExit(10, ...to(courier.at('stick'), '--base', 'targets:7'))
  const late = await expectExit(12, ...to(courier.at('stick'), '--valid-for', '90d'))
  expect(late.stderr).toMatch(
    /timestamp ends .* and would be accepted until .*, the bundle is to be good until /,
  )
  const far = await courier.far()
  await expectExit(3, 'bundle', 'export', '--to', courier.at('stick'), '--mirror', far)
  expect(readdirSync(courier.at('stick'))).toEqual([])
  // whoever gave the receipt has it all
  await courier.import(0, far, [await courier.export('full')])
  const receipt = `receipt:${join(far, 'state/outbox')}`
  expect((await expectExit(0, ...to(courier.at('stick'), '--base', receipt))).stdout).toMatch(
    /^nothing to send/,
  )
  expect(readdirSync(courier.at('stick'))).toEqual([])
})

test('two machines write the same volumes, whatever their umask, zone and language (B10)', {
  timeout,
}, async () => {
  await using courier = await Courier.make()
  const one = await courier.export('one')
  const near = courier.at('elsewhere')
  cpSync(courier.near, near, { recursive: true })
  rmSync(join(near, 'state/exports'), { recursive: true })
  mkdirSync(courier.at('two'))
  const script = `umask 077; exec "$NODE" bin/crateferry.js bundle export --to "$TO" --mirror "$MIRROR"`
  const env = {
    NODE: process.execPath,
    TO: courier.at('two'),
    MIRROR: near,
    TZ: 'Asia/Kathmandu',
    LC_ALL: 'tr_TR.UTF-8',
  }
  await promisify(execFile)('sh', ['-c', script], {
    env: { ...process.env, NODE_OPTIONS: '', ...env },
  })
  expect(await contents(join(bagOn(courier.at('two')), 'data'))).toEqual(
    await contents(join(bagOn(one), 'data')),
  )
})

test('what its sender calls gone upstream waits for its exact number, once', {
  timeout,
}, async () => {
  await using courier = await Courier.make()
  const { near } = courier
  // withdrawn by the sender's policy: the index names it, the sender has it no more
  await expectExit(0, 'withdraw', 'fy@0.1.0', '--reason', 'court order', '--mirror', near)
  const full = await courier.export('full')
  const far = await courier.far()
  const waiting = await courier.import(3, far, [full])
  expect(waiting.stderr).toMatch(
    /1 artifacts are said to be gone upstream \(fy@0\.1\.0\); .*--accept-absent 1/,
  )
  await courier.import(64, far, [full], '--accept-absent', '1')
  await courier.import(3, far, [full], '--accept-absent', '2', '--reason', 'as told')
  const accepted = ['--accept-absent', '1', '--reason', 'as told']
  expect((await courier.import(0, far, [full], ...accepted)).json()).toMatchObject({
    outcome: 'published',
    absent: 1,
  })
  // recorded by its hash: a later state does not ask again
  await courier.registry.publish('fe/rr/ferry-app', 'ferry-app', '9.9.9')
  await courier.registry.sign()
  await courier.import(0, far, [await courier.export('later')])
  await expectExit(0, 'verify', '--mirror', far)
})

test('a target that takes too much away is stopped, and let through by its number', {
  timeout,
}, async () => {
  await using courier = await Courier.make()
  const { registry } = courier
  for (let n = 0; n < 40; n += 1) courier.add(`crate-${n}`)
  await registry.sign()
  const far = await courier.far()
  await courier.import(0, far, [await courier.export('full')])
  const before = await contents(join(far, 'public/index'))
  for (let n = 0; n < 30; n += 1) await registry.remove(`cr/at/crate-${n}`)
  await expectExit(17, 'upstream', courier.near, '--from', registry.at('plain'))
  const removals = ['--accept-removals', '30', '--reason', 'we meant it']
  // the near side has no such option for its own directory: its guard is set wider
  appendFileSync(join(courier.near, 'crateferry.toml'), '\nremoval-percent = 100\n')
  await registry.sign()
  const less = await courier.export('less')
  const stopped = await courier.import(17, far, [less])
  expect(stopped.stderr).toMatch(
    /would remove 30 of 51 crates .*run bundle import --accept-removals 30 --reason TEXT/,
  )
  expect(await contents(join(far, 'public/index'))).toMatchObject(before)
  await courier.import(0, far, [less], ...removals)
  expect(existsSync(join(far, 'public/index/cr/at/crate-1'))).toBe(false)
})

test('one version with two contents, both signed, is an alarm and both are kept (24)', {
  timeout,
}, async () => {
  await using courier = await Courier.make()
  const { registry } = courier
  const fork = courier.at('fork')
  cpSync(courier.near, fork, { recursive: true })
  await registry.publish('fe/rr/ferry-app', 'ferry-app', '9.9.8')
  await registry.sign()
  const one = await courier.export('one')
  await registry.publish('fe/rr/ferry-app', 'ferry-app', '9.9.9')
  await expectExit(
    0,
    'upstream',
    fork,
    '--from',
    registry.at('plain'),
    '--keys',
    courier.at('repository.keys'),
  )
  mkdirSync(courier.at('other'))
  await expectExit(0, 'bundle', 'export', '--to', courier.at('other'), '--mirror', fork)
  const far = await courier.far()
  await courier.import(0, far, [one])
  const before = await contents(join(far, 'public'))
  const alarm = await courier.import(14, far, [courier.at('other')])
  expect(alarm.stderr).toMatch(
    /timestamp\.json: version 2 has other content than the one accepted before/,
  )
  expect(await contents(join(far, 'public'))).toEqual(before)
  expect(
    readdirSync(join(far, 'state/evidence')).filter(name => name.endsWith('.timestamp.json')),
  ).toHaveLength(2)
})

test('another repository’s bundle, and a second import at once, are told apart (34, 44)', {
  timeout,
}, async () => {
  await using courier = await Courier.make()
  await using other = await Courier.make()
  const far = await courier.far()
  const foreign = await courier.import(11, far, [await other.export('full')])
  expect(foreign.stderr).toMatch(
    /timestamp\.json: signed by 0 of 1 keys of the timestamp role of root 1/,
  )
  expect(existsSync(join(far, 'state/published'))).toBe(false)
  const full = await courier.export('full')
  const both = await Promise.all(
    [1, 2].map(() => crateferry('bundle', 'import', full, '--mirror', far)),
  )
  const exits = both.map(({ exit }) => exit).sort()
  expect([
    [0, 0],
    [0, 30],
  ]).toContainEqual(exits)
})

test('a stock TUF client checks the metadata on a medium', { timeout }, async () => {
  await using courier = await Courier.make()
  const tuf = join(bagOn(await courier.export('full')), 'data/tuf')
  const tile = readFileSync(join(tuf, 'index-tree'))
  const shown = courier.at('shown')
  cpSync(tuf, shown, { recursive: true })
  cpSync(join(tuf, 'index-tree'), join(shown, `${sha256(tile)}.index-tree`))
  await using upstream = await serveFolder(shown)
  const [metadataDir, targetDir] = [courier.at('metadata'), courier.at('targets')]
  for (const folder of [metadataDir, targetDir]) mkdirSync(folder)
  cpSync(courier.registry.root, join(metadataDir, 'root.json'))
  const [metadataBaseUrl, targetBaseUrl] = [upstream.url, upstream.url]
  const updater = new Updater({ metadataDir, metadataBaseUrl, targetDir, targetBaseUrl })
  await updater.refresh()
  const target = await updater.getTargetInfo('index-tree')
  if (target === undefined) throw new Error('the stock client finds no target index-tree')
  expect(readFileSync(await updater.downloadTarget(target))).toEqual(tile)
})

test('a later medium goes on with the bundle that was begun, whatever was published meanwhile', {
  timeout,
}, async () => {
  await using courier = await Courier.make()
  const { near } = courier
  const size = ['--volume-size', '1MiB', '--medium-size', String(32 * 2 ** 20 + 50_000)]
  const write = async (medium: number): Promise<unknown> => {
    const to = courier.at(`stick-${medium}`)
    mkdirSync(to)
    const args = ['--to', to, '--medium', String(medium), '--mirror', near, '--json', ...size]
    return (await expectExit(0, 'bundle', 'export', ...args)).json()
  }
  const first = await write(1)
  await courier.registry.publish('fe/rr/ferry-app', 'ferry-app', '9.9.9')
  await courier.registry.sign()
  const { bundleId } = first as { bundleId: string }
  expect(await write(2)).toMatchObject({ bundleId, isContinued: true })
  // what an export needs is kept: nothing of it goes with prune
  await expectExit(0, 'prune', '--mirror', near, '--yes')
  const far = await courier.far()
  const media = [1, 2].map(medium => courier.at(`stick-${medium}`))
  const alone = await crateferry('--quiet', 'bundle', 'import', media[0] ?? '', '--mirror', far)
  expect(alone.exit).toBe(3)
  expect(alone.stderr.trimEnd().split('\n')).toHaveLength(1)
  await courier.import(0, far, media)
  expect(existsSync(join(far, 'public/index/fe/rr/ferry-app'))).toBe(true)
})

test('names that some systems cannot bear travel by their hash (38)', { timeout }, async () => {
  await using courier = await Courier.make()
  for (const name of ['com0', 'cases']) courier.add(name)
  for (const version of ['1.0.0-RC1', '1.0.0-rc1']) {
    await courier.registry.publish('ca/se/cases', 'cases', version)
  }
  await courier.registry.sign()
  const far = await courier.far()
  await courier.import(0, far, [await courier.export('full')])
  await expectExit(0, 'verify', '--mirror', far)
  expect(existsSync(join(far, 'public/index/co/m0/com0'))).toBe(true)
})

test('a forged want-list makes a bundle too small, and nothing else (32, 41)', {
  timeout,
}, async () => {
  await using courier = await Courier.make()
  const { near } = courier
  const far = await courier.far()
  const full = await courier.export('full')
  cpSync(full, courier.at('torn'), { recursive: true })
  rmSync(join(bagOn(courier.at('torn')), 'data/crates/crates-00001.tar'))
  await courier.import(3, far, [courier.at('torn')])
  const outbox = join(far, 'state/outbox')
  const [name = ''] = readdirSync(outbox).filter(one => one.startsWith('want-'))
  const lines = readFileSync(join(outbox, name), 'utf8').trimEnd().split('\n')
  const wants = lines.filter(line => line.startsWith('object'))
  const forge = (text: string): string => {
    const file = courier.at('forged.txt')
    writeFileSync(file, text)
    return file
  }
  const head = lines.slice(0, 5)
  for (const bad of ['object ../../etc/passwd x', 'object 00 x', 'run this', 'x'.repeat(400)]) {
    const refused = await expectExit(
      16,
      'bundle',
      'plan',
      '--mirror',
      near,
      '--for-want',
      forge([...head, bad, ''].join('\n')),
    )
    expect(refused.stderr).toMatch(/forged\.txt: line 6: ".*" is not allowed here/)
  }
  const stranger = `object ${'0'.repeat(64)} crates/../../x`
  const forged = forge([...head, wants[0], stranger, ''].join('\n'))
  const small = await courier.export('small', '--for-want', forged)
  expect(
    readFileSync(join(bagOn(small), 'data/crates/crates-00001.idx'), 'utf8')
      .trimEnd()
      .split('\n'),
  ).toHaveLength(1)
  await courier.import(3, far, [small])
  await courier.import(0, far, [full])
})

test('a second export into the same bag waits for nobody: busy, with who has it', {
  timeout,
}, async () => {
  await using courier = await Courier.make()
  const full = await courier.export('full')
  const bag = bagOn(full)
  const [bundleId = ''] = readdirSync(join(courier.near, 'state/exports'))
  const journal = join(courier.near, 'state/exports', bundleId, bag.slice(bag.lastIndexOf('/') + 1))
  const options = {
    command: 'export elsewhere',
    signal: AbortSignal.timeout(60_000),
    now: new Date(),
  }
  await using _lock = await acquireLock({ root: journal }, options)
  mkdirSync(courier.at('other'))
  const busy = await expectExit(
    30,
    'bundle',
    'export',
    '--to',
    courier.at('other'),
    '--mirror',
    courier.near,
  )
  expect(busy.stderr).toMatch(/is in use by pid \d+ \(export elsewhere\)/)
  expect(readdirSync(courier.at('other'))).toEqual([])
})

test('a plan that a kill left torn on the medium is written anew; one of another export is not touched', {
  timeout,
}, async () => {
  await using courier = await Courier.make()
  const full = await courier.export('full')
  const name = bagOn(full).slice(full.length + 1)
  const args = (to: string): string[] => ['bundle', 'export', '--to', to, '--mirror', courier.near]
  for (const [torn, exit] of [
    ['', 0],
    ['{"bundleId":"12', 0],
  ] as const) {
    const to = courier.at(`torn-${torn.length}`)
    mkdirSync(join(to, `${name}.partial`), { recursive: true })
    writeFileSync(join(to, `${name}.partial/bundle.json`), torn)
    await expectExit(exit, ...args(to))
    expect(readdirSync(to)).toEqual([name])
  }
  const to = courier.at('another')
  mkdirSync(join(to, `${name}.partial`), { recursive: true })
  const plan = readFileSync(join(bagOn(full), 'bundle.json'), 'utf8')
  const other = plan.replace(/"createdAt":"\d{4}/, '"createdAt":"2001')
  writeFileSync(join(to, `${name}.partial/bundle.json`), other)
  const refused = await expectExit(64, ...args(to), '--volume-size', '2MiB')
  expect(refused.stderr).toContain('is of another export; remove it')
  expect(readFileSync(join(to, `${name}.partial/bundle.json`), 'utf8')).toBe(other)
})

test('what nobody signed is not carried: it says to sign it first', { timeout }, async () => {
  await using courier = await Courier.make()
  const file = join(courier.near, 'state/published')
  const published = readFileSync(file, 'utf8')
  // as a mirror that observes has it: no upstream vouches for its tree, and no site does yet
  writeFileSync(file, published.replace(/"metadata":\{[^}]*\}/, '"metadata":null'))
  const refused = await expectExit(11, 'bundle', 'plan', '--mirror', courier.near)
  expect(refused.stderr).toMatch(/nobody signed the published tree [0-9a-f]{64}; sign it first/)
})

test('a chain that is damaged here is told as damage', { timeout }, async () => {
  await using courier = await Courier.make()
  rmSync(join(courier.near, 'public/tuf/1.targets.json'))
  const damaged = await expectExit(4, 'bundle', 'plan', '--mirror', courier.near)
  expect(damaged.stderr).toMatch(/public\/tuf: .*1\.targets\.json.*; run verify --repair/)
})
