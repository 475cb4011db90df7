import { execFile } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { startServer } from '../../src/serve/server.ts'
import { MirrorReader } from '../../src/store/reader.ts'
import { expectExit } from '../crateferry.ts'
import { CratesIo } from '../crates-io.ts'
import { Observing } from '../observing.ts'

const run = promisify(execFile)
const cargo = await run('cargo', ['--version']).then(
  ({ stdout }) => stdout.trim(),
  () => void process.stderr.write('NO CARGO JOURNEYS: there is no cargo here\n'),
)

const DAY = 86_400_000

test.runIf(cargo)(
  'a few names of a registry that signs nothing: cargo builds each, offline',
  {
    timeout: 120_000,
  },
  async () => {
    await using registry = await CratesIo.start({ now: new Date('2026-03-01T00:00:00Z') })
    registry.fill('fixtures/crates')
    registry.advance(DAY)
    await using observing = await Observing.make(registry)
    const names = (list: string): string =>
      `[select]\nallow = [${list}]\nnewest = 1\nwith-dependencies = true`
    await observing.configure('[select]', names('"ferry-ticket"'))
    expect(await fetched(registry, observing)).toEqual([
      'ferry-signal/1.1.0',
      'ferry-ticket/0.1.0',
      'fry/0.2.1',
    ])
    await built(registry, observing, 'ferry-ticket = { version = "0.1", features = ["digital"] }')

    // nothing was published and nothing is swept: the other rules alone bring what is new
    registry.advance(900_000)
    await observing.configure('"ferry-ticket"', '"ferry-ticket", "FerryMast"')
    expect(await fetched(registry, observing)).toEqual(['FerryMast/1.0.0', 'f/1.0.0', 'fy/0.1.0'])
    expect((await observing.verify()).exit).toBe(0)
    await built(registry, observing, 'FerryMast = "1"')

    registry.publish('fy', '0.1.5')
    registry.publish('unrelated', '1.0.0')
    registry.advance(900_000)
    expect(await fetched(registry, observing)).toEqual(['fy/0.1.5'])
    expect((await observing.verify()).exit).toBe(0)
    expect(await fetched(registry, observing)).toEqual([])
  },
)

async function fetched(registry: CratesIo, observing: Observing): Promise<string[]> {
  registry.requests.clear()
  const { exit, said } = await observing.sync()
  expect(exit, said.join('\n')).toBe(0)
  const asked = registry.requests.map(({ path }) => /\/crates\/(.+)\/download$/.exec(path)?.[1])
  return asked.filter(one => one !== undefined).sort()
}

/** Builds a program with one dependency from an empty cargo home whose only source is the mirror. */
async function built(registry: CratesIo, observing: Observing, dependency: string): Promise<void> {
  await registry.goAway()
  const listen = { host: '127.0.0.1', port: 0 }
  const reader = new MirrorReader(observing.mirror)
  const log = (line: string): void => expect.fail(line)
  await using server = await startServer({ reader, listen, url: 'http://unused.example', log })
  const program = join(observing.folder, `uses-${dependency.split(' ')[0]}`)
  const home = join(program, 'home')
  await mkdir(join(program, 'src'), { recursive: true })
  await mkdir(home)
  const { stdout: config } = await expectExit(0, 'cargo-config', '--url', server.url)
  await writeFile(join(home, 'config.toml'), config)
  await writeFile(join(program, 'src/main.rs'), 'fn main() {}\n')
  const manifest = `[package]\nname = "uses"\nversion = "0.0.0"\nedition = "2021"\n[dependencies]\n${dependency}\n[workspace]\n`
  await writeFile(join(program, 'Cargo.toml'), manifest)
  const env = { ...process.env, CARGO_HOME: home, CARGO_TARGET_DIR: join(program, 'target') }
  // all that its lock file names, for whatever platform; then the build asks nobody
  await run('cargo', ['fetch'], { cwd: program, env })
  await run('cargo', ['build', '--offline'], { cwd: program, env })
  await registry.comeBack()
}
