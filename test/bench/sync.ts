// `npm run bench:sync`: crateferry against curl, sha256sum and sync in a row, side by side in one run.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { startNginx } from '../nginx.ts'
import { makeLoad } from './load.ts'
import { type Cost, measured } from './measured.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    artifacts: { type: 'string', default: '20000' },
    data: { type: 'string', default: join(tmpdir(), 'crateferry-bench') },
  },
})
const rounds = Number(values.rounds)
const artifacts = Number(values.artifacts)
const PORT = 18_388
const URL_OF = `http://127.0.0.1:${PORT}`
const NODE = process.execPath
const BIN = resolve('bin/crateferry.js')

const data = join(values.data, String(artifacts))
const repository = join(data, 'repository')
mkdirSync(data, { recursive: true })
console.log(`load: ${artifacts} artifacts in ${data}`)
makeLoad(join(data, 'plain'), { artifacts, seed: 1 })
execFileSync(NODE, [BIN, 'upstream', repository, '--from', join(data, 'plain')], {
  stdio: ['ignore', 'inherit', 'inherit'],
})
const shown = join(repository, 'public')
const names = readdirSync(join(shown, 'crates'), { recursive: true, encoding: 'utf8' })
const crates = names.filter(name => name.endsWith('.crate'))
const bytes = Number(
  execFileSync('sh', [
    '-c',
    `find '${shown}/crates' -type f -printf '%s\\n' | awk '{n+=$1} END {print n}'`,
  ]),
)
const scratch = mkdtempSync(join(data, 'run-'))
const list = join(scratch, 'curl.list')
const sums = join(scratch, 'sums')
writeFileSync(
  list,
  crates.map(name => `url = "${URL_OF}/crates/${name}"\noutput = "crates/${name}"\n`).join(''),
)
writeFileSync(sums, crates.map(name => `${name.slice(-70, -6)}  crates/${name}\n`).join(''))

interface Contestant {
  readonly name: string
  run(folder: string): Promise<Cost>
}

const CURL = `curl -s --parallel --parallel-max 64 --create-dirs -K '${list}'`
const contestants: readonly Contestant[] = [
  {
    name: 'crateferry sync',
    run: async folder => {
      const root = join(shown, 'tuf/1.root.json')
      execFileSync(NODE, [BIN, 'init', folder, '--upstream', URL_OF, '--root', root], {
        stdio: 'ignore',
      })
      return await measured('sh', [
        '-c',
        `${NODE} '${BIN}' sync --quiet --mirror '${folder}'; s=$?; sync -f '${folder}'; exit $s`,
      ])
    },
  },
  {
    name: 'curl + sha256sum + sync -f',
    run: async folder => {
      mkdirSync(folder)
      const check = `sha256sum --quiet -c '${sums}'`
      return await measured('sh', ['-c', `cd '${folder}' && ${CURL} && ${check} && sync -f .`])
    },
  },
]

await using nginx = await startNginx(shown, PORT)
if (nginx === undefined) process.exit(1)
const costs = new Map<string, Cost[]>(contestants.map(({ name }) => [name, []]))
for (let round = 0; round < rounds; round += 1) {
  const order = round % 2 === 0 ? contestants : contestants.toReversed()
  for (const { name, run } of order) {
    const folder = join(scratch, 'out')
    rmSync(folder, { recursive: true, force: true })
    execFileSync('sync')
    const cost = await run(folder)
    const base = name.startsWith('crateferry') ? join(folder, 'public') : folder
    execFileSync('sha256sum', ['--quiet', '-c', sums], {
      cwd: base,
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    if (cost.exit !== 0) throw new Error(`${name} ended with exit ${cost.exit}`)
    costs.get(name)?.push(cost)
    console.log(
      `round ${round + 1}: ${name}: ${cost.seconds.toFixed(2)} s, load ${loadavg()[0]?.toFixed(1)}`,
    )
  }
}
rmSync(scratch, { recursive: true, force: true })

const median = (numbers: readonly number[]): number =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN
console.log(
  `\n${crates.length} artifacts, ${(bytes / 1e9).toFixed(2)} GB, ${rounds} rounds; medians`,
)
for (const [name, all] of costs) {
  const seconds = median(all.map(cost => cost.seconds))
  const cpu = median(all.map(cost => cost.cpuSeconds))
  const peak = Math.max(...all.map(cost => cost.peakBytes))
  console.log(
    `${name.padEnd(28)} ${seconds.toFixed(2).padStart(7)} s ${(crates.length / seconds).toFixed(0).padStart(6)} artifacts/s ${(bytes / 1e6 / seconds).toFixed(0).padStart(5)} MB/s ${((cpu / crates.length) * 1e6).toFixed(0).padStart(6)} µs CPU/artifact ${(peak / 1e6).toFixed(0).padStart(5)} MB peak`,
  )
}
const [ours = [], theirs = []] = [...costs.values()]
const ratio = median(ours.map((cost, i) => (theirs[i]?.seconds ?? 0) / cost.seconds))
const isMet = ratio >= 1
console.log(
  `ratio (script / crateferry), median of pairs: ${ratio.toFixed(2)}; must 1.0: ${isMet ? 'met' : 'NOT met'}`,
)
process.exitCode = isMet ? 0 : 1
