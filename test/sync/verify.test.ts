import { randomInt } from 'node:crypto'
import {
  cpSync,
  linkSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { sha256 } from '../../src/registry/checksum.ts'
import { Progress } from '../../src/sync/run.ts'
import { verify } from '../../src/sync/verify.ts'
import { isFault } from '../../src/sync/verify-finding.ts'
import { checksumOf, contents, expectExit, Registry } from '../crateferry.ts'
import { type LoopbackUpstream, serveFolder } from '../upstream.ts'

/** One healthy mirror and its upstream; each test damages a copy. */
let registry: Registry
let upstream: LoopbackUpstream
let healthy: string
let count = 0

beforeAll(async () => {
  registry = await Registry.make()
  upstream = await serveFolder(registry.public)
  healthy = await registry.mirror('healthy', upstream.url)
  await expectExit(0, 'sync', '--mirror', healthy)
}, 60_000)

afterAll(async () => {
  await upstream[Symbol.asyncDispose]()
  await registry[Symbol.asyncDispose]()
})

/** Hard links are kept, since damage through one name must show under the other. */
function copy(): string {
  count += 1
  const mirror = registry.at(`copy-${count}`)
  cpSync(healthy, mirror, { recursive: true })
  for (const [path, byHash] of linked(mirror)) {
    unlinkSync(path)
    linkSync(byHash, path)
  }
  return mirror
}

function linked(mirror: string): [string, string][] {
  const index = join(mirror, 'public/index')
  const hull = readFileSync(join(index, HULL))
  const hash = sha256(hull)
  return [[join(index, HULL), join(index, `fe/rr/${hash}.ferry-hull`)]]
}

const HULL = 'fe/rr/ferry-hull'

async function faultsOf(mirror: string): Promise<string[]> {
  const options = {
    target: { kind: 'all' },
    url: 'http://127.0.0.1:8377',
    progress: new Progress(),
    now: new Date(),
    signal: AbortSignal.timeout(30_000),
  } as const
  const findings = await Array.fromAsync(verify(mirror, options))
  return findings.filter(isFault).map(({ file }) => file)
}

type Damage = (at: (file: string) => string) => void

/** What is done to which file, and the file that must be named. */
async function cases(): Promise<Record<string, { file: string; damage: Damage }>> {
  const index = join(healthy, 'public/index')
  const artifact = async (version: string): Promise<string> =>
    `public/crates/fe/rr/${await checksumOf(index, HULL, version)}.crate`
  const [one, two] = [await artifact('1.0.0'), await artifact('1.1.0')]
  const byHash = `public/index/fe/rr/${sha256(readFileSync(join(index, HULL)))}.ferry-hull`
  const files = Object.keys(await contents(join(healthy, 'public')))
  const tile = `public/${files.find(file => file.endsWith('.index-tree')) ?? ''}`
  const edit =
    (file: string, to: (bytes: Buffer) => Buffer): Damage =>
    at => {
      writeFileSync(at(file), to(readFileSync(at(file))))
    }
  const cut = (bytes: Buffer): Buffer => bytes.subarray(0, bytes.length - 1)
  return {
    'a flipped bit in an artifact': { file: one, damage: edit(one, flipped) },
    'a truncated artifact': { file: one, damage: edit(one, cut) },
    'an emptied artifact': { file: one, damage: at => truncateSync(at(one), 0) },
    'a missing artifact': { file: one, damage: at => rmSync(at(one)) },
    'a link instead of an artifact': {
      file: one,
      damage: at => {
        renameSync(at(one), at('state/partials/x'))
        symlinkSync(at('state/partials/x'), at(one))
      },
    },
    'swapped artifacts': {
      file: one,
      damage: at => {
        renameSync(at(one), at('public/x'))
        renameSync(at(two), at(one))
        renameSync(at('public/x'), at(two))
      },
    },
    'a file of a wrong form': {
      file: 'public/crates/fe/rr/serde-1.0.0.crate',
      damage: at => writeFileSync(at('public/crates/fe/rr/serde-1.0.0.crate'), 'x'),
    },
    'an index file edited in place, under both its names': {
      file: byHash,
      damage: edit(`public/index/${HULL}`, flipped),
    },
    'an index file edited under its path only': {
      file: `public/index/${HULL}`,
      damage: at => {
        unlinkSync(at(`public/index/${HULL}`))
        writeFileSync(at(`public/index/${HULL}`), '{}\n')
      },
    },
    'an index file that no tree names': {
      file: 'public/index/se/rd/serde',
      damage: at => {
        mkdirSync(dirname(at('public/index/se/rd/serde')), { recursive: true })
        writeFileSync(at('public/index/se/rd/serde'), '{}\n')
      },
    },
    'an edited tile': { file: tile, damage: edit(tile, flipped) },
    'a missing tile': { file: tile, damage: at => rmSync(at(tile)) },
    'an edited root': {
      file: 'public/tuf/1.root.json',
      damage: edit('public/tuf/1.root.json', flipped),
    },
    'an edited timestamp': {
      file: 'public/tuf/timestamp.json',
      damage: edit('public/tuf/timestamp.json', flipped),
    },
    'an edited snapshot': {
      file: 'public/tuf/1.snapshot.json',
      damage: edit('public/tuf/1.snapshot.json', flipped),
    },
    'edited targets': {
      file: 'public/tuf/1.targets.json',
      damage: edit('public/tuf/1.targets.json', flipped),
    },
    'an edited config.json': {
      file: 'public/index/config.json',
      damage: edit('public/index/config.json', flipped),
    },
    'an edited record of what is published': {
      file: 'state/published',
      damage: edit('state/published', bytes =>
        Buffer.from(bytes.toString().replace('"n":1', '"n":7')),
      ),
    },
  }
}

function flipped(bytes: Buffer): Buffer {
  const at = Math.floor(bytes.length / 2)
  bytes[at] = (bytes[at] ?? 0) ^ 1
  return bytes
}

test('a healthy mirror has no fault, at each of the four depths (P18)', async () => {
  expect(await faultsOf(healthy)).toEqual([])
  await expectExit(0, 'verify', '--mirror', healthy)
  await expectExit(0, 'verify', '--mirror', healthy, '--index')
  await expectExit(0, 'verify', '--mirror', healthy, 'ferry-hull', 'FerryMast')
  await expectExit(0, 'verify', '--mirror', healthy, 'ferry-engine-sys@0.8.0+bunker.2.3.9')
  const absent = await expectExit(4, 'verify', '--mirror', healthy, 'ferry-hull@9.9.9')
  expect(absent.stdout).toContain('9.9.9')
}, 30_000)

test('each kind of damage is named, mended by --repair, and gone after it (P18)', async () => {
  for (const [name, { file, damage }] of Object.entries(await cases())) {
    const mirror = copy()
    const at = (one: string): string => join(mirror, one)
    damage(at)
    expect(await faultsOf(mirror), name).toContain(file)
    const found = await expectExit(4, 'verify', '--mirror', mirror)
    expect(found.stdout, name).toContain(file)
    await expectExit(0, 'verify', '--mirror', mirror, '--repair')
    expect(await faultsOf(mirror), name).toEqual([])
    expect(await contents(join(mirror, 'public')), name).toEqual(
      await contents(join(healthy, 'public')),
    )
    rmSync(mirror, { recursive: true })
  }
}, 180_000)

test('any single flipped bit in public is found and its file named (P18)', async () => {
  const mirror = copy()
  const files = Object.keys(await contents(join(mirror, 'public'))).filter(
    file => statSync(join(mirror, 'public', file)).size > 0,
  )
  for (let round = 0; round < 100; round += 1) {
    const file = files[randomInt(files.length)] ?? ''
    const path = join(mirror, 'public', file)
    const bytes = readFileSync(path)
    const [at, bit] = [randomInt(bytes.length), randomInt(8)]
    const damaged = Buffer.from(bytes)
    damaged[at] = (damaged[at] ?? 0) ^ (1 << bit)
    writeFileSync(path, damaged)
    expect(await faultsOf(mirror), `${file} byte ${at} bit ${bit}`).toContain(`public/${file}`)
    writeFileSync(path, bytes)
  }
  expect(await faultsOf(mirror)).toEqual([])
}, 120_000)

test('what cannot be fetched is held as damaged, and the next sync heals it', async () => {
  const mirror = copy()
  const checksum = await checksumOf(join(healthy, 'public/index'), HULL, '1.0.0')
  rmSync(join(mirror, `public/crates/fe/rr/${checksum}.crate`))
  upstream.misbehave(new RegExp(checksum), { kind: 'status', status: 404 })
  await expectExit(4, 'verify', '--mirror', mirror, '--repair')
  const status = (await expectExit(0, 'status', '--mirror', mirror, '--json')).json()
  expect(status['held']).toMatchObject({ [HULL]: { reason: expect.stringContaining('damaged') } })
  upstream.behave()
  await expectExit(0, 'sync', '--mirror', mirror)
  expect(await faultsOf(mirror)).toEqual([])
}, 60_000)
