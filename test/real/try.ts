// `npm run try:real [NAME[@REQUIREMENT][+FEATURE…] …]`: real crates through the whole program, from a
// signed upstream to two cargo builds, and once more from one that signs nothing to a mirror below
// it. Needs cargo, its way to a registry, and nginx.
import { hash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CratesIo } from '../crates-io.ts'
import { freePort, startNginx } from '../nginx.ts'
import { serveFolder } from '../upstream.ts'
import { build } from './build.ts'
import { collect } from './collect.ts'
import { observedSteps } from './observed.ts'
import { crateferry, serve, timed } from './run.ts'
import { survey } from './survey.ts'
import { wanted } from './wanted.ts'

const list = wanted(process.argv.slice(2))
/** Kept between runs, one folder for each list. */
const plain = join(tmpdir(), 'crateferry-real', hash('sha256', JSON.stringify(list)).slice(0, 16))
const scratch = mkdtempSync(join(tmpdir(), 'crateferry-real-'))
const repository = join(scratch, 'repository')
const mirror = join(scratch, 'mirror')
const lock = join(scratch, 'Cargo.lock')

await using upstream = await serveFolder(join(repository, 'public'))
await using cratesIo = await CratesIo.start()
const steps = [
  collecting,
  signing,
  syncing,
  verifying,
  buildingFromServe,
  buildingFromNginx,
  ...observedSteps(cratesIo, { plain, scratch, lock }),
]
try {
  for (const step of steps) await timed(step)
} finally {
  rmSync(scratch, { recursive: true })
}

async function collecting(): Promise<string> {
  await collect(plain, list)
  return `${survey(plain)}; kept in ${plain}`
}

async function signing(): Promise<string> {
  const { tree, artifacts } = await crateferry('upstream', repository, '--from', plain)
  return `${artifacts} artifacts, tree ${tree}`
}

async function syncing(): Promise<string> {
  const root = join(repository, 'public/tuf/1.root.json')
  await crateferry('init', mirror, '--upstream', upstream.url, '--root', root)
  const { tree, artifacts } = await crateferry('sync', '--mirror', mirror)
  return `${artifacts} artifacts in ${upstream.requests.length} requests, tree ${tree}`
}

async function verifying(): Promise<string> {
  await crateferry('verify', '--mirror', mirror)
  return 'every byte read back, no fault'
}

async function buildingFromServe(): Promise<string> {
  await using server = await serve(mirror)
  await build(await cargoConfig(server.url), lock)
  return `cargo build --locked from ${server.url}, cargo home empty, nothing else in reach`
}

/** A plain web server over `public/`, whose URL config.json has to name. */
async function buildingFromNginx(): Promise<string> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const file = join(mirror, 'crateferry.toml')
  const text = readFileSync(file, 'utf8')
  writeFileSync(file, text.replace('[serve]', `[serve]\nurl = "${url}"`))
  await crateferry('sync', '--mirror', mirror)
  await using nginx = await startNginx(join(mirror, 'public'), port)
  if (nginx === undefined) throw new Error('there is no nginx on this machine')
  await build(await cargoConfig(url), lock)
  return `the same from nginx at ${url}, without a rewrite rule`
}

async function cargoConfig(url: string): Promise<string> {
  return String((await crateferry('cargo-config', '--url', url))['config'])
}
