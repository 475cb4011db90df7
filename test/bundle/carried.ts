import {
  appendFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'vitest'
import { sha256 } from '../../src/registry/checksum.ts'
import type { CrateName } from '../../src/registry/crate-name.ts'
import { indexPath } from '../../src/registry/sparse-path.ts'
import { contents, crateferryIn, type Ended, expectExit, Registry } from '../crateferry.ts'

/** Two sites that share no network: one signs and exports, the other imports what is carried. */
export class Courier implements AsyncDisposable {
  readonly registry: Registry

  private constructor(registry: Registry) {
    this.registry = registry
  }

  static async make(): Promise<Courier> {
    return new Courier(await Registry.make())
  }

  at(name: string): string {
    return this.registry.at(name)
  }

  get near(): string {
    return this.at('repository')
  }

  /** One more version on the near side, of a crate that need not be there; signed with the next `sign`. */
  add(name: string, version = '1.0.0', bytes = Buffer.from(`${name} ${version}`)): void {
    const plain = this.registry.at('plain')
    const index = join(plain, 'index', indexPath(name as CrateName))
    const folder = join(plain, 'crates', name)
    for (const one of [folder, join(index, '..')]) mkdirSync(one, { recursive: true })
    writeFileSync(join(folder, `${name}-${version}.crate`), bytes)
    const line = {
      name,
      vers: version,
      deps: [],
      cksum: sha256(bytes),
      features: {},
      yanked: false,
    }
    appendFileSync(index, `${JSON.stringify(line)}\n`)
  }

  /** A mirror that only bundles fill. */
  async far(name = 'far'): Promise<string> {
    const folder = this.at(name)
    await expectExit(0, 'init', folder, '--root', this.registry.root)
    return folder
  }

  /** Exports into a new folder, which it returns. */
  async export(name: string, ...options: string[]): Promise<string> {
    const folder = this.at(name)
    await mkdir(folder)
    await expectExit(0, 'bundle', 'export', '--to', folder, '--mirror', this.near, ...options)
    return folder
  }

  async import(
    exit: number,
    far: string,
    media: readonly string[],
    ...options: string[]
  ): Promise<Ended> {
    return await expectExit(
      exit,
      'bundle',
      'import',
      ...media,
      '--mirror',
      far,
      '--json',
      ...options,
    )
  }

  /** The program with a clock that is so many days ahead. */
  async inDays(days: number, ...args: string[]): Promise<Ended> {
    const hook = this.at('clock.mjs')
    const ahead = `Date.now() + ${days} * 86400000`
    writeFileSync(
      hook,
      `const real = globalThis.Date
globalThis.Date = class extends real {
  constructor(...given) { given.length === 0 ? super(${ahead.replace('Date', 'real')}) : super(...given) }
  static now() { return ${ahead.replace('Date', 'real')} }
}
`,
    )
    return await crateferryIn({ NODE_OPTIONS: `--import ${hook}` }, ...args)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.registry[Symbol.asyncDispose]()
  }
}

/** The one bag on a medium. */
export function bagOn(medium: string): string {
  const [name, second] = readdirSync(medium).filter(one => one.startsWith('cf-'))
  expect(second).toBeUndefined()
  return join(medium, name ?? '')
}

export function copyOf(medium: string, to: string): string {
  cpSync(medium, to, { recursive: true })
  return to
}

export function edit(file: string, change: (bytes: Buffer) => Buffer): void {
  writeFileSync(file, change(readFileSync(file)))
}

/** What stands under names that change: the state that others see, but for this mirror's own config.json. */
export async function shown(mirror: string): Promise<Record<string, string>> {
  const files = Object.entries(await contents(join(mirror, 'public')))
  const lasting = /[0-9a-f]{64}\.|^index\/config\.json$|\.(?:snapshot|targets)\.json$/
  return Object.fromEntries(files.filter(([file]) => !lasting.test(file)))
}
