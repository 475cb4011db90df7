import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync } from 'node:fs'
import { mkdtempDisposable, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { expect } from 'vitest'
import { sha256 } from '../src/registry/checksum.ts'

/** How a command of the real program ended. */
export interface Ended {
  readonly exit: number | null
  readonly stdout: string
  readonly stderr: string
  /** What `--json` printed. */
  readonly json: () => Record<string, unknown>
}

/** Runs `crateferry …` as an operator would, in a process of its own. */
export async function crateferry(...args: string[]): Promise<Ended> {
  return await crateferryIn({}, ...args)
}

/** The same with variables of its own in its environment. */
export async function crateferryIn(
  env: Readonly<Record<string, string>>,
  ...args: string[]
): Promise<Ended> {
  const child = spawn(process.execPath, ['bin/crateferry.js', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NODE_OPTIONS: '', CRATEFERRY_MIRROR: '', ...env },
  })
  const output = Promise.all([text(child.stdout), text(child.stderr)])
  const [exit] = await once(child, 'exit')
  const [stdout, stderr] = await output
  const json = (): Record<string, unknown> => JSON.parse(stdout) as Record<string, unknown>
  return { exit, stdout, stderr, json }
}

/** The same, which must end with this code; else its output is the failure's message. */
export async function expectExit(exit: number, ...args: string[]): Promise<Ended> {
  const ended = await crateferry(...args)
  expect(ended.exit, `${args.join(' ')}\n${ended.stdout}\n${ended.stderr}`).toBe(exit)
  return ended
}

/** A scratch folder with a plain registry (a copy of fixtures/crates) that can be signed again and again. */
export class Registry implements AsyncDisposable {
  readonly folder: string
  readonly #remove: () => Promise<void>

  private constructor(folder: string, remove: () => Promise<void>) {
    this.folder = folder
    this.#remove = remove
  }

  static async make(): Promise<Registry> {
    const folder = await mkdtempDisposable(join(tmpdir(), 'crateferry-journey-'))
    cpSync(resolve('fixtures/crates'), join(folder.path, 'plain'), { recursive: true })
    const registry = new Registry(folder.path, () => folder.remove())
    await registry.sign()
    return registry
  }

  /** The same once more, with its keys and mirrors; an init that was done is not done again. */
  static async copyOf({ folder: from }: Registry): Promise<Registry> {
    const folder = await mkdtempDisposable(join(tmpdir(), 'crateferry-journey-'))
    cpSync(from, folder.path, { recursive: true })
    return new Registry(folder.path, () => folder.remove())
  }

  at(name: string): string {
    return join(this.folder, name)
  }

  get public(): string {
    return this.at('repository/public')
  }

  get root(): string {
    return this.at('repository/public/tuf/1.root.json')
  }

  async sign(exit = 0): Promise<Ended> {
    return await expectExit(exit, 'upstream', this.at('repository'), '--from', this.at('plain'))
  }

  /** `init` of a mirror in this folder. */
  async mirror(name: string, upstream: string): Promise<string> {
    const folder = this.at(name)
    await expectExit(0, 'init', folder, '--upstream', upstream, '--root', this.root)
    return folder
  }

  async edit(path: string, change: (lines: string[]) => string[]): Promise<void> {
    const file = this.at(`plain/index/${path}`)
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n')
    await writeFile(file, `${change(lines).join('\n')}\n`)
  }

  /** A crate that is gone from the index. */
  async remove(path: string): Promise<void> {
    await rm(this.at(`plain/index/${path}`))
  }

  /** Publishes a version whose artifact is a few bytes that only hash right. */
  async publish(path: string, name: string, version: string): Promise<string> {
    const bytes = Buffer.from(`${name} ${version}, not a real tar`)
    const cksum = sha256(bytes)
    const fields = { name, vers: version, deps: [], cksum, features: {}, yanked: false }
    await writeFile(this.at(`plain/crates/${name}/${name}-${version}.crate`), bytes)
    await this.edit(path, lines => [...lines, JSON.stringify(fields)])
    return cksum
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#remove()
  }
}

/** Every file below a folder with its checksum; links are files like any other. */
export async function contents(folder: string): Promise<Record<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  const found: [string, string][] = []
  for (const entry of entries.filter(one => !one.isDirectory())) {
    const file = join(entry.parentPath, entry.name)
    found.push([file.slice(folder.length + 1), sha256(await readFile(file))])
  }
  return Object.fromEntries(found.sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** The checksum that the index file of a folder names for one version. */
export async function checksumOf(index: string, path: string, version: string): Promise<string> {
  const lines = (await readFile(join(index, path), 'utf8')).trimEnd().split('\n')
  const line = lines.map(one => JSON.parse(one)).find(({ vers }) => vers === version)
  return (line as { cksum: string }).cksum
}

export const artifactAt = (path: string, checksum: string): string =>
  `crates/${dirname(path)}/${checksum}.crate`
