import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'vitest'
import { type Ended, expectExit, Registry } from '../crateferry.ts'

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
