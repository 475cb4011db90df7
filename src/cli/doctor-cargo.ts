import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { readDependencies } from '../registry/dependency.ts'
import { readIndexFile } from '../registry/index-file.ts'
import { type IndexPath, prefixOfPath } from '../registry/sparse-path.ts'
import { type RunningServer, startServer } from '../serve/server.ts'
import { MirrorReader } from '../store/reader.ts'
import { cargoConfig } from './cargo-config.ts'
import { type Check, ok, type Patient, warn } from './doctor-check.ts'
import { EXIT } from './report.ts'

const CARGO_MS = 60_000
const CRATES_LOOKED_AT = 2000

const run = promisify(execFile)

/**
 * A real cargo fetches one crate from this mirror, with a CARGO_HOME of its own: index and artifact
 * are what it expects. It fetches and builds nothing, so no code of the mirror runs.
 */
export async function cargoChecks(patient: Patient): Promise<readonly Check[]> {
  const { context, mirror } = patient
  const version = await run('cargo', ['--version'], { env: context.env }).then(
    ({ stdout }) => stdout.trim(),
    () => undefined,
  )
  if (version === undefined) return [ok('cargo', 'there is none here, so none was tried')]
  const reader = new MirrorReader(mirror.root)
  const crate = await crateToFetch(reader)
  if (crate === undefined)
    return [warn('cargo', `${version}: no crate is here that it could fetch alone`)]
  const log = (line: string): void => context.out.say(line)
  const listen = { host: '127.0.0.1', port: 0 }
  await using server = await startServer({ reader, listen, url: 'http://127.0.0.1', log })
  const folder = mkdtempSync(join(tmpdir(), 'crateferry-doctor-'))
  try {
    return [await fetched(patient, { version, crate, server, folder })]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

interface Chosen {
  readonly name: string
  readonly version: string
}

async function fetched(
  { context }: Patient,
  {
    version,
    crate,
    server,
    folder,
  }: {
    readonly version: string
    readonly crate: Chosen
    readonly server: RunningServer
    readonly folder: string
  },
): Promise<Check> {
  const home = join(folder, 'home')
  for (const name of ['home', 'src']) mkdirSync(join(folder, name))
  writeFileSync(join(home, 'config.toml'), cargoConfig(server.url))
  writeFileSync(join(folder, 'src/lib.rs'), '')
  writeFileSync(
    join(folder, 'Cargo.toml'),
    `[package]\nname = "doctor"\nversion = "0.0.0"\n\n[dependencies]\n"${crate.name}" = "=${crate.version}"\n`,
  )
  const env = { ...context.env, CARGO_HOME: home }
  const options = { cwd: folder, env, signal: context.signal, timeout: CARGO_MS }
  const began = performance.now()
  try {
    await run('cargo', ['fetch'], options)
  } catch (error) {
    const { stderr = '', message } = error as { stderr?: string; message: string }
    const said = (stderr || message).trim().split('\n').slice(-3).join(' ')
    const what = `${version} could not fetch ${crate.name}@${crate.version} from this mirror: ${said}`
    return { name: 'cargo', state: 'fail', what, exit: EXIT.incomplete }
  }
  const ms = Math.round(performance.now() - began)
  return ok(
    'cargo',
    `${version} fetched ${crate.name}@${crate.version} from this mirror in ${ms} ms`,
  )
}

/** Some version that is here and needs no other crate. */
async function crateToFetch(reader: MirrorReader): Promise<Chosen | undefined> {
  const snapshot = reader.published()
  if (snapshot === undefined) return undefined
  let looked = 0
  for await (const path of reader.paths(snapshot)) {
    const chosen = versionOf(reader, path)
    looked += 1
    if (chosen !== undefined || looked >= CRATES_LOOKED_AT) return chosen
  }
  return undefined
}

function versionOf(reader: MirrorReader, path: IndexPath): Chosen | undefined {
  const file = reader.indexFileByPath(path)
  if (!existsSync(file)) return undefined
  const bytes = readFileSync(file)
  const lines = bytes.toString().split('\n')
  for (const { crate, version, checksum, yanked, line } of readIndexFile(bytes, path).entries) {
    if (yanked || !existsSync(reader.artifact(prefixOfPath(path), checksum))) continue
    const text = Buffer.from(lines[line - 1] ?? '')
    const needed = readDependencies(text).filter(({ kind }) => kind !== 'dev')
    if (needed.length === 0) return { name: crate, version }
  }
  return undefined
}
