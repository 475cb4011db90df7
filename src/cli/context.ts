import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import packageJson from '#package.json' with { type: 'json' }
import { type Config, parseConfig } from '../config.ts'
import { MirrorError } from '../error.ts'
import { CONFIGURATION } from '../store/layout.ts'
import { type Mirror, openMirror } from '../store/mirror.ts'
import type { Progress } from '../sync/run.ts'
import type { Traffic } from '../upstream/traffic.ts'

export const VERSION: string = packageJson.version

/** Options that every command takes. */
export interface GlobalOptions {
  readonly mirror?: string
  readonly json?: boolean
  readonly quiet?: boolean
  readonly color?: boolean
}

/** What a command is given of the outside: nothing else in the program reads clock or environment. */
export interface Context {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  readonly signal: AbortSignal
  readonly now: () => Date
  readonly options: GlobalOptions
  readonly out: Output
  /** Of a run in a process that lives longer than it; a command of its own has none. */
  readonly daemon?: Sharing
}

/** What the daemon shares with its runs. */
interface Sharing {
  /** What it goes by: a file that was broken meanwhile changes nothing. */
  readonly config: Config
  readonly traffic: Traffic
  /** Told when a run begins; it moves its progress on. */
  readonly onRun: (command: string, progress: Progress) => void
}

/** Where lines go that are not a command's own to write. */
export type Sink = (line: string) => void

/** Results go to stdout, everything for people to stderr; or all of it to a sink. */
export class Output {
  readonly #sink: Sink | undefined
  readonly isJson: boolean
  readonly isQuiet: boolean
  readonly isTerminal: boolean
  readonly #isColored: boolean

  constructor(options: GlobalOptions, env: Context['env'], sink?: Sink) {
    this.#sink = sink
    this.isJson = options.json === true
    this.isQuiet = options.quiet === true
    this.isTerminal = process.stderr.isTTY === true && !this.isQuiet && sink === undefined
    const noColor = options.color === false || (env['NO_COLOR'] ?? '') !== ''
    this.#isColored = process.stdout.isTTY === true && !noColor
  }

  /** The result: one JSON object for machines, or lines for people. */
  result(value: object, lines: readonly string[]): void {
    if (this.#sink !== undefined) for (const line of lines) this.#sink(line)
    else if (this.isJson) process.stdout.write(`${JSON.stringify(value)}\n`)
    else if (lines.length > 0) process.stdout.write(`${lines.join('\n')}\n`)
  }

  /** One of many results: a JSON line, or a line. */
  item(value: object, line: string): void {
    if (this.#sink !== undefined) this.#sink(line)
    else process.stdout.write(this.isJson ? `${JSON.stringify(value)}\n` : `${line}\n`)
  }

  /** For people only: what happens, warnings. */
  say(line: string): void {
    if (this.isQuiet) return
    if (this.#sink !== undefined) this.#sink(line)
    else process.stderr.write(`${line}\n`)
  }

  /** The one line that is told even under `--quiet`. */
  fail(line: string): void {
    if (this.#sink !== undefined) this.#sink(line)
    else process.stderr.write(`${line}\n`)
  }

  bold(text: string): string {
    return this.#isColored ? `\u001b[1m${text}\u001b[22m` : text
  }
}

/** Which mirror: `--mirror`, CRATEFERRY_MIRROR, or the current folder. */
export function mirrorFolder({ options, env, cwd }: Context): string {
  return resolve(cwd, options.mirror ?? env['CRATEFERRY_MIRROR'] ?? '.')
}

/** A mirror and its configuration, which must not be weaker than what `init` wrote in the marker. */
export async function openConfigured(context: Context): Promise<Configured> {
  const { daemon } = context
  return await openConfiguredAt(mirrorFolder(context), daemon?.config)
}

export interface Configured {
  readonly mirror: Mirror
  readonly config: Config
}

/** The same at a place that is known; `given`: a configuration that was read before. */
export async function openConfiguredAt(folder: string, given?: Config): Promise<Configured> {
  const mirror = await openMirror(folder)
  const config = given ?? readConfig(mirror.root)
  const { trust } = mirror.marker
  if (trust !== config.upstream.trust) {
    const made = trust === 'tuf' ? 'with a pinned root' : 'to observe, without a pinned root'
    throw new MirrorError(
      'usage',
      `${join(mirror.root, CONFIGURATION)}: upstream.trust is "${config.upstream.trust}", but this mirror was made ${made}`,
    )
  }
  return { mirror, config }
}

function readConfig(root: string): Config {
  const file = join(root, CONFIGURATION)
  let bytes: Uint8Array
  try {
    bytes = readFileSync(file)
  } catch (error) {
    throw new MirrorError('usage', `cannot read ${file}`, { cause: error })
  }
  return parseConfig(bytes, file)
}
