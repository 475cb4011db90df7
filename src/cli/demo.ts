import { execFile } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { getAssetKeys, getRawAsset, isSea } from 'node:sea'
import { promisify } from 'node:util'
import { MirrorError } from '../error.ts'
import { type RunningServer, startServer } from '../serve/server.ts'
import { TUF } from '../store/layout.ts'
import { MirrorReader } from '../store/reader.ts'
import { readPublished, type Snapshot } from '../store/snapshot.ts'
import { cargoConfig } from './cargo-config.ts'
import { type Context, Output } from './context.ts'
import { initCommand } from './init.ts'
import { syncCommand } from './sync.ts'
import { upstreamCommand } from './upstream.ts'
import { verifyCommand } from './verify.ts'

/**
 * `crateferry demo`: the main job on this machine, in a folder of its own, by the commands an
 * operator would type. Nothing is left but that folder.
 */
export async function demoCommand(context: Context): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'crateferry-demo-'))
  const [repository, mirror] = [join(folder, 'repository'), join(folder, 'mirror')]
  const { out } = context
  const say = (line: string): void => {
    if (!out.isJson) process.stdout.write(`${line}\n`)
  }
  const quiet = quietly(context)
  const at = (mirror: string): Context => ({ ...quiet, options: { ...quiet.options, mirror } })
  const begun = performance.now()
  const fixtures = fixturesIn(folder)

  say(out.bold('1. A signed upstream, made from the crates in fixtures/'))
  await must(upstreamCommand(quiet, repository, { from: join(fixtures, 'crates') }))
  await using upstream = await served(repository, context)
  const { entries } = shown(repository)
  say(`   2-of-3 root, index tree over ${entries} crates, served at ${upstream.url}`)

  say(out.bold('2. A mirror of it, pinned to that root'))
  const root = join(repository, TUF, '1.root.json')
  await must(initCommand(quiet, mirror, { upstream: upstream.url, root }))
  await must(syncCommand(at(mirror), {}))
  say(`   ${count(join(mirror, 'public/crates'))} artifacts, each verified before it got its name`)
  const { n } = shown(mirror)
  await must(syncCommand(at(mirror), {}))
  if (shown(mirror).n !== n) throw new MirrorError('unexpected', 'a second sync found news')
  say(`   synced again: nothing changed, snapshot ${n}`)

  say(out.bold('3. Every byte read back and checked'))
  await must(verifyCommand(at(mirror), [], {}))
  say('   no fault found')

  say(out.bold('4. Served to a real cargo'))
  await using server = await served(mirror, context)
  const built = await buildWithCargo(context, { folder, fixtures, server })
  for (const line of built.lines) say(`   ${line}`)

  const seconds = Math.round((performance.now() - begun) / 100) / 10
  say(`done in ${seconds} s; all of it is in ${folder}`)
  if (out.isJson) out.result({ ok: true, folder, seconds, cargo: built.cargo }, [])
  return 0
}

function shown(folder: string): Snapshot {
  const snapshot = readPublished(folder)
  if (snapshot === undefined) throw new MirrorError('unexpected', `${folder} shows nothing`)
  return snapshot
}

/** The steps' own output would drown the story; what fails still says so. */
function quietly(context: Context): Context {
  const options = { ...context.options, quiet: true }
  class Silent extends Output {
    override result(): void {}
    override item(): void {}
  }
  return { ...context, options, out: new Silent(options, context.env) }
}

async function must(command: Promise<number>): Promise<void> {
  const exit = await command
  if (exit !== 0) throw new MirrorError('unexpected', `a step of the demo ended with exit ${exit}`)
}

async function served(folder: string, { out }: Context): Promise<RunningServer> {
  const listen = { host: '127.0.0.1', port: 0 }
  const reader = new MirrorReader(folder)
  return await startServer({ reader, listen, url: 'http://127.0.0.1', log: line => out.say(line) })
}

/** Beside `src` in a checkout, beside `dist` in a package; an executable brings them along. */
function fixturesIn(folder: string): string {
  if (isSea()) return unpacked(folder)
  for (const up of ['../..', '../../..']) {
    const folder = join(import.meta.dirname, up, 'fixtures')
    if (existsSync(folder)) return folder
  }
  throw new MirrorError('unexpected', 'the fixtures folder of the package is missing')
}

/** Assets of the executable are files named by their path. */
function unpacked(folder: string): string {
  for (const name of getAssetKeys().filter(key => key.startsWith('fixtures/'))) {
    const file = join(folder, name)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, Buffer.from(getRawAsset(name)))
  }
  return join(folder, 'fixtures')
}

function count(folder: string): number {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(name =>
    name.endsWith('.crate'),
  ).length
}

const CARGO_MS = 120_000

/** With an empty CARGO_HOME whose only source is the mirror, as locked as a release build. */
async function buildWithCargo(
  { env, signal }: Context,
  {
    folder,
    fixtures,
    server: { url },
  }: { readonly folder: string; readonly fixtures: string; readonly server: RunningServer },
): Promise<{ readonly cargo: string | undefined; readonly lines: readonly string[] }> {
  const home = join(folder, 'cargo-home')
  const program = join(folder, 'program')
  cpSync(join(fixtures, 'program'), program, { recursive: true })
  mkdirSync(home)
  writeFileSync(join(home, 'config.toml'), cargoConfig(url))
  const options = {
    cwd: program,
    env: { ...env, CARGO_HOME: home, CARGO_TARGET_DIR: join(folder, 'target') },
    signal,
    timeout: CARGO_MS,
  }
  const run = promisify(execFile)
  let cargo: string
  try {
    cargo = (await run('cargo', ['--version'], options)).stdout.trim()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return {
      cargo: undefined,
      lines: ['there is no cargo on this machine, so nothing was built', `it would use ${url}`],
    }
  }
  await run('cargo', ['build', '--locked'], options)
  const { stdout } = await run(join(folder, 'target/debug/ferry-crossing'), [], options)
  const said = stdout.trimEnd().split('\n')
  return { cargo, lines: [`${cargo} built fixtures/program from ${url}; it says:`, ...said] }
}
