import { execFile } from 'node:child_process'
import { cpSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { startServer } from '../../src/serve/server.ts'
import { MirrorReader } from '../../src/store/reader.ts'
import { contents, expectExit, Registry } from '../crateferry.ts'
import { startNginx } from '../nginx.ts'
import { serveFolder } from '../upstream.ts'

const run = promisify(execFile)

/** Where there is no cargo these journeys are left out, loudly. */
const cargo = await run('cargo', ['--version']).then(
  ({ stdout }) => stdout.trim(),
  () => void process.stderr.write('NO CARGO JOURNEYS: there is no cargo here\n'),
)

/** Builds fixtures/program with an empty CARGO_HOME whose only source is `url`. */
async function build(folder: string, url: string): Promise<string> {
  const program = join(folder, 'program')
  cpSync(resolve('fixtures/program'), program, { recursive: true })
  await mkdir(join(folder, 'home'))
  const { stdout: config } = await expectExit(0, 'cargo-config', '--url', url)
  await writeFile(join(folder, 'home/config.toml'), config)
  const env = {
    ...process.env,
    CARGO_HOME: join(folder, 'home'),
    CARGO_TARGET_DIR: join(folder, 'target'),
  }
  await run('cargo', ['build', '--locked'], { cwd: program, env })
  const { stdout } = await run(join(folder, 'target/debug/ferry-crossing'))
  return stdout
}

async function mirrored(registry: Registry, url?: string): Promise<string> {
  await using upstream = await serveFolder(registry.public)
  const mirror = await registry.mirror('mirror', upstream.url)
  if (url !== undefined) {
    const file = join(mirror, 'crateferry.toml')
    const text = await readFile(file, 'utf8')
    await writeFile(file, text.replace('[serve]', `[serve]\nurl = "${url}"`))
  }
  await expectExit(0, 'sync', '--mirror', mirror)
  return mirror
}

test.runIf(cargo)('a real cargo builds from the built-in server', { timeout: 60_000 }, async () => {
  await using registry = await Registry.make()
  const reader = new MirrorReader(await mirrored(registry))
  const listen = { host: '127.0.0.1', port: 0 }
  const lines: string[] = []
  const log = (line: string): void => void lines.push(line)
  await using server = await startServer({ reader, listen, url: 'http://unused.example', log })
  expect(await build(registry.folder, server.url)).toContain('ferry-engine-sys 0.9.0+bunker.2.4.1')
  const index = `sparse+${server.url}/index/`
  const found = await run('cargo', ['search', 'Ferry_hull', '--index', index])
  expect(found.stdout.trim()).toBe('ferry-hull = "1.1.0"')
  expect(lines).toEqual([])
})

const PORT = 18_377

test.runIf(cargo)(
  'so it does from nginx over public/, without a rewrite rule',
  {
    timeout: 60_000,
  },
  async ({ skip }) => {
    await using registry = await Registry.make()
    const url = `http://127.0.0.1:${PORT}`
    const mirror = await mirrored(registry, url)
    await using nginx = await startNginx(join(mirror, 'public'), PORT)
    if (nginx === undefined) return skip('there is no nginx here')
    expect(await build(registry.folder, url)).toContain('ferry-engine-sys 0.9.0+bunker.2.4.1')
  },
)

test('a mirror of a mirror, through the built-in server, has the same public bytes', {
  timeout: 60_000,
}, async () => {
  await using registry = await Registry.make()
  const first = await mirrored(registry)
  const listen = { host: '127.0.0.1', port: 0 }
  const reader = new MirrorReader(first)
  await using server = await startServer({
    reader,
    listen,
    url: 'http://unused.example',
    log: () => {},
  })
  const second = await registry.mirror('second', server.url)
  await expectExit(0, 'sync', '--mirror', second)
  await expectExit(0, 'verify', '--mirror', second)
  expect(await contents(join(second, 'public'))).toEqual(await contents(join(first, 'public')))
})
