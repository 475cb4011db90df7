// `npm run bench:sweep`: what it costs to look at every index file of a registry that signs nothing,
// side by side with curl asking the same in one run.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { freePort, startNginx } from '../nginx.ts'
import { AccessLog, type Asked } from './access-log.ts'
import { type Cost, cpuSeconds, measured, median } from './measured.ts'
import { BIN, NODE } from './repository.ts'
import { LAST_MODIFIED, type SparseIndex, showAt, sparseIndex } from './sparse-index.ts'

const HELP = `npm run bench:sweep -- [options]
  --crates N    index files (250000)
  --rounds N    rounds in which crateferry and curl ask for all of them once (3)
  --data DIR    where the index is kept between runs (a folder in the temporary one)
  --json        the result as one JSON object on stdout
Exit code 1 when a figure that has to be reached is not.`

const { values } = parseArgs({
  options: {
    crates: { type: 'string', default: '250000' },
    rounds: { type: 'string', default: '3' },
    data: { type: 'string', default: join(tmpdir(), 'crateferry-bench') },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
const CONNECTIONS = 32
/** As much as the configuration allows, since nobody has to be spared here. */
const REQUESTS_PER_SECOND = 10_000
const PEAK_BYTES_MAX = 300_000_000
/** Looks are kept by the hundred, and some are on their way. */
const AGAIN_MAX = 100 + 4 * CONNECTIONS

const SYNC = '"$NODE" "$BIN" sync --quiet --mirror "$MIRROR"'
const SWEEP = `${SYNC} --sweep`
const CURL = `curl --silent --no-progress-meter --parallel --parallel-max ${CONNECTIONS} --header "If-Modified-Since: ${LAST_MODIFIED.toUTCString()}" --config "$URLS"`

if (values.help) console.log(HELP)
else process.exitCode = (await inScratch(bench)) ? 0 : 1

async function inScratch(run: (scratch: string) => Promise<boolean>): Promise<boolean> {
  const data = resolve(values.data)
  mkdirSync(data, { recursive: true })
  const scratch = mkdtempSync(join(data, 'run-'))
  try {
    return await run(scratch)
  } finally {
    rmSync(scratch, { recursive: true })
  }
}

async function bench(scratch: string): Promise<boolean> {
  const crates = Number(values.crates)
  const small = await figures(scratch, Math.ceil(crates / 10), 1)
  const whole = await figures(scratch, crates, Number(values.rounds))
  if (small === undefined || whole === undefined) return false
  const failures = missed(whole)
  const lines = [...told(small), ...told(whole), ...failures.map(what => `NOT MET: ${what}`)]
  console.log(values.json ? JSON.stringify({ small, whole, failures }) : lines.join('\n'))
  return failures.length === 0
}

interface Round {
  readonly ours: Cost
  readonly asked: Asked
  readonly curl: Cost
  /** Else it is no peer. */
  readonly curlsUnchanged: number
}

interface Figures {
  readonly crates: number
  readonly first: Cost
  readonly rounds: readonly Round[]
  /** Index files asked for by a sweep that is killed half way, and by the next run. */
  readonly killed: {
    readonly before: number
    readonly after: number
    readonly signal: string | null
  }
  readonly tick: { readonly cost: Cost; readonly asked: Asked }
}

async function figures(
  scratch: string,
  crates: number,
  rounds: number,
): Promise<Figures | undefined> {
  const index = sparseIndex(resolve(values.data), crates)
  const mirror = join(scratch, `mirror-${crates}`)
  const log = new AccessLog(join(scratch, `access-${crates}.log`))
  const port = await freePort()
  await using nginx = await startNginx(index.public, port, { accessLog: log.file })
  if (nginx === undefined) return undefined
  showAt(index, nginx.url)
  initMirror(mirror, index, nginx.url)
  const urls = join(scratch, `urls-${crates}`)
  const lines = index.paths.map(path => `url="${nginx.url}/index/${path}"\noutput="/dev/null"\n`)
  writeFileSync(urls, lines.join(''))

  say(crates, 'the first sync')
  const first = await measured(SYNC, environment(mirror))
  const pairs: Round[] = []
  for (let round = 1; round <= rounds; round += 1) {
    say(crates, `round ${round}`)
    const sweep = async (): Promise<Pick<Round, 'ours' | 'asked'>> => {
      await log.asked()
      const ours = await measured(SWEEP, environment(mirror))
      return { ours, asked: await log.asked() }
    }
    const peer = async (): Promise<Pick<Round, 'curl' | 'curlsUnchanged'>> => {
      await log.asked()
      const curl = await measured(CURL, { URLS: urls })
      return { curl, curlsUnchanged: await log.curlsUnchanged() }
    }
    // who goes first changes: foreign load comes and goes
    if (round % 2 === 0) pairs.push({ ...(await peer()), ...(await sweep()) })
    else pairs.push({ ...(await sweep()), ...(await peer()) })
  }
  say(crates, 'kill -9 half way')
  const killed = await killHalfWay(mirror, log, crates)
  await log.asked()
  const cost = await measured(SYNC, environment(mirror))
  return { crates, first, rounds: pairs, killed, tick: { cost, asked: await log.asked() } }
}

function environment(mirror: string): Record<string, string> {
  return { NODE, BIN, MIRROR: mirror }
}

function say(crates: number, what: string): void {
  console.error(`${crates} crates: ${what}, load average ${loadavg()[0]?.toFixed(1)}`)
}

function initMirror(mirror: string, index: SparseIndex, url: string): void {
  const options = ['--observed', '--upstream', `${url}/index`, '--contact', 'bench@site.example']
  execFileSync(NODE, [BIN, 'init', mirror, ...options], { stdio: 'ignore' })
  const file = join(mirror, 'crateferry.toml')
  const text = readFileSync(file, 'utf8')
    .replace(
      '[upstream]\n',
      `[upstream]\nfeeds = "${url}/rss"\nnames-file = "${index.namesFile}"\n`,
    )
    .replace(
      '[sync]\n',
      `[sync]\nconnections = ${CONNECTIONS}\nrequests-per-second = ${REQUESTS_PER_SECOND}\n`,
    )
    // it is about the index alone
    .replace('[select]\n', '[select]\ndeny = ["*"]\n')
  writeFileSync(file, text)
}

/** A sweep that loses its process when half of the index was asked for, and the run after it. */
async function killHalfWay(
  mirror: string,
  log: AccessLog,
  crates: number,
): Promise<Figures['killed']> {
  await log.asked()
  const begun = log.size
  const args = [BIN, 'sync', '--quiet', '--sweep', '--mirror', mirror]
  const child = spawn(NODE, args, { stdio: 'ignore' })
  const ended = once(child, 'exit')
  const bytesEach = 130
  while (log.size - begun < (crates / 2) * bytesEach && child.exitCode === null) await sleep(5)
  child.kill('SIGKILL')
  const [, signal] = await ended
  const before = await log.asked()
  execFileSync(NODE, [BIN, 'sync', '--quiet', '--mirror', mirror], { stdio: 'ignore' })
  const after = await log.asked()
  const asked = (one: Asked): number => one.unchanged + one.fetched
  return { before: asked(before), after: asked(after), signal }
}

function missed({ crates, rounds, killed, tick }: Figures): string[] {
  const peak = Math.max(tick.cost.peakBytes, ...rounds.map(({ ours }) => ours.peakBytes))
  const again = killed.before + killed.after - crates
  const bounds: readonly (readonly [boolean, string])[] = [
    [
      rounds.every(({ asked }) => asked.unchanged === crates && asked.fetched === 0),
      'one conditional request each',
    ],
    [
      rounds.every(({ curlsUnchanged }) => curlsUnchanged === crates),
      'curl is told the same as often',
    ],
    [peak < PEAK_BYTES_MAX, `a sweep and a tick below 300 MB: ${megabytes(peak)}`],
    [
      killed.signal === 'SIGKILL' && killed.before < crates && killed.after > 0,
      'a sweep killed half way',
    ],
    [again <= AGAIN_MAX, `at most ${AGAIN_MAX} asked again after kill -9: ${again}`],
    [
      tick.asked.others === 2 && tick.asked.othersUnchanged === 2 && tick.asked.unchanged === 0,
      'two conditional requests for a tick with nothing new',
    ],
  ]
  return bounds.flatMap(([isMet, what]) => (isMet ? [] : [what]))
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`
}

function told({ crates, first, rounds, killed, tick }: Figures): string[] {
  const ours = rounds.map(one => one.ours)
  const curl = rounds.map(one => one.curl)
  const ratios = rounds.map(one => one.curl.seconds / one.ours.seconds)
  const seconds = (costs: readonly Cost[]): string =>
    `${median(costs.map(cost => cost.seconds)).toFixed(1)} s wall, ${median(costs.map(cpuSeconds)).toFixed(1)} s CPU, peak ${megabytes(Math.max(...costs.map(cost => cost.peakBytes)))}`
  const { unchanged = 0, others = 0 } = rounds[0]?.asked ?? {}
  return [
    `${crates} index files, ${rounds.length} rounds:`,
    `  first sync      ${seconds([first])}`,
    `  sweep           ${seconds(ours)}; ${unchanged} times "unchanged", ${others} other requests`,
    `  curl            ${seconds(curl)}`,
    `  curl / sweep    ${ratios.map(one => one.toFixed(2)).join(' ')}, median ${median(ratios).toFixed(2)}`,
    `  kill -9         after ${killed.before} requests; the next run asked ${killed.after}, ${killed.before + killed.after - crates} of them again`,
    `  tick            ${tick.asked.others} requests, ${seconds([tick.cost])}`,
  ]
}
