// `npm run bench:bundle`: a bundle written and imported, against GNU tar and sha256sum, in one run.
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { loadavg, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { generator } from './load.ts'
import { mountLoop } from './loop.ts'
import { type Cost, cpuSeconds, measured, median } from './measured.ts'
import { BIN, NODE, type Repository, signedLoad } from './repository.ts'

const HELP = `npm run bench:bundle -- [options]
  --rounds N     rounds in which everyone runs once (3)
  --artifacts N  artifacts of the load (20000, which are 1.03 GB)
  --data DIR     where the load is kept between runs (a folder in the temporary one)
  --loop         write to a loop-mounted ext4 in a file; needs root
  --json         the result as one JSON object on stdout
Exit code 1 when a bound is missed.`

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    artifacts: { type: 'string', default: '20000' },
    data: { type: 'string', default: join(tmpdir(), 'crateferry-bench') },
    loop: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

/** Ours by theirs may be at most this. */
const BOUNDS = { export: 1.4, import: 2 } as const
const LOOP_SPARE_BYTES = 2_000_000_000

/** Each writes what it says to `$PLACE`, and is done when that is durable. */
const SCRIPTS = {
  'tar, sha256sum': `cd "$CRATES" && tar --no-recursion --verbatim-files-from -T "$LIST" -b 8192 -cf "$PLACE/all.tar" && tr '\\n' '\\0' <"$LIST" | xargs -0 sha256sum >"$PLACE/sums" && sync -f "$PLACE"`,
  'bundle export': `"$NODE" "$BIN" --quiet bundle export --to "$PLACE" --mirror "$MIRROR"`,
  'tar x, sha256sum -c': `cd "$PLACE" && tar -xf "$FROM/all.tar" && sha256sum --quiet -c "$FROM/sums" && sync -f "$PLACE"`,
  'bundle import': `"$NODE" "$BIN" --quiet bundle import "$FROM" --mirror "$PLACE/far"`,
} as const
type Name = keyof typeof SCRIPTS

if (values.help) console.log(HELP)
else process.exitCode = (await compare()) ? 0 : 1

async function compare(): Promise<boolean> {
  const data = resolve(values.data)
  const repository = signedLoad(data, Number(values.artifacts))
  const { crates, bytes } = repository
  console.error(`load: ${crates.length} artifacts, ${(bytes / 1e9).toFixed(2)} GB, in ${data}`)
  const scratch = mkdtempSync(join(data, 'run-'))
  try {
    using _loop = values.loop
      ? mountLoop(join(scratch, 'disk'), 5 * bytes + LOOP_SPARE_BYTES)
      : undefined
    const place = values.loop ? join(scratch, 'disk') : scratch
    const costs = await rounds(repository, place)
    return told(costs)
  } finally {
    rmSync(scratch, { recursive: true })
  }
}

async function rounds(repository: Repository, place: string): Promise<Map<Name, Cost[]>> {
  const random = generator(1)
  const costs = new Map<Name, Cost[]>()
  const list = join(place, 'list')
  writeFileSync(list, repository.crates.map(name => `${name}\n`).join(''))
  for (let round = 1; round <= Number(values.rounds); round += 1) {
    const folders = ['theirs', 'ours', 'theirs-far', 'ours-far'].map(name => join(place, name))
    for (const folder of folders) mkdirSync(folder)
    const [theirs = '', ours = '', theirsFar = '', oursFar = ''] = folders
    execFileSync(NODE, [BIN, 'init', join(oursFar, 'far'), '--root', repository.root])
    const turns: [Name, string, string][] = [
      ['tar, sha256sum', theirs, ''],
      ['bundle export', ours, ''],
      ['tar x, sha256sum -c', theirsFar, theirs],
      ['bundle import', oursFar, ours],
    ]
    const isTurned = random() < 0.5
    const order = isTurned ? [1, 0, 3, 2] : [0, 1, 2, 3]
    for (const turn of order) {
      const [name, to, from] = turns[turn] ?? ['bundle export', '', '']
      execFileSync('sync')
      const cost = await measured(SCRIPTS[name], {
        NODE,
        BIN,
        CRATES: join(repository.public, 'crates'),
        MIRROR: join(repository.public, '..'),
        LIST: list,
        PLACE: to,
        FROM: from,
      })
      costs.getOrInsertComputed(name, () => []).push(cost)
      console.error(
        `round ${round}: ${name}: ${cost.seconds.toFixed(2)} s, load average ${loadavg()[0]?.toFixed(1)}`,
      )
    }
    requireRight(repository, join(oursFar, 'far'))
    for (const folder of folders) rmSync(folder, { recursive: true })
    rmSync(join(repository.public, '..', 'state/exports'), { recursive: true })
  }
  return costs
}

/** What came is what was there, by names that are hashes, and a few of them read. */
function requireRight({ crates }: Repository, far: string): void {
  const came = readdirSync(join(far, 'public/crates'), { recursive: true, encoding: 'utf8' })
  if (came.filter(name => name.endsWith('.crate')).length !== crates.length) {
    throw new Error('the import did not bring everything')
  }
  execFileSync(NODE, [BIN, '--quiet', 'verify', '--index', '--mirror', far])
}

function told(costs: ReadonlyMap<Name, readonly Cost[]>): boolean {
  const ratios = (ours: Name, theirs: Name): number[] =>
    (costs.get(ours) ?? []).map(
      ({ seconds }, n) => seconds / (costs.get(theirs)?.[n]?.seconds ?? Number.NaN),
    )
  const exported = ratios('bundle export', 'tar, sha256sum')
  const imported = ratios('bundle import', 'tar x, sha256sum -c')
  const isMet = median(exported) <= BOUNDS.export && median(imported) <= BOUNDS.import
  const hasSha = readFileSync('/proc/cpuinfo', 'utf8').includes('sha_ni')
  const rows = [...costs].map(([name, all]) => {
    const of = (value: (cost: Cost) => number): number => median(all.map(value))
    return `| ${name} | ${of(cost => cost.seconds).toFixed(2)} | ${of(cpuSeconds).toFixed(2)} | ${(of(cost => cost.peakBytes) / 1e6).toFixed(0)} |`
  })
  const pairs = (all: readonly number[]): string => all.map(one => one.toFixed(2)).join(' ')
  console.log(
    values.json
      ? JSON.stringify({ costs: Object.fromEntries(costs), exported, imported, isMet })
      : [
          `medians of ${values.rounds} rounds, CPU with${hasSha ? '' : 'out'} SHA instructions, time until durable`,
          '| | wall s | CPU s | peak MB |',
          '|---|---|---|---|',
          ...rows,
          `export / tar and sha256sum: ${pairs(exported)}; median ${median(exported).toFixed(2)}, at most ${BOUNDS.export}`,
          `import / tar and sha256sum: ${pairs(imported)}; median ${median(imported).toFixed(2)}, at most ${BOUNDS.import}`,
          isMet ? 'both bounds are met' : 'a bound is MISSED',
        ].join('\n'),
  )
  return isMet
}
