import { readFileSync, writeFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'vitest'
import { expectExit } from './crateferry.ts'

const ROOT_KEYS = ['alice', 'bob', 'carol']
const ONLINE = ['targets', 'snapshot', 'timestamp'] as const

/** The keys and the root of a site, made as an operator makes them: 2 of 3, and one key a role. */
export class Site {
  readonly #folder: string

  private constructor(folder: string) {
    this.#folder = folder
  }

  static async make(folder: string): Promise<Site> {
    const site = new Site(folder)
    await mkdir(folder)
    for (const name of [...ROOT_KEYS, ...ONLINE]) {
      await expectExit(0, 'key', 'new', site.key(name), '--insecure-plaintext')
    }
    await expectExit(0, 'root', 'new', site.root, ...site.rootOptions())
    return site
  }

  get root(): string {
    return join(this.#folder, '1.root.json')
  }

  key(name: string): string {
    return join(this.#folder, `${name}.key`)
  }

  rootOptions(threshold = '2'): string[] {
    const people = ROOT_KEYS.flatMap(name => ['--key', this.key(name)])
    const online = ONLINE.flatMap(role => [`--${role}`, this.key(role)])
    return [...people, '--threshold', threshold, ...online]
  }

  /** Writes `[sign]` into a mirror's configuration; a URI given takes the place of a role's file. */
  configure(mirror: string, instead: Partial<Record<(typeof ONLINE)[number], string>> = {}): void {
    const file = join(mirror, 'crateferry.toml')
    const lines = ONLINE.map(role => `${role} = "${instead[role] ?? `file:${this.key(role)}`}"`)
    const text = readFileSync(file, 'utf8')
    const section = /\[sign\]\n[^[]*/
    expect(text).toMatch(section)
    writeFileSync(file, text.replace(section, `[sign]\n${lines.join('\n')}\n\n`))
  }
}
