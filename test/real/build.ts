import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../nginx.ts'
import { run } from './run.ts'

const PROGRAM = join(import.meta.dirname, 'program')
const SAYS = '4 passengers\n'

/**
 * Builds `program` in a folder of its own from an empty cargo home whose only source is the mirror,
 * with the lock file `lock`, which is made first, from the same mirror, where it is missing.
 */
export async function build(config: string, lock: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'crateferry-real-build-'))
  try {
    const home = join(folder, 'home')
    const program = join(folder, 'program')
    const target = join(folder, 'target')
    mkdirSync(home)
    writeFileSync(join(home, 'config.toml'), config)
    cpSync(PROGRAM, program, { recursive: true })
    const env = await mirrorOnly({ CARGO_HOME: home, CARGO_TARGET_DIR: target })
    const options = { cwd: program, env }
    if (!existsSync(lock)) {
      await run('cargo', ['generate-lockfile', '--quiet'], options)
      cpSync(join(program, 'Cargo.lock'), lock)
    }
    cpSync(lock, join(program, 'Cargo.lock'))
    await run('cargo', ['build', '--quiet', '--locked'], options)
    const said = await run(join(target, 'debug/real-passengers'), [], options)
    if (said !== SAYS) throw new Error(`the program says ${JSON.stringify(said)}`)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/**
 * Every host but the mirror's is behind a proxy that is not there: a build that asks another one
 * fails. cargo's own settings in the environment are left out.
 */
async function mirrorOnly(home: Record<string, string>): Promise<NodeJS.ProcessEnv> {
  const rest = Object.entries(process.env).filter(([name]) => !/^cargo_|_?proxy$/i.test(name))
  const nowhere = `http://127.0.0.1:${await freePort()}`
  const proxies = { http_proxy: nowhere, https_proxy: nowhere, no_proxy: '127.0.0.1' }
  return { ...Object.fromEntries(rest), ...proxies, ...home }
}
