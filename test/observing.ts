import { mkdtempDisposable, readFile, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Context, Output } from '../src/cli/context.ts'
import { initCommand } from '../src/cli/init.ts'
import { failure } from '../src/cli/report.ts'
import { statusCommand } from '../src/cli/status.ts'
import { type SyncOptions, syncCommand } from '../src/cli/sync.ts'
import { verifyCommand } from '../src/cli/verify.ts'

/** How one command ended on the simulated clock: its exit code, its JSON, and what people were told. */
export interface Told {
  readonly exit: number
  readonly json: Record<string, unknown>
  readonly said: readonly string[]
}

/** Where a stand-in for crates.io is, and the clock that it and its mirrors go by. */
export interface Observable {
  readonly index: string
  readonly feeds: string
  readonly dump: string
  readonly advisoriesFeed: string
  readonly now: Date
}

/**
 * A mirror that observes a stand-in for crates.io, driven by the commands an operator types, in
 * this process because the clock is the stand-in's own.
 */
export class Observing implements AsyncDisposable {
  readonly folder: string
  readonly mirror: string
  readonly #upstream: Observable
  readonly #remove: () => Promise<void>

  private constructor(folder: string, upstream: Observable, remove: () => Promise<void>) {
    this.folder = folder
    this.mirror = join(folder, 'mirror')
    this.#upstream = upstream
    this.#remove = remove
  }

  static async make(upstream: Observable): Promise<Observing> {
    const folder = await mkdtempDisposable(join(tmpdir(), 'crateferry-observing-'))
    const observing = new Observing(folder.path, upstream, () => folder.remove())
    const options = { observed: true, upstream: upstream.index, contact: 'test@site.example' }
    await observing.#run(context => initCommand(context, observing.mirror, options))
    await observing.configure(
      '[upstream]',
      `[upstream]\nfeeds = "${upstream.feeds}"\ndump = "${upstream.dump}"\nadvisories = "${upstream.advisoriesFeed}"`,
    )
    await observing.configure('[sync]', '[sync]\ntries = 2\nrequests-per-second = 10000')
    return observing
  }

  async configure(from: string, to: string): Promise<void> {
    const file = join(this.mirror, 'crateferry.toml')
    const text = await readFile(file, 'utf8')
    if (!text.includes(from)) throw new Error(`${from} is not in the configuration`)
    await writeFile(file, text.replace(from, to))
  }

  async sync(options: SyncOptions = {}): Promise<Told> {
    return await this.#run(context => syncCommand(context, options))
  }

  async status(): Promise<Record<string, unknown>> {
    return (await this.#run(statusCommand)).json
  }

  async verify(): Promise<Told> {
    return await this.#run(context => verifyCommand(context, [], {}))
  }

  async #run(command: (context: Context) => Promise<number>): Promise<Told> {
    const { folder, mirror } = this
    return await runHere(command, { cwd: folder, mirror, now: () => this.#upstream.now })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#remove()
  }
}

/** A command in this process, with a clock of its own. */
export async function runHere(
  command: (context: Context) => Promise<number>,
  { cwd, mirror, now }: Pick<Context, 'cwd' | 'now'> & { readonly mirror: string },
): Promise<Told> {
  const told: { json: Record<string, unknown>; said: string[] } = { json: {}, said: [] }
  class Kept extends Output {
    override result(value: object): void {
      told.json = value as Record<string, unknown>
    }
    override say(line: string): void {
      told.said.push(line)
    }
  }
  const options = { mirror, json: true }
  const { signal } = new AbortController()
  const context: Context = { env: {}, cwd, signal, now, options, out: new Kept(options, {}) }
  try {
    return { exit: await command(context), ...told }
  } catch (error) {
    const { exit, line } = failure(error, {})
    return { exit, ...told, said: [...told.said, line] }
  }
}
