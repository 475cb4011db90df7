import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { test as base, expect } from 'vitest'
import { sha256 } from '../../src/registry/checksum.ts'
import { makeLoad } from '../bench/load.ts'
import { contents, expectExit, Registry } from '../crateferry.ts'
import { serveFolder } from '../upstream.ts'

const test = base.extend('registry', async ({}, { onCleanup }) => {
  const registry = await Registry.make()
  onCleanup(() => registry[Symbol.asyncDispose]())
  return registry
})

const ARTIFACTS = 19
const HULL = 'ferry-hull-1.0.0.crate'

interface PlainCrate {
  readonly file: string
  readonly name: string
  readonly version: string
}

function plainCrates(registry: Registry): PlainCrate[] {
  const crates = registry.at('plain/crates')
  return readdirSync(crates).flatMap(name =>
    readdirSync(join(crates, name)).map(file => ({
      file: join(crates, name, file),
      name,
      version: file.slice(name.length + 1, -'.crate'.length),
    })),
  )
}

/** Lays the fixture's crates out as `place` says, below a folder of its own. */
function laidOut(registry: Registry, place: (crate: PlainCrate) => string): string {
  const folder = registry.at('other tool')
  for (const crate of plainCrates(registry)) {
    const to = join(folder, place(crate))
    mkdirSync(dirname(to), { recursive: true })
    copyFileSync(crate.file, to)
  }
  return folder
}

const prefix = (name: string): string => {
  if (name.length <= 2) return `${name.length}`
  return name.length === 3 ? `3/${name[0]}` : `${name.slice(0, 2)}/${name.slice(2, 4)}`
}
const flat = ({ name, version }: PlainCrate): string => `${name}-${version}.crate`

/** How each tool lays out what it fetched. */
const LAYOUTS: readonly ((crate: PlainCrate) => string)[] = [
  // panamax
  crate => `crates/${prefix(crate.name)}/${crate.name}/${crate.version}/${flat(crate)}`,
  // romt before 0.4, with prefixes in mixed case
  crate => `crates/${prefix(crate.name)}/${crate.name}/${flat(crate)}`,
  // get-all-crates, and romt since
  crate => `${prefix(crate.name.toLowerCase())}/${crate.name.toLowerCase()}/${flat(crate)}`,
  // CloneCratesio
  crate => `${crate.name.slice(0, 1)}/${crate.name.slice(1, 3)}/${flat(crate)}`,
  // cargo
  crate => `registry/cache/index.crates.io-1949cf8c6b5b557f/${flat(crate)}`,
  // a copy of a download API
  crate => `api/v1/crates/${crate.name}/${crate.version}/download`,
  // a mirror of ours
  ({ file, name }) =>
    `public/crates/${prefix(name.toLowerCase())}/${sha256(readFileSync(file))}.crate`,
]

test('of a directory as panamax, romt, get-all-crates, CloneCratesio or cargo leave it no artifact is asked for', {
  timeout: 60_000,
}, async ({ registry }) => {
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  let count = 0
  const folder = laidOut(registry, crate => LAYOUTS[count++ % LAYOUTS.length]?.(crate) ?? '')
  const before = await contents(folder)
  const adopted = await expectExit(0, 'adopt', folder, '--mirror', mirror, '--json')
  expect(adopted.json()).toMatchObject({ found: ARTIFACTS, adopted: ARTIFACTS, leftOut: 0 })
  expect(await contents(folder)).toEqual(before)
  const again = await expectExit(0, 'adopt', folder, '--mirror', mirror, '--json')
  expect(again.json()).toMatchObject({ adopted: 0, bytes: 0, alreadyHere: ARTIFACTS })

  const synced = await expectExit(0, 'sync', '--mirror', mirror, '--json')
  expect(synced.json()).toMatchObject({ outcome: 'published', artifacts: ARTIFACTS, bytes: 0 })
  expect(upstream.requests.count(/\.crate$/)).toBe(0)
  expect(await contents(join(mirror, 'public'))).toEqual(await contents(registry.public))
  const later = await expectExit(0, 'adopt', folder, '--mirror', mirror, '--json')
  expect(later.json()).toMatchObject({ adopted: 0, alreadyHere: ARTIFACTS })
  expect(readdirSync(join(mirror, 'state/partials'))).toEqual([])
})

test('one flipped byte in the directory: that crate alone is fetched', {
  timeout: 60_000,
}, async ({ registry }) => {
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  const folder = laidOut(registry, flat)
  const bytes = await readFile(join(folder, HULL))
  const right = sha256(bytes)
  bytes[40] = (bytes[40] ?? 0) ^ 1
  writeFileSync(join(folder, HULL), bytes)
  await expectExit(0, 'adopt', folder, '--mirror', mirror)
  await expectExit(0, 'sync', '--mirror', mirror)
  const asked = upstream.requests.filter(({ path }) => path.endsWith('.crate'))
  expect(asked.map(({ path }) => path)).toEqual([`/crates/fe/rr/${right}.crate`])
  expect(await contents(join(mirror, 'public'))).toEqual(await contents(registry.public))
  expect(readdirSync(join(mirror, 'state/partials'))).toEqual([])
})

test('a partial that lies here changed, cut or as a short copy is never landed as it is', {
  timeout: 60_000,
}, async ({ registry }) => {
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  const folder = laidOut(registry, flat)
  await expectExit(0, 'adopt', folder, '--mirror', mirror)
  const partials = join(mirror, 'state/partials')
  const [flipped = '', cut = ''] = readdirSync(partials)
  const bytes = readFileSync(join(partials, flipped))
  writeFileSync(
    join(partials, flipped),
    bytes.map((byte, at) => (at === 7 ? byte ^ 4 : byte)),
  )
  const whole = readFileSync(join(partials, cut))
  writeFileSync(join(partials, cut), whole.subarray(0, 100))

  const again = await expectExit(0, 'adopt', folder, '--mirror', mirror, '--json')
  expect(again.json()).toMatchObject({ adopted: 1, alreadyHere: ARTIFACTS - 1 })
  expect(readFileSync(join(partials, cut))).toEqual(whole)
  await expectExit(0, 'sync', '--mirror', mirror)
  expect(new Set(upstream.requests.map(({ path }) => path.slice(-70, -6)))).toContain(
    flipped.slice(0, 64),
  )
  expect(await contents(join(mirror, 'public'))).toEqual(await contents(registry.public))
})

test('a sync that ends early keeps what was adopted for the next one', {
  timeout: 60_000,
}, async ({ registry }) => {
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  const folder = laidOut(registry, flat)
  for (const { name, version } of plainCrates(registry).filter(one => one.name >= 'ferry-s')) {
    rmSync(join(folder, `${name}-${version}.crate`))
  }
  const adopted = await expectExit(0, 'adopt', folder, '--mirror', mirror, '--json')
  const { adopted: count } = adopted.json() as { adopted: number }
  expect(count).toBeLessThan(ARTIFACTS)

  await expectExit(3, 'sync', '--mirror', mirror, '--limit-bytes', '1')
  upstream.misbehave(/\.crate$/, { kind: 'status', status: 503 }, { times: 1 })
  await expectExit(0, 'sync', '--mirror', mirror)
  const asked = new Set(
    upstream.requests.map(({ path }) => path).filter(path => path.endsWith('.crate')),
  )
  expect(asked.size).toBe(ARTIFACTS - count)
  expect(await contents(join(mirror, 'public'))).toEqual(await contents(registry.public))
})

test('links, pipes, folders and empty files named like crates are left out, whatever their names', {
  timeout: 60_000,
}, async ({ registry }) => {
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  const folder = registry.at('odd')
  const secret = registry.at('secret')
  mkdirSync(join(secret, 'below'), { recursive: true })
  writeFileSync(join(secret, 'secret'), 'not for the mirror')
  writeFileSync(join(secret, 'below/secret-1.0.0.crate'), 'nor this')
  mkdirSync(join(folder, 'folder-1.0.0.crate'), { recursive: true })
  symlinkSync(join(secret, 'secret'), join(folder, 'link-1.0.0.crate'))
  symlinkSync(join(secret, 'below'), join(folder, 'linked folder'))
  symlinkSync(folder, join(folder, 'loop'))
  execFileSync('mkfifo', [join(folder, 'pipe-1.0.0.crate')])
  writeFileSync(join(folder, 'empty-1.0.0.crate'), '')
  writeFileSync(join(folder, 'bell\u0007\u001b[31m\n-1.0.0.crate'), '')
  writeFileSync(join(folder, 'README'), 'not a crate')
  writeFileSync(join(folder, 'download'), 'not below a version')
  writeFileSync(join(folder, '-.crate'), 'a name that says nothing')
  mkdirSync(join(folder, 'sub'))
  writeFileSync(join(folder, 'sub/right-1.0.0.crate'), 'right')

  const said = await expectExit(0, 'adopt', folder, '--mirror', mirror)
  expect(said.stdout).toBe('adopted 2 of 2 crates (29 B), 6 left out\n')
  expect(said.stderr).toContain('link-1.0.0.crate" is a link and not followed')
  expect(said.stderr).toContain('pipe-1.0.0.crate" is not a regular file')
  expect(said.stderr).toContain('\\u0007\\u001b[31m\\n')
  expect(said.stderr).not.toContain('\u001b[31m')
  const partials = readdirSync(join(mirror, 'state/partials')).sort()
  const taken = ['right', 'a name that says nothing'].map(text => `${sha256(text)}.part`)
  expect(partials).toEqual(taken.sort())
})

test('what cannot be read is named, stops nothing else, and is exit 3', {
  timeout: 60_000,
}, async ({ registry }) => {
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  const folder = laidOut(registry, flat)
  // a name that is no UTF-8 cannot be opened by the one we are told; root can read all the rest
  writeFileSync(Buffer.concat([Buffer.from(`${folder}/bad-`), Buffer.from([0xff, 0x2e])]), 'x')
  writeFileSync(
    Buffer.concat([Buffer.from(`${folder}/`), Buffer.from([0xfe]), Buffer.from('.crate')]),
    'x',
  )
  mkdirSync(join(folder, 'a/b/c/d/e/f/g/h/i/j/k/l/m'), { recursive: true })
  writeFileSync(join(folder, 'a/b/c/d/e/f/g/h/i/j/k/l/last-1.0.0.crate'), 'twelve folders deep')
  writeFileSync(join(folder, 'a/b/c/d/e/f/g/h/i/j/k/l/m/deeper-1.0.0.crate'), 'thirteen')
  const adopted = await expectExit(3, 'adopt', folder, '--mirror', mirror, '--json')
  expect(adopted.json()).toMatchObject({ ok: false, exit: 3, adopted: ARTIFACTS + 1, unread: 2 })
  expect(adopted.stderr).toContain('cannot be read (ENOENT)')
  expect(adopted.stderr).toContain('l/m" is more than 12 folders deep')
  const [run] = (await expectExit(0, 'status', '--mirror', mirror, '--json')).json()['runs'] as [
    object,
  ]
  expect(run).toMatchObject({ command: 'adopt', exit: 3, from: folder, unread: 2 })
})

test('a long crate is copied whole, with the mode a web server needs', {
  timeout: 60_000,
}, async ({ registry }) => {
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  const folder = registry.at('long')
  mkdirSync(folder)
  for (const [name, length] of [
    ['at-1.0.0', 262_144],
    ['above-1.0.0', 262_145],
    ['long-1.0.0', 2_500_000],
  ] as const) {
    writeFileSync(join(folder, `${name}.crate`), randomBytes(length))
    chmodSync(join(folder, `${name}.crate`), 0o400)
  }
  await expectExit(0, 'adopt', folder, '--mirror', mirror)
  const partials = join(mirror, 'state/partials')
  const names = readdirSync(partials)
  expect(names.length).toBe(3)
  for (const name of names) {
    expect(`${sha256(readFileSync(join(partials, name)))}.part`).toBe(name)
    expect(statSync(join(partials, name)).mode & 0o777).toBe(0o644)
  }
})

test('the reserve of the disk is left alone: exit 20, nothing copied', {
  timeout: 60_000,
}, async ({ registry }) => {
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  const file = join(mirror, 'crateferry.toml')
  const text = await readFile(file, 'utf8')
  const key = /^#? ?reserve-bytes = .*$/m
  expect(text).toMatch(key)
  await writeFile(file, text.replace(key, 'reserve-bytes = 1125899906842624'))
  const { stderr } = await expectExit(20, 'adopt', laidOut(registry, flat), '--mirror', mirror)
  expect(stderr).toContain('the reserve is 1125899906842624')
  expect(readdirSync(join(mirror, 'state/partials'))).toEqual([])
})

test('a directory that is missing, a file, in the mirror or around it is exit 64', {
  timeout: 60_000,
}, async ({ registry }) => {
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  const refused = async (folder: string, pattern: RegExp): Promise<void> => {
    const { stderr } = await expectExit(64, 'adopt', folder, '--mirror', mirror)
    expect(stderr).toMatch(pattern)
  }
  await refused(registry.at('nowhere'), /is no directory/)
  await refused(registry.root, /is no directory/)
  await refused(join(mirror, 'state/partials'), /is part of the mirror/)
  await refused(mirror, /is part of the mirror/)
  await refused(registry.folder, /holds the mirror/)
  symlinkSync(join(mirror, 'public'), registry.at('by another way'))
  await refused(registry.at('by another way'), /is part of the mirror/)
  await expectExit(10, 'adopt', registry.at('plain'), '--mirror', registry.at('plain'))
})

test('killed and run again it goes on: all is adopted, no artifact is asked for (P5)', {
  timeout: 90_000,
}, async ({ registry }) => {
  const artifacts = 150
  makeLoad(registry.at('load'), { artifacts, seed: 11 })
  await expectExit(0, 'upstream', registry.at('signed'), '--from', registry.at('load'))
  const shown = registry.at('signed/public')
  await using upstream = await serveFolder(shown)
  const mirror = registry.at('mirror')
  const root = join(shown, 'tuf/1.root.json')
  await expectExit(0, 'init', mirror, '--upstream', upstream.url, '--root', root)
  const args = ['bin/crateferry.js', 'adopt', registry.at('load'), '--mirror', mirror]
  const child = spawn(process.execPath, args, {
    stdio: 'ignore',
    env: { ...process.env, NODE_OPTIONS: '' },
  })
  const ended = once(child, 'exit')
  const partials = join(mirror, 'state/partials')
  while (child.exitCode === null && readdirSync(partials).length < 20) await sleep(1)
  child.kill('SIGKILL')
  await ended
  const left = readdirSync(partials).length
  expect(left).toBeGreaterThan(0)

  const again = await expectExit(0, 'adopt', registry.at('load'), '--mirror', mirror, '--json')
  const { adopted, alreadyHere } = again.json() as { adopted: number; alreadyHere: number }
  expect(adopted + alreadyHere).toBe(artifacts)
  expect(alreadyHere).toBeGreaterThanOrEqual(left - 1)
  await expectExit(0, 'sync', '--mirror', mirror)
  expect(upstream.requests.count(/\.crate$/)).toBe(0)
  expect(await contents(join(mirror, 'public'))).toEqual(await contents(shown))
})
