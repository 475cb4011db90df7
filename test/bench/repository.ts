import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { makeLoad } from './load.ts'

export const NODE: string = process.execPath
/** The program as npm installs it: built, without the sources beside it. */
export const BIN: string = join(built(), 'bin/crateferry.js')

function built(): string {
  const folder = mkdtempSync(join(tmpdir(), 'crateferry-built-'))
  process.once('exit', () => rmSync(folder, { recursive: true }))
  execFileSync('npm', ['exec', '--', 'tsc', '--outDir', join(folder, 'dist')])
  for (const name of ['bin', 'package.json']) {
    cpSync(name, join(folder, name), { recursive: true })
  }
  symlinkSync(resolve('node_modules'), join(folder, 'node_modules'))
  return folder
}

/** A load, signed and ready to be shown by a web server. */
export interface Repository {
  /** The folder to show. */
  readonly public: string
  readonly root: string
  /** Every artifact, as a path below `crates/`. */
  readonly crates: readonly string[]
  readonly bytes: number
}

/** Made once per number of artifacts; a later call only renews signatures that have grown old. */
export function signedLoad(data: string, artifacts: number): Repository {
  const folder = join(data, String(artifacts))
  const plain = join(folder, 'plain')
  const repository = join(folder, 'repository')
  mkdirSync(folder, { recursive: true })
  makeLoad(plain, { artifacts, seed: 1 })
  execFileSync(NODE, [BIN, 'upstream', repository, '--from', plain], { stdio: 'ignore' })
  const shown = join(repository, 'public')
  const crates = readdirSync(join(shown, 'crates'), { recursive: true, encoding: 'utf8' }).filter(
    name => name.endsWith('.crate'),
  )
  const bytes = crates.reduce((sum, name) => sum + statSync(join(shown, 'crates', name)).size, 0)
  return { public: shown, root: join(shown, 'tuf/1.root.json'), crates, bytes }
}

/** `init` of a mirror that follows it. */
export function initMirror(mirror: string, repository: Repository, url: string): void {
  execFileSync(NODE, [BIN, 'init', mirror, '--upstream', url, '--root', repository.root], {
    stdio: 'ignore',
  })
}
