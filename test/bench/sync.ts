// `npm run bench:sync`: crateferry against curl, sha256sum and sync in a row, side by side in one run.
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { freePort, startNginx } from '../nginx.ts'
import { CONTESTANTS, type Contestant, layCourse, type Run, race } from './contestants.ts'
import { generator } from './load.ts'
import { mountLoop } from './loop.ts'
import { isMet, line, nothingChanged } from './nothing-changed.ts'
import { signedLoad } from './repository.ts'
import { judge, table, verdictLines } from './result.ts'

/** What a sync leaves free, and the file system's own needs. */
const LOOP_SPARE_BYTES = 3_000_000_000

const HELP = `npm run bench:sync -- [options]
  --rounds N          rounds in which everyone runs once (3)
  --artifacts N       artifacts of the load (20000, which are 1.03 GB)
  --data DIR          where the load is kept between runs (a folder in the temporary one)
  --loop              write to a loop-mounted ext4 in a file; needs root
  --nothing-changed   instead: what a sync costs that finds nothing new, at 250 and at N artifacts
  --json              the result as one JSON object on stdout
Exit code 1 when a figure that has to be reached is not.`

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    artifacts: { type: 'string', default: '20000' },
    data: { type: 'string', default: join(tmpdir(), 'crateferry-bench') },
    loop: { type: 'boolean', default: false },
    'nothing-changed': { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
const data = resolve(values.data)
const artifacts = Number(values.artifacts)

if (values.help) console.log(HELP)
else process.exitCode = (await inScratch(values['nothing-changed'] ? changeless : compare)) ? 0 : 1

/** Results of either kind for machines, or lines for people. */
function told(result: object, lines: readonly string[]): void {
  console.log(values.json ? JSON.stringify(result) : lines.join('\n'))
}

/** A folder beside the load, so on the same file system, that is gone afterwards. */
async function inScratch(run: (scratch: string) => Promise<boolean>): Promise<boolean> {
  mkdirSync(data, { recursive: true })
  const scratch = mkdtempSync(join(data, 'run-'))
  try {
    return await run(scratch)
  } finally {
    rmSync(scratch, { recursive: true })
  }
}

async function changeless(scratch: string): Promise<boolean> {
  const found = [
    await nothingChanged(data, scratch, 250),
    await nothingChanged(data, scratch, artifacts),
  ].filter(one => one !== undefined)
  told({ nothingChanged: found }, found.map(line))
  return found.length > 0 && found.every(isMet)
}

async function compare(scratch: string): Promise<boolean> {
  const repository = signedLoad(data, artifacts)
  const { crates, bytes } = repository
  console.error(`load: ${crates.length} artifacts, ${(bytes / 1e9).toFixed(2)} GB, in ${data}`)
  using _loop = values.loop ? mountLoop(join(scratch, 'disk'), bytes + LOOP_SPARE_BYTES) : undefined
  await using nginx = await startNginx(repository.public, await freePort())
  if (nginx === undefined) return false
  const place = values.loop ? join(scratch, 'disk') : scratch
  const runs = await rounds(contestant => race(contestant, layCourse(repository, nginx.url, place)))
  const series = CONTESTANTS.map(({ name }) => ({ name, runs: runs.get(name) ?? [] }))
  const verdict = judge(series)
  const load = { artifacts: crates.length, bytes }
  const hasShaInstructions = readFileSync('/proc/cpuinfo', 'utf8').includes('sha_ni')
  told({ ...load, hasShaInstructions, series, verdict }, [
    `medians of ${values.rounds} rounds, CPU with${hasShaInstructions ? '' : 'out'} SHA instructions, time until durable`,
    ...table(series, load),
    ...verdictLines(verdict),
  ])
  return verdict.isRatioMet && verdict.isPeakMet
}

/** In each round everyone runs once, in an order of its own. */
async function rounds(run: (contestant: Contestant) => Promise<Run>): Promise<Map<string, Run[]>> {
  const random = generator(artifacts)
  const all = new Map<string, Run[]>(CONTESTANTS.map(({ name }) => [name, []]))
  for (let round = 1; round <= Number(values.rounds); round += 1) {
    const drawn = CONTESTANTS.map(contestant => ({ contestant, lot: random() }))
    for (const { contestant } of drawn.toSorted((a, b) => a.lot - b.lot)) {
      const { name } = contestant
      const done = await run(contestant)
      all.get(name)?.push(done)
      const load = loadavg()[0]?.toFixed(1)
      console.error(`round ${round}: ${name}: ${done.seconds.toFixed(2)} s, load average ${load}`)
    }
  }
  return all
}
