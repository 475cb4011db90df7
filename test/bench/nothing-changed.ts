import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { freePort, startNginx } from '../nginx.ts'
import { type Cost, cpuSeconds, measured, median } from './measured.ts'
import { BIN, initMirror, NODE, signedLoad } from './repository.ts'

/** What a `sync` costs that finds nothing new: medians. */
export interface NothingChanged {
  readonly artifacts: number
  readonly requestsPerRun: number
  /** What the runs asked for. */
  readonly paths: readonly string[]
  readonly wallMs: number
  readonly cpuMs: number
  /** Beyond `crateferry --version`, run beside each: start-up is nobody's work. */
  readonly beyondStartMs: number
}

const RUNS = 11

export async function nothingChanged(
  data: string,
  scratch: string,
  artifacts: number,
): Promise<NothingChanged | undefined> {
  const repository = signedLoad(data, artifacts)
  const mirror = join(scratch, `unchanged-${artifacts}`)
  const accessLog = join(scratch, `access-${artifacts}.log`)
  const port = await freePort()
  {
    await using nginx = await startNginx(repository.public, port)
    if (nginx === undefined) return undefined
    initMirror(mirror, repository, nginx.url)
    execFileSync(NODE, [BIN, 'sync', '--quiet', '--mirror', mirror], { stdio: 'ignore' })
  }
  const pairs: Pair[] = []
  {
    await using _nginx = await startNginx(repository.public, port, { accessLog })
    for (let run = 0; run < RUNS; run += 1) pairs.push(await pair(mirror))
  }
  // that nginx has ended, so its log is whole
  const paths = requested(accessLog)
  return {
    artifacts: repository.crates.length,
    requestsPerRun: paths.length / RUNS,
    paths: [...new Set(paths)],
    wallMs: median(pairs.map(({ sync }) => sync.seconds)) * 1000,
    cpuMs: median(pairs.map(({ sync }) => cpuSeconds(sync))) * 1000,
    beyondStartMs: median(pairs.map(beyondStart)) * 1000,
  }
}

/** Two neighbours, so that foreign load weighs on both. */
interface Pair {
  readonly sync: Cost
  readonly start: Cost
}

async function pair(mirror: string): Promise<Pair> {
  const env = { NODE, BIN, MIRROR: mirror }
  const sync = await measured('"$NODE" "$BIN" sync --quiet --mirror "$MIRROR"', env)
  return { sync, start: await measured('"$NODE" "$BIN" --version', env) }
}

const beyondStart = ({ sync, start }: Pair): number => cpuSeconds(sync) - cpuSeconds(start)

const requested = (log: string): string[] =>
  readFileSync(log, 'utf8')
    .trimEnd()
    .split('\n')
    .map(line => /"[A-Z]+ (\S+) /.exec(line)?.[1] ?? line)

const REQUESTS_MUST = 2
const CPU_MS_MAX = 100

export const isMet = ({ requestsPerRun, beyondStartMs }: NothingChanged): boolean =>
  requestsPerRun === REQUESTS_MUST && beyondStartMs <= CPU_MS_MAX

export function line(one: NothingChanged): string {
  const { artifacts, requestsPerRun, paths, cpuMs, beyondStartMs, wallMs } = one
  return (
    `${artifacts} artifacts, nothing changed: ${requestsPerRun} requests (${paths.join(' ')}), ` +
    `${cpuMs.toFixed(0)} ms CPU, ${beyondStartMs.toFixed(0)} beyond start-up, ${wallMs.toFixed(0)} ms wall; ` +
    `must be 2 requests and 100 ms beyond start-up: ${isMet(one) ? 'met' : 'NOT MET'}`
  )
}
