import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { sha256 } from '../../src/registry/checksum.ts'
import { artifactAt, checksumOf, expectExit, Registry } from '../crateferry.ts'
import { proofOutcome } from '../proof.ts'
import { Site } from '../site.ts'

const HULL = 'fe/rr/ferry-hull'
const timeout = 90_000

let registry: Registry
let mirror: string
let crate: string
let root: string
let proof: string

beforeAll(async () => {
  registry = await Registry.make()
  // enough crates for tiles below the root
  mkdirSync(registry.at('plain/index/fi/ll'), { recursive: true })
  for (let n = 0; n < 80; n += 1) {
    mkdirSync(registry.at(`plain/crates/fill-${n}`))
    writeFileSync(registry.at(`plain/index/fi/ll/fill-${n}`), '')
    await registry.publish(`fi/ll/fill-${n}`, `fill-${n}`, '1.0.0')
    await registry.edit(`fi/ll/fill-${n}`, lines => lines.filter(line => line !== ''))
  }
  await registry.sign()
  mirror = registry.at('repository')
  root = registry.root
  const checksum = await checksumOf(join(mirror, 'public/index'), HULL, '1.0.0')
  crate = registry.at('ferry-hull-1.0.0.crate')
  cpSync(join(mirror, 'public', artifactAt(HULL, checksum)), crate)
  proof = registry.at('hull.proof')
  await expectExit(0, 'verify', 'ferry-hull@1.0.0', '--proof', proof, '--mirror', mirror)
}, timeout)

afterAll(async () => {
  await registry[Symbol.asyncDispose]()
})

test('verify prints the way from the root to the artifact', { timeout }, async () => {
  const said = await expectExit(0, 'verify', 'ferry-hull@1.0.0', '--mirror', mirror)
  expect(said.stdout).toMatch(
    /^root 1 +2 needed, signed by .*\ntimestamp \d+ .*\nsnapshot \d+ .*\ntargets \d+ .*\ntree +[0-9a-f]{64}\ntile [0-9a-f] +[0-9a-f]{64}\nindex entry +[0-9a-f]{64} {2}fe\/rr\/ferry-hull, \d+ bytes\nartifact +[0-9a-f]{64} {2}ferry-hull 1\.0\.0\n/,
  )
  const json = await expectExit(0, 'verify', 'ferry-hull@1.0.0', '--mirror', mirror, '--json')
  expect(json.json()).toMatchObject({
    walks: [{ crate: 'ferry-hull', checksum: sha256(readFileSync(crate)), tiles: [{}, {}] }],
  })
})

test('a proof needs no mirror, and proves one artifact under one root', { timeout }, async () => {
  const check = ['verify', '--with-proof', proof]
  const good = await expectExit(0, ...check, crate, '--root', root)
  expect(good.stdout).toContain('is ferry-hull 1.0.0 as signed under this root')
  await expectExit(0, ...check, crate, '--mirror', mirror)
  await expectExit(64, ...check, crate)
  await expectExit(64, ...check, '--root', root)
  const other = registry.at('other.crate')
  writeFileSync(other, 'other bytes')
  await expectExit(11, ...check, other, '--root', root)
  const site = await Site.make(registry.at('keys'))
  await expectExit(11, ...check, crate, '--root', site.root)
  // the same again changes nothing, another one takes no file's place
  await expectExit(0, 'verify', 'ferry-hull@1.0.0', '--proof', proof, '--mirror', mirror)
  await expectExit(64, 'verify', 'fill-1@1.0.0', '--proof', proof, '--mirror', mirror)
  const elsewhere = ['--proof', registry.at('x'), '--mirror', mirror]
  await expectExit(64, 'verify', ...elsewhere)
  await expectExit(64, 'verify', 'ferry-hull', ...elsewhere)
  await expectExit(64, 'verify', 'ferry-hull@1.0.0', '--repair', ...elsewhere)
  await expectExit(64, 'verify', 'ferry-hull@1.0.0', '--mirror', mirror, '--root', root)
  await expectExit(64, ...check, crate, '--root', root, '--repair')
  // damage is told as damage, and no proof is written of it
  const name = artifactAt(HULL, sha256(readFileSync(crate)))
  const damaged = registry.at('damaged')
  cpSync(mirror, damaged, { recursive: true })
  writeFileSync(join(damaged, 'public', name), 'other bytes')
  const found = ['verify', 'ferry-hull@1.0.0', '--proof', registry.at('x'), '--mirror', damaged]
  expect((await expectExit(4, ...found)).stdout).toContain('damaged')
  expect(existsSync(registry.at('x'))).toBe(false)
})

test('no byte of a proof can change', { timeout }, async () => {
  const bytes = readFileSync(proof)
  const pinned = readFileSync(root)
  const artifact = sha256(readFileSync(crate))
  expect(await proofOutcome(bytes, pinned, artifact)).toBe('good')
  // the pinned root is the checker's own, and the padding says nothing
  const own = bytes.indexOf(pinned)
  const places = [...bytes.keys()].filter(
    at => bytes[at] !== 0 && (at < own || at >= own + pinned.length),
  )
  // a prime, so that all kinds of places have their turn
  for (const at of places.filter((_, n) => n % 13 === 0)) {
    const changed = Buffer.from(bytes)
    changed[at] = (changed[at] ?? 0) ^ 0x01
    expect(await proofOutcome(changed, pinned, artifact), `byte ${at}`).not.toBe('good')
  }
})

test('the shell of docs/trust.md comes to the same', { timeout }, async () => {
  const [, script = ''] =
    /```sh\n(# usage: sh check\.sh[\s\S]+?)```/.exec(readFileSync('docs/trust.md', 'utf8')) ?? []
  mkdirSync(registry.at('shell'))
  const file = registry.at('shell/check.sh')
  writeFileSync(file, script)
  const check = (...args: string[]): { readonly status: number | null; readonly said: string } => {
    const { status, stdout, stderr } = spawnSync('sh', [file, ...args], { encoding: 'utf8' })
    return { status, said: `${stdout}${stderr}` }
  }
  const good = check(proof, crate, HULL, root)
  expect(good.said).toMatch(/^good: .*ferry-hull-1\.0\.0\.crate is in fe\/rr\/ferry-hull/)
  expect(good.status).toBe(0)
  const other = registry.at('shell/other.crate')
  writeFileSync(other, 'other bytes')
  expect(check(proof, other, HULL, root)).toMatchObject({
    status: 1,
    said: expect.stringContaining('BAD'),
  })
  const site = await Site.make(registry.at('shell/keys'))
  expect(check(proof, crate, HULL, site.root)).toMatchObject({
    status: 1,
    said: 'BAD: timestamp is not signed\n',
  })
  for (const text of ['"spec_version"', '.ferry-hull', 'index-tree 1 node', '"cksum"']) {
    const bytes = readFileSync(proof)
    const at = bytes.lastIndexOf(text) + 2
    bytes[at] = (bytes[at] ?? 0) ^ 0x01
    writeFileSync(registry.at('shell/bad.proof'), bytes)
    expect(check(registry.at('shell/bad.proof'), crate, HULL, root).status, text).not.toBe(0)
  }
})
