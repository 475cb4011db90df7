// `npm run bench:serve`: crateferry's server and nginx over the same files, side by side in one run.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { freePort, startNginx } from '../nginx.ts'
import { generator } from './load.ts'
import { median } from './measured.ts'
import { BIN, NODE, type Repository, signedLoad } from './repository.ts'
import { type Served, wrk } from './wrk.ts'

const HELP = `npm run bench:serve -- [options]
  --rounds N          rounds in which each is asked once for each kind (5)
  --seconds N         how long each time (4)
  --artifacts N       artifacts of the load (5000, which are 260 MB)
  --data DIR          where the load is kept between runs (a folder in the temporary one)
  --json              the result as one JSON object on stdout
It needs nginx and wrk.`

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '4' },
    artifacts: { type: 'string', default: '5000' },
    data: { type: 'string', default: join(tmpdir(), 'crateferry-bench') },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
const data = resolve(values.data)

/** Who is asked, and what of: its CPU time is counted with its children's. */
interface Server {
  readonly name: string
  readonly url: string
  readonly pid: number
}

interface Kind {
  readonly name: string
  readonly paths: readonly string[]
  readonly headers: Readonly<Record<string, string>>
  readonly status: number
}

interface Measured extends Served {
  readonly microsecondsOfCpu: number
}

if (values.help) console.log(HELP)
else await main()

async function main(): Promise<void> {
  mkdirSync(data, { recursive: true })
  const scratch = mkdtempSync(join(data, 'run-'))
  try {
    const repository = signedLoad(data, Number(values.artifacts))
    await using nginx = await startNginx(repository.public, await freePort())
    if (nginx === undefined) return
    await using ours = await startOurs(repository)
    const servers = [
      { name: 'crateferry serve', url: ours.url, pid: ours.pid },
      { name: 'nginx, 2 workers', url: nginx.url, pid: nginx.pid },
    ]
    await raced(servers, kindsOf(repository), { scratch, peak: () => peakBytes(ours.pid) })
  } finally {
    rmSync(scratch, { recursive: true })
  }
}

async function raced(
  servers: readonly Server[],
  kinds: readonly Kind[],
  { scratch, peak }: { readonly scratch: string; readonly peak: () => number },
): Promise<void> {
  const random = generator(1)
  const runs = new Map<string, Measured[]>()
  const seconds = Number(values.seconds)
  for (let round = 0; round <= Number(values.rounds); round += 1) {
    for (const kind of kinds) {
      const drawn = servers.map(server => ({ server, lot: random() }))
      for (const { server } of drawn.toSorted((a, b) => a.lot - b.lot)) {
        const before = cpuSeconds(server.pid)
        // the first round fills caches of both and is not counted
        const served = await wrk(server.url, { ...kind, scratch, seconds })
        const cpu = cpuSeconds(server.pid) - before
        if (round === 0) continue
        const microsecondsOfCpu = (cpu * 1e6) / (served.perSecond * seconds)
        const key = `${kind.name} ${server.name}`
        runs.getOrInsertComputed(key, () => []).push({ ...served, microsecondsOfCpu })
      }
    }
    console.error(`round ${round}: load average ${loadavg()[0]?.toFixed(1)}`)
  }
  told(servers, kinds, runs, peak())
}

function told(
  servers: readonly Server[],
  kinds: readonly Kind[],
  runs: ReadonlyMap<string, readonly Measured[]>,
  peak: number,
): void {
  if (values.json) {
    console.log(JSON.stringify({ peakBytes: peak, runs: Object.fromEntries(runs) }))
    return
  }
  console.log(
    `medians of ${values.rounds} rounds of ${values.seconds} s, 32 connections on loopback`,
  )
  console.log(
    '| | | requests/s | p50 ms | p99 ms | MB/s | µs CPU a request |\n|---|---|---|---|---|---|---|',
  )
  for (const kind of kinds) {
    const [ours, theirs] = servers.map(({ name }) => runs.get(`${kind.name} ${name}`) ?? [])
    for (const { name } of servers) {
      const of = (value: (run: Measured) => number, digits = 0): string =>
        median((runs.get(`${kind.name} ${name}`) ?? []).map(value)).toFixed(digits)
      const cells = [
        of(run => run.perSecond),
        of(run => run.p50Ms, 2),
        of(run => run.p99Ms, 2),
        of(run => run.bytesPerSecond / 1e6),
        of(run => run.microsecondsOfCpu),
      ]
      console.log(`| ${kind.name} | ${name} | ${cells.join(' | ')} |`)
    }
    const pairs = (ours ?? []).map((run, at) => run.perSecond / (theirs?.[at]?.perSecond ?? 0))
    const each = pairs.map(one => one.toFixed(2)).join(' ')
    console.log(
      `${kind.name}: crateferry / nginx, pair by pair: ${each}; median ${median(pairs).toFixed(2)}`,
    )
  }
  console.log(`crateferry's peak memory: ${(peak / 1e6).toFixed(0)} MB`)
}

/** What cargo asks for: index files anew and whether they changed, and artifacts. */
function kindsOf({ public: shown, crates }: Repository): readonly Kind[] {
  const index = readdirSync(join(shown, 'index'), { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile() && !/^[0-9a-f]{64}\./.test(entry.name))
    .map(entry => join(entry.parentPath, entry.name).slice(shown.length))
    .filter(path => path !== '/index/config.json')
  const artifacts = crates.map(name => `/crates/${name.replaceAll('+', '%2B')}`)
  const unchanged = { 'If-None-Match': '*' }
  return [
    { name: 'index file', paths: index, headers: {}, status: 200 },
    { name: 'index file, unchanged', paths: index, headers: unchanged, status: 304 },
    { name: 'artifact', paths: artifacts, headers: {}, status: 200 },
  ]
}

async function startOurs({
  public: shown,
}: Repository): Promise<AsyncDisposable & Pick<Server, 'url' | 'pid'>> {
  const args = [BIN, 'serve', '--json', '--mirror', dirname(shown), '--listen', '127.0.0.1:0']
  const child = spawn(NODE, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const [line] = (await once(child.stdout, 'data')) as [Buffer]
  const { url } = JSON.parse(line.toString()) as { url: string }
  return { url, pid: child.pid ?? 0, [Symbol.asyncDispose]: () => ended(child) }
}

async function ended(child: ChildProcess): Promise<void> {
  child.kill()
  await once(child, 'exit')
}

/** User and system time of a process and those below it, by the kernel's ticks of 10 ms. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  const own = (Number(fields[11]) + Number(fields[12])) / 100
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .split(' ')
    .filter(Boolean)
  return children.reduce((sum, child) => sum + cpuSeconds(Number(child)), own)
}

function peakBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024
}
