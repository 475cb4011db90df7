// The client protocol of the public TUF conformance suite (README.md) over our own client workflow and
// HTTP client. Exits with 0 or 1 and nothing else.
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { Command } from 'commander'
import { MirrorError } from '../../src/error.ts'
import type { ChainIo, KeptChain } from '../../src/trust/chain-io.ts'
import { Cycle } from '../../src/trust/cycle.ts'
import { ONLINE } from '../../src/trust/freshness.ts'
import { requireHashes } from '../../src/trust/hashes.ts'
import { percentEncoded } from '../../src/trust/role-file.ts'
import { nameOfTarget, type TargetFile } from '../../src/trust/targets.ts'
import { NotThere } from '../../src/upstream/faults.ts'
import { HttpClient } from '../../src/upstream/http.ts'
import { parseBase } from '../../src/upstream/url-policy.ts'

interface Options {
  readonly metadataDir: string
  readonly metadataUrl?: string
  readonly targetName: readonly string[]
  readonly targetDir?: string
  readonly targetBaseUrl?: string
}

const http = new HttpClient({ userAgent: 'crateferry-conformance', tries: 1 })
const { signal } = new AbortController()

async function ask(base: string, file: string, bytesMax: number): Promise<Uint8Array | undefined> {
  const { origin, path } = parseBase(base)
  try {
    return await http.get(
      { origin, path: `${path}${file}` },
      { kind: 'metadata', bytesMax, signal },
    )
  } catch (error) {
    if (error instanceof NotThere) return undefined
    throw error
  }
}

/** Of what is kept the suite reads each `*.json` beside the roots as a role: our book lies deeper. */
class Kept {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  place(file: string): string {
    const name = file === 'book.json' ? 'root_history/book' : file.replace(/^delegated\/\d+\./, '')
    return join(this.#folder, name)
  }

  read(file: string): Uint8Array | undefined {
    const place = this.place(file)
    return existsSync(place) ? readFileSync(place) : undefined
  }

  chain(): KeptChain {
    const history = join(this.#folder, 'root_history')
    mkdirSync(history, { recursive: true })
    const roots = readdirSync(history).filter(name => name.endsWith('.root.json'))
    const part = (name: string): Partial<KeptChain> => {
      const bytes = this.read(`${name}.json`)
      return bytes === undefined ? {} : { [name]: bytes }
    }
    return {
      root: readFileSync(this.place('root.json')),
      roots: roots.map(name => readFileSync(join(history, name))),
      ...part('timestamp'),
      ...part('snapshot'),
      ...part('targets'),
      ...part('book'),
      delegated: file => this.read(`delegated/${file}`),
    }
  }
}

async function refreshed({ metadataDir, metadataUrl = '' }: Options): Promise<Cycle> {
  const kept = new Kept(metadataDir)
  const io: ChainIo = {
    fetch: (file, bytesMax) => ask(metadataUrl, file, bytesMax),
    keep: async (file, bytes) => writeFileSync(kept.place(file), bytes),
    drop: async files => {
      for (const file of files) rmSync(kept.place(file), { force: true })
    },
    accuse: async () => {},
  }
  const how = { now: new Date(), acceptClock: true, freshness: ONLINE }
  const cycle = new Cycle(kept.chain(), io, how)
  await cycle.refresh()
  return cycle
}

async function download(options: Options): Promise<void> {
  const cycle = await refreshed(options)
  for (const path of options.targetName) {
    const found = await cycle.find(path)
    if (found === undefined) throw new MirrorError('refused', `no role lists ${path}`)
    await fetchTarget(path, found.target, cycle.trusted.root.consistentSnapshot, options)
  }
}

async function fetchTarget(
  path: string,
  target: TargetFile,
  isConsistent: boolean,
  { targetDir = '', targetBaseUrl = '' }: Options,
): Promise<void> {
  const file = join(targetDir, percentEncoded(path))
  const isRight = (bytes: Uint8Array): boolean => {
    if (bytes.length !== target.length) return false
    requireHashes(bytes, target.hashes, path)
    return true
  }
  if (existsSync(file) && isHad(() => isRight(readFileSync(file)))) return
  const name = nameOfTarget(path, target, isConsistent)
  const url = name.split('/').map(percentEncoded).join('/')
  const bytes = await ask(targetBaseUrl, url, target.length)
  if (bytes === undefined || !isRight(bytes))
    throw new MirrorError('incomplete', `${path}: other bytes`)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, bytes)
}

function isHad(check: () => boolean): boolean {
  try {
    return check()
  } catch {
    return false
  }
}

const program = new Command()
  .exitOverride()
  .requiredOption('--metadata-dir <folder>')
  .option('--metadata-url <url>')
  .option('--target-name <path>', '', (one: string, all: string[]) => [...all, one], [] as string[])
  .option('--target-dir <folder>')
  .option('--target-base-url <url>')
program.command('init <root>').action((root: string) => {
  copyFileSync(root, join(program.opts<Options>().metadataDir, 'root.json'))
})
program.command('refresh').action(async () => {
  await refreshed(program.opts<Options>())
})
program.command('download').action(() => download(program.opts<Options>()))

try {
  await program.parseAsync()
} catch (error) {
  console.error(error instanceof MirrorError ? `${error.code}: ${error.message}` : error)
  process.exitCode = 1
} finally {
  await http.close()
}
