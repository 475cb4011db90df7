import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { test as base, expect } from 'vitest'
import { type PruneReport, prune } from '../../src/sync/prune.ts'
import { Progress } from '../../src/sync/run.ts'
import { verify } from '../../src/sync/verify.ts'
import { isFault } from '../../src/sync/verify-finding.ts'
import { History } from '../history.ts'
import { immutableFiles, namedBy, snapshotsOf } from '../named-files.ts'

const test = base.extend('history', async ({}, { onCleanup }) => {
  const history = await History.begin()
  onCleanup(() => history[Symbol.asyncDispose]())
  for (let n = 0; n < 20; n += 1) history.publish(`crate-${n}`)
  await history.sync()
  return history
})

const artifact = (prefix: string, checksum: string): string =>
  `public/crates/${prefix}/${checksum}.crate`

async function pruned(
  history: History,
  options: { keepDays?: number; isDryRun?: boolean; isConfirmed?: boolean } = {},
): Promise<PruneReport> {
  const { keepDays = 7, isDryRun = false, isConfirmed = false } = options
  return await history.asRun(run => prune(run, { keepDays, alsoKept: [], isDryRun, isConfirmed }))
}

async function faultsOf({ mirror, now }: History): Promise<string[]> {
  const options = {
    target: { kind: 'all' },
    url: 'http://127.0.0.1:8377',
    progress: new Progress(),
    now,
    signal: AbortSignal.timeout(30_000),
  } as const
  const findings = await Array.fromAsync(verify(mirror, options))
  return findings.filter(isFault).map(({ what }) => what)
}

test('the artifact of a removed version stays as long as its snapshot, and goes with it', async ({
  history,
}) => {
  const checksum = history.publish('serde')
  await history.sync()
  const file = history.at(artifact('se/rd', checksum))
  history.pass(100)
  history.change('serde', () => [])
  await history.sync()

  // the snapshot that named it stood for a hundred days, and was replaced a moment ago
  expect(await pruned(history)).toMatchObject({ artifacts: { files: 0 }, snapshots: [1] })
  history.pass(6.9)
  expect(await pruned(history)).toMatchObject({ artifacts: { files: 0 }, snapshots: [] })
  expect(existsSync(file)).toBe(true)
  history.pass(0.2)
  const report = await pruned(history)
  expect(report).toMatchObject({
    artifacts: { files: 1, bytes: 12 },
    of: { files: 21 },
    indexFiles: { files: 1 },
    tiles: { files: 1 },
    metadata: { files: 2 },
    snapshots: [2],
    removed: [`se/rd/${checksum}`],
  })
  expect(existsSync(file)).toBe(false)
  expect(readdirSync(history.at('state/snapshots'))).toEqual(['3.json'])
  expect(await faultsOf(history)).toEqual([])
  expect(await pruned(history)).toMatchObject({ artifacts: { files: 0 }, tiles: { files: 0 } })
})

test('a checksum that two crates share goes only under the prefix that names it no more', async ({
  history,
}) => {
  const checksum = history.publish('serde', 'the same bytes')
  history.publish('tokio', 'the same bytes')
  await history.sync()
  history.change('serde', () => [])
  await history.sync()
  const report = await pruned(history, { keepDays: 0 })
  expect(report.removed).toEqual([`se/rd/${checksum}`])
  expect(existsSync(history.at(artifact('se/rd', checksum)))).toBe(false)
  expect(existsSync(history.at(artifact('to/ki', checksum)))).toBe(true)
  expect(await faultsOf(history)).toEqual([])
})

test('of a held crate the old file, the new one and all that either names stays', async ({
  history,
}) => {
  const old = history.publish('serde')
  await history.sync()
  history.change('serde', () => [])
  const fresh = history.publish('serde')
  history.publishLost('serde')
  const { snapshot } = await history.sync()
  expect(Object.keys(snapshot.held)).toEqual(['se/rd/serde'])
  const held = namedBy(history.mirror, snapshotsOf(history.mirror)[2] as never)
  history.pass(100)
  await history.sync()
  await pruned(history, { keepDays: 0 })
  expect(existsSync(history.at(artifact('se/rd', old)))).toBe(true)
  expect(existsSync(history.at(artifact('se/rd', fresh)))).toBe(true)
  const indexFiles = [...held].filter(file => file.includes('.serde'))
  expect(indexFiles).toHaveLength(2)
  for (const file of indexFiles) expect(existsSync(history.at(file)), file).toBe(true)
  expect(await faultsOf(history)).toEqual([])
})

test('what a decided snapshot names stays, and a prune publishes it before it removes', async ({
  history,
}) => {
  const first = readFileSync(history.at('state/published'))
  history.change('crate-1', () => [])
  history.publish('serde')
  await history.sync()
  // as a writer leaves it that was killed just before its last step
  copyFileSync(history.at('state/snapshots/2.json'), history.at('state/next'))
  rmSync(history.at('state/snapshots/2.json'))
  writeFileSync(history.at('state/published'), first)
  const before = immutableFiles(history.mirror)

  // nor does it take a chain that signs its tree, which an observed upstream has not
  const chain = ['state/trust/upstream/targets.json', 'public/tuf/timestamp.json']
  for (const file of chain) renameSync(history.at(file), history.at(`${file}.aside`))
  const dry = await pruned(history, { keepDays: 0, isDryRun: true })
  for (const file of chain) renameSync(history.at(`${file}.aside`), history.at(file))
  expect(dry).toMatchObject({
    tiles: { files: 0 },
    artifacts: { files: 0 },
    indexFiles: { files: 0 },
  })
  expect(existsSync(history.at('state/next'))).toBe(true)
  expect(immutableFiles(history.mirror)).toEqual(before)

  const report = await pruned(history, { keepDays: 0 })
  expect(report).toMatchObject({ artifacts: { files: 1 }, snapshots: [1] })
  expect(existsSync(history.at('state/next'))).toBe(false)
  expect(JSON.parse(readFileSync(history.at('state/published'), 'utf8'))).toMatchObject({ n: 2 })
  expect(await faultsOf(history)).toEqual([])
})

test('more than a tenth of the artifacts, or of their bytes, goes only when it is confirmed (P20)', async ({
  history,
}) => {
  // two of twenty, and not the longest: a tenth is not more than a tenth
  for (const name of ['crate-1', 'crate-2']) history.change(name, () => [])
  await history.sync()
  expect(await pruned(history, { keepDays: 0 })).toMatchObject({ artifacts: { files: 2 } })

  for (const name of ['crate-3', 'crate-4']) history.change(name, () => [])
  await history.sync()
  const before = immutableFiles(history.mirror)
  const refusal = { code: 'guard', message: expect.stringContaining('2 of 18 artifacts') }
  await expect(pruned(history, { keepDays: 0 })).rejects.toMatchObject(refusal)
  expect(immutableFiles(history.mirror)).toEqual(before)
  expect(readdirSync(history.at('state/snapshots'))).toEqual(['2.json', '3.json'])
  const dry = await pruned(history, { keepDays: 0, isDryRun: true })
  expect(dry).toMatchObject({ artifacts: { files: 2 }, isMuch: true })
  await pruned(history, { keepDays: 0, isConfirmed: true })

  history.publish('serde', 'x'.repeat(1000))
  await history.sync()
  history.change('serde', () => [])
  await history.sync()
  const bytes = { code: 'guard', message: expect.stringContaining('1 of 17 artifacts, 1000 of') }
  await expect(pruned(history, { keepDays: 0 })).rejects.toMatchObject(bytes)
})

test('what is damaged could name anything: it is told, and nothing is removed', async ({
  history,
}) => {
  history.publish('serde')
  await history.sync()
  history.change('serde', () => [])
  await history.sync()
  const record = snapshotsOf(history.mirror)[1]
  const file = (pattern: RegExp): string =>
    [...namedBy(history.mirror, record as never)].find(one => pattern.test(one)) ?? ''
  const flipped: [string, string][] = [
    [file(/index-tree$/), 'is damaged'],
    [file(/[0-9a-f]{64}\.serde$/), 'does not match its name'],
    ['public/index/cr/at/crate-1', 'is named by nothing'],
    ['state/snapshots/2.json', ''],
    ['state/published', ''],
    ['state/trust/upstream/targets.json', ''],
    ['public/tuf/timestamp.json', ''],
    ['public/tuf/3.snapshot.json', ''],
  ]
  const lost: [string, string][] = [
    [file(/index-tree$/), 'is missing'],
    [file(/[0-9a-f]{64}\.serde$/), 'is missing'],
    ['public/tuf/3.targets.json', 'is missing'],
    ['state/published', 'is missing'],
  ]
  const expectRefusal = async (one: string, message: string): Promise<void> => {
    const before = immutableFiles(history.mirror)
    const refusal = { code: 'damaged', message: expect.stringContaining(message) }
    await expect(pruned(history), `${one} ${message}`).rejects.toMatchObject(refusal)
    expect(immutableFiles(history.mirror), one).toEqual(before)
    expect(readdirSync(history.at('state/snapshots')), one).toHaveLength(3)
  }
  for (const [one, message] of flipped) {
    const bytes = readFileSync(history.at(one))
    rmSync(history.at(one))
    writeFileSync(history.at(one), Buffer.from(bytes.toString('latin1').replace('"', '!').slice(1)))
    await expectRefusal(one, message === '' ? one : `${one} ${message}`)
    writeFileSync(history.at(one), bytes)
  }
  for (const [one, message] of lost) {
    const bytes = readFileSync(history.at(one))
    rmSync(history.at(one))
    await expectRefusal(one, `${one} ${message}`)
    writeFileSync(history.at(one), bytes)
  }
  // once its snapshot is past its keeping, nobody asks what the file named
  rmSync(history.at(file(/[0-9a-f]{64}\.serde$/)))
  expect(await pruned(history, { keepDays: 0 })).toMatchObject({ artifacts: { files: 1 } })
})

test('what has no name of the layout stays, whatever it is', async ({ history }) => {
  const stray = 'a'.repeat(64)
  const files = [
    'public/crates/se/rd/notes.txt',
    `public/crates/se/rd/${stray}.crate.bak`,
    `public/crates/UP/PE/${stray}.crate`,
    `public/index/se/rd/${stray}.notserde`,
    `public/index/cr/at/${stray}`,
    `public/tuf/tree/zz/${stray}.2a0`,
    `public/tuf/tree/${stray}.2a0`,
    'public/tuf/0.targets.json',
    'public/tuf/1.mirrors.json',
    'public/tuf/1.root.json',
    'state/snapshots/x.json',
    'state/evidence/wrong',
    `state/quarantine/${stray}.crate`,
    `state/partials/${stray}.part`,
  ]
  for (const file of files.filter(one => !one.endsWith('root.json'))) {
    mkdirSync(dirname(history.at(file)), { recursive: true })
    writeFileSync(history.at(file), 'x')
  }
  const link = `public/crates/se/rd/${'b'.repeat(64)}.crate`
  symlinkSync('/etc/passwd', history.at(link))
  const folder = `public/crates/se/rd/${'c'.repeat(64)}.crate`
  mkdirSync(history.at(folder))
  writeFileSync(history.at(artifact('se/rd', stray)), 'x')
  const report = await pruned(history, { keepDays: 0 })
  expect(report.removed).toEqual([`se/rd/${stray}`])
  for (const file of [...files, folder]) expect(existsSync(history.at(file)), file).toBe(true)
  expect(readdirSync(history.at('public/crates/se/rd'))).toContain(`${'b'.repeat(64)}.crate`)
})

test('a tree that the site has signed stays whole, however old, and its chain stays readable', async ({
  history,
}) => {
  const checksum = history.publish('serde')
  await history.sync()
  for (const place of ['public/site', 'state/trust/site']) mkdirSync(history.at(place))
  for (const name of ['timestamp.json', '2.snapshot.json', '2.targets.json', '1.snapshot.json']) {
    copyFileSync(history.at(`public/tuf/${name}`), history.at(`public/site/${name}`))
  }
  // and as a writer leaves it that was killed before the timestamp said so
  copyFileSync(history.at('public/tuf/2.snapshot.json'), history.at('public/site/3.snapshot.json'))
  history.change('serde', () => [])
  history.pass(100)
  await history.sync()
  history.change('crate-1', () => [])
  await history.sync()
  const report = await pruned(history, { keepDays: 0 })
  expect(report).toMatchObject({ snapshots: [1, 3], artifacts: { files: 0 } })
  expect(readdirSync(history.at('public/site')).sort()).toEqual([
    '2.snapshot.json',
    '2.targets.json',
    '3.snapshot.json',
    'timestamp.json',
  ])
  rmSync(history.at('public/site'), { recursive: true })
  copyFileSync(history.at('public/tuf/2.targets.json'), history.at('state/trust/site/targets.json'))
  expect(await pruned(history, { keepDays: 0 })).toMatchObject({
    snapshots: [],
    tiles: { files: 0 },
  })
  rmSync(history.at('state/trust/site'), { recursive: true })
  const { removed } = await pruned(history, { keepDays: 0 })
  expect(removed).toContain(`se/rd/${checksum}`)
})

test('a verify that reads while a prune removes takes what went for no fault', async ({
  history,
}) => {
  const names = ['a', 'b'].map(digit => artifact('se/rd', digit.repeat(64)))
  mkdirSync(dirname(history.at(names[0] ?? '')), { recursive: true })
  for (const name of names) writeFileSync(history.at(name), 'x')
  const options = {
    target: { kind: 'all' },
    url: 'http://127.0.0.1:8377',
    progress: new Progress(),
    now: history.now,
    signal: AbortSignal.timeout(30_000),
  } as const
  const faults: string[] = []
  for await (const finding of verify(history.mirror, options)) {
    if (isFault(finding)) faults.push(finding.file)
    // the folder was listed by now, and the second name not yet looked at
    rmSync(history.at(names[1] ?? ''), { force: true })
  }
  expect(faults).toEqual([names[0]])
})

test('the record of what is published stays, even where a newer record lies beside it', async ({
  history,
}) => {
  history.publish('serde')
  await history.sync()
  const record = JSON.parse(readFileSync(history.at('state/snapshots/2.json'), 'utf8')) as object
  writeFileSync(history.at('state/snapshots/3.json'), JSON.stringify({ ...record, n: 3 }))
  history.pass(100)
  expect(await pruned(history)).toMatchObject({ snapshots: [1] })
  expect(readdirSync(history.at('state/snapshots'))).toEqual(['2.json', '3.json'])
})

test('before the first snapshot what stands under its path stays, and all that it names', async ({
  history,
}) => {
  const checksum = history.publish('serde')
  await history.sync()
  history.change('serde', () => [])
  await history.sync()
  // crates that an observed upstream brought one by one: no tree, no snapshot, no chain
  const files = ['published', 'snapshots', 'trust/upstream'].map(name => `state/${name}`)
  for (const file of [...files, 'public/tuf/timestamp.json']) {
    rmSync(history.at(file), { recursive: true })
  }
  expect(await pruned(history)).toMatchObject({
    artifacts: { files: 1 },
    of: { files: 21 },
    indexFiles: { files: 1 },
    tiles: { files: 2 },
    removed: [`se/rd/${checksum}`],
  })
})
