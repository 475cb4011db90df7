// `npm run try:airgap [NAME[@REQUIREMENT][+FEATURE…] …]`: real crates over a gap. Two mirrors share
// nothing but the media that are carried; cargo builds from the far one after each step.
import { hash } from 'node:crypto'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { sha256 } from '../../src/registry/checksum.ts'
import { build } from './build.ts'
import { collect } from './collect.ts'
import { crateferry, run, serve, timed } from './run.ts'
import { wanted } from './wanted.ts'

const list = wanted(process.argv.slice(2))
/** Kept between runs, one folder for each list; `try:real` uses the same. */
const collected = join(
  tmpdir(),
  'crateferry-real',
  hash('sha256', JSON.stringify(list)).slice(0, 16),
)
const scratch = mkdtempSync(join(tmpdir(), 'crateferry-airgap-'))
const at = (name: string): string => join(scratch, name)
const near = at('near')
const far = at('far')
async function signing(): Promise<string> {
  await collect(collected, list)
  cpSync(collected, at('plain'), { recursive: true })
  const { artifacts, tree } = await sign()
  await crateferry('init', far, '--root', join(near, 'public/tuf/1.root.json'))
  return `${artifacts} artifacts, tree ${tree}`
}

const sign = (): ReturnType<typeof crateferry> =>
  crateferry('upstream', near, '--from', at('plain'))

/** The medium holds a third of it, beside its small files. */
let mediumSize = 0
const sizes = (): string[] => ['--volume-size', '2MiB', '--medium-size', String(mediumSize)]
const SMALL_FILES_BYTES = 32 * 2 ** 20

async function exporting(): Promise<string> {
  const { bytes } = await crateferry('bundle', 'plan', '--mirror', near, '--volume-size', '2MiB')
  mediumSize = SMALL_FILES_BYTES + Math.ceil(Number(bytes) / 3) + 4 * 2 ** 20
  for (const medium of [1, 2, 3]) {
    mkdirSync(at(`stick-${medium}`))
    const to = ['--to', at(`stick-${medium}`), '--medium', String(medium)]
    await crateferry('bundle', 'export', ...to, '--mirror', near, ...sizes())
  }
  const root = join(near, 'public/tuf/1.root.json')
  const sticks = [1, 2, 3].map(medium => at(`stick-${medium}`))
  const verified = await crateferry('bundle', 'verify', ...sticks, '--root', root, '--whole')
  return `three media, ${verified['members']} members verified there with only the root`
}

async function importingTwo(): Promise<string> {
  const failed = await failing(3, 'bundle', 'import', at('stick-1'), at('stick-3'), '--mirror', far)
  const missing = failed['notSeen'] as string[]
  require(missing.length > 0 && missing.every(name => name.endsWith('(medium 2)')), missing)
  return `without the second medium: pending, ${missing.length} volumes named, nothing published`
}

async function importingThird(): Promise<string> {
  const { artifacts } = await crateferry(
    'bundle',
    'import',
    at('stick-2'),
    at('stick-1'),
    '--mirror',
    far,
  )
  await crateferry('verify', '--mirror', far)
  return `published with the ${artifacts} artifacts of the second; ${await building()}`
}

async function delta(): Promise<string> {
  publishOne()
  await sign()
  mkdirSync(at('delta'))
  const base = `receipt:${answer(/^receipt-/)}`
  await crateferry('bundle', 'export', '--to', at('delta'), '--base', base, '--mirror', near)
  // carried and kept for later; a damaged copy arrives first
  cpSync(at('delta'), at('damaged'), { recursive: true })
  const volume = join(bagIn(at('damaged')), 'data/crates/crates-00001.tar')
  const bytes = readFileSync(volume)
  bytes[700] = (bytes[700] ?? 0) ^ 1
  writeFileSync(volume, bytes)
  const failed = await failing(4, 'bundle', 'import', at('damaged'), '--mirror', far)
  require((failed['damage'] as unknown[]).length === 1, failed)
  return `${bytes.length} bytes of artifacts from the receipt on; one flipped bit: named, the rest kept; ${await building()}`
}

async function healing(): Promise<string> {
  mkdirSync(at('again'))
  const plan = join(bagIn(at('damaged')), 'bundle.json')
  const again = ['--again', plan, '--volumes', 'crates-00001']
  await crateferry('bundle', 'export', '--to', at('again'), ...again, '--mirror', near)
  const volume = 'data/crates/crates-00001.tar'
  const [written, first] = ['again', 'delta'].map(name =>
    readFileSync(join(bagIn(at(name)), volume)),
  )
  require(first?.equals(written ?? Buffer.alloc(0)) === true, 'the volume differs')
  await crateferry('bundle', 'import', at('again'), at('damaged'), '--mirror', far)
  await crateferry('verify', '--mirror', far)
  return `the volume written again is bit-identical, and heals it; ${await building()}`
}

async function tooOld(): Promise<string> {
  const old = at('old')
  await crateferry('init', old, '--root', join(near, 'public/tuf/1.root.json'))
  await failing(3, 'bundle', 'import', at('delta'), '--mirror', old)
  const outbox = join(old, 'state/outbox')
  const [want = ''] = readdirSync(outbox).filter(name => name.startsWith('want-'))
  const lines = readFileSync(join(outbox, want), 'utf8').split('\n').length - 6
  return `a delta onto a mirror that has nothing: pending, ${lines} lines of what it lacks`
}

async function coreutils(): Promise<string> {
  const check = ['-c', '--strict', '--quiet', 'tagmanifest-sha256.txt', 'manifest-sha256.txt']
  const bags = [1, 2, 3].map(medium => bagIn(at(`stick-${medium}`)))
  for (const bag of bags) await run('sha256sum', check, { cwd: bag })
  return 'sha256sum -c reads every bag'
}

/** Real bytes, and a few more: a version that nobody else has. */
function publishOne(): void {
  const index = at('plain/index')
  const [path = ''] = readdirSync(index, { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('/serde'))
    .sort()
  const text = readFileSync(join(index, path), 'utf8').trimEnd()
  const line = JSON.parse(text.split('\n').at(-1) ?? '') as {
    name: string
    vers: string
    cksum: string
  }
  const folder = at(`plain/crates/${line.name}`)
  const bytes = Buffer.concat([
    readFileSync(join(folder, `${line.name}-${line.vers}.crate`)),
    Buffer.from('carried'),
  ])
  const vers = '0.0.1-carried'
  writeFileSync(join(folder, `${line.name}-${vers}.crate`), bytes)
  const added = JSON.stringify({ ...line, vers, cksum: sha256(bytes) })
  writeFileSync(join(index, path), `${text}\n${added}\n`)
}

async function building(): Promise<string> {
  await using server = await serve(far)
  const { config } = await crateferry('cargo-config', '--url', server.url)
  await build(String(config), at('Cargo.lock'))
  return 'cargo builds from it'
}

const answer = (pattern: RegExp): string => {
  const outbox = join(far, 'state/outbox')
  return join(outbox, readdirSync(outbox).find(name => pattern.test(name)) ?? '')
}

const bagIn = (medium: string): string =>
  join(medium, readdirSync(medium).find(name => name.startsWith('cf-')) ?? '')

/** A command that must end with this code; what it printed. */
async function failing(exit: number, ...args: string[]): Promise<Record<string, unknown>> {
  try {
    await run(process.execPath, [resolve('bin/crateferry.js'), '--json', ...args])
  } catch (error) {
    const { code, stdout } = error as { code: number; stdout: string }
    require(code === exit, error)
    return JSON.parse(stdout) as Record<string, unknown>
  }
  throw new Error(`${args.join(' ')} ended with 0, expected ${exit}`)
}

function require(isTrue: boolean, found: unknown): void {
  if (!isTrue) throw new Error(`not as it should be: ${JSON.stringify(found)}`, { cause: found })
}

const steps = [signing, exporting, importingTwo, importingThird, delta, healing, tooOld, coreutils]
try {
  for (const step of steps) await timed(step)
} finally {
  rmSync(scratch, { recursive: true })
}
