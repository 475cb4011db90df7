// `npm run bench:trust`: what it costs to know what is signed, by four ways to sign the same index files: the
// index tree, one flat targets role, 2,048 and 16,384 bins (TAP 15). Bytes, requests, sequential round
// trips and CPU of a client of one crate, of 1,000, and of a full mirror; measured at 250,000 crates,
// computed at 25 million. docs/scaling.md has the tables.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import type { IndexPath } from '../../src/registry/sparse-path.ts'
import { generator } from './load.ts'
import { binModel, flatModel, linesOf, treeModel, type Units } from './trust/model.ts'
import { readWhole } from './trust/read-whole.ts'
import {
  BinScheme,
  type Cost,
  change,
  FlatScheme,
  type Kept,
  madeEntries,
  type Scheme,
  TreeScheme,
} from './trust/schemes.ts'

const { values } = parseArgs({ options: { crates: { type: 'string', default: '250000' } } })
const CRATES = Number(values.crates)
/** Distinct crates that change, in a registry of 250,000 (docs/scaling.md); they grow with it. */
const CHANGES = { '5 minutes': 7.4, day: 1186, week: 9675 }
const changesAt = (crates: number, per: keyof typeof CHANGES): number =>
  Math.max(1, Math.round((CHANGES[per] * crates) / 250_000))

const CASES = [
  'one crate, first visit',
  'one crate, next day',
  '1,000 crates, first visit',
  '1,000 crates, next day',
  'full mirror, 5 minutes later',
  'full mirror, a day later',
  'full mirror, a week later',
] as const
type Case = (typeof CASES)[number]

async function measured(scheme: Scheme): Promise<ReadonlyMap<Case, Cost>> {
  const entries = madeEntries(CRATES)
  const paths = [...entries.keys()]
  const random = generator(7)
  const some = Array.from(
    { length: 1000 },
    (_, n) => paths[Math.floor((n * paths.length) / 1000)] as IndexPath,
  )
  const one = some.slice(500, 501)
  const costs = new Map<Case, Cost>()
  await scheme.publish(entries, [])
  const visit = (name: Case, paths: readonly IndexPath[], kept: Kept): Kept => {
    const visited = scheme.crates(paths, kept)
    costs.set(name, visited.cost)
    return visited.kept
  }
  const keptOfOne = visit('one crate, first visit', one, new Set())
  const keptOfSome = visit('1,000 crates, first visit', some, new Set())
  const pass = async (per: keyof typeof CHANGES): Promise<void> =>
    scheme.publish(entries, change(entries, paths, changesAt(CRATES, per), random))
  await pass('5 minutes')
  costs.set('full mirror, 5 minutes later', await scheme.mirror(1))
  await pass('day')
  visit('one crate, next day', one, keptOfOne)
  visit('1,000 crates, next day', some, keptOfSome)
  costs.set('full mirror, a day later', await scheme.mirror(1))
  await pass('week')
  costs.set('full mirror, a week later', await scheme.mirror(1))
  return costs
}

const KB = (bytes: number): string =>
  bytes < 1e4
    ? `${(bytes / 1e3).toFixed(1)} KB`
    : bytes < 1e6
      ? `${Math.round(bytes / 1e3)} KB`
      : bytes < 1e9
        ? `${(bytes / 1e6).toFixed(1)} MB`
        : `${(bytes / 1e9).toFixed(2)} GB`

type Told = Omit<Cost, 'cpuMs'> & { readonly cpuMs?: number }
const told = ({ gzipBytes, requests, roundTrips, cpuMs }: Told): string =>
  `${KB(gzipBytes)}, ${requests} req, ${roundTrips} rt${cpuMs === undefined ? '' : `, ${cpuMs < 10 ? cpuMs.toFixed(1) : Math.round(cpuMs)} ms`}`

function table(names: readonly string[], rows: ReadonlyMap<Case, readonly Told[]>): void {
  console.log(`\n| | ${names.join(' | ')} |\n|${'---|'.repeat(names.length + 1)}`)
  for (const [name, costs] of rows) console.log(`| ${name} | ${costs.map(told).join(' | ')} |`)
}

function computed(
  units: Units,
  crates: number,
  bits: readonly number[],
): ReadonlyMap<Case, readonly Told[]> {
  const rows = new Map<Case, readonly Told[]>()
  const row = (name: Case, wanted: number | undefined, per?: keyof typeof CHANGES): void => {
    const changes = per && changesAt(crates, per)
    rows.set(name, [
      treeModel(units, crates, { wanted, changes }),
      flatModel(units, crates),
      ...bits.map(bit => binModel(units, crates, 2 ** bit, { wanted, changes })),
    ])
  }
  row('one crate, first visit', 1)
  row('one crate, next day', 1, 'day')
  row('1,000 crates, first visit', 1000)
  row('1,000 crates, next day', 1000, 'day')
  row('full mirror, 5 minutes later', undefined, '5 minutes')
  row('full mirror, a day later', undefined, 'day')
  row('full mirror, a week later', undefined, 'week')
  return rows
}

const BITS = [11, 14]
const tree = new TreeScheme()
const schemes: readonly Scheme[] = [
  tree,
  new FlatScheme(),
  ...BITS.map(bits => new BinScheme(bits)),
]
const names = schemes.map(({ name }) => name)
const all: ReadonlyMap<Case, Cost>[] = []
for (const scheme of schemes) {
  all.push(await measured(scheme))
  console.error(`measured: ${scheme.name}`)
}
console.log(
  `Measured, ${CRATES.toLocaleString('en')} crates; bytes by gzip, requests, sequential round trips, CPU:`,
)
table(names, new Map(CASES.map(name => [name, all.map(costs => costs.get(name) as Cost)])))

const [ofTree, ofFlat, , ofBins] = all
const cost = (of: ReadonlyMap<Case, Cost> | undefined, name: Case): Cost => of?.get(name) as Cost
const flat = cost(ofFlat, 'one crate, first visit')
const bin = cost(ofBins, 'one crate, first visit')
// a first visit of the tree less its tiles, of which a next day's visit of one crate has none but the top
const lines = linesOf(tree.tiles)
const top = { raw: 1300, gzip: 1000 }
const units: Units = {
  top,
  topRequests: 4,
  target: { raw: (flat.bytes - top.raw) / CRATES, gzip: (flat.gzipBytes - top.gzip) / CRATES },
  line: { raw: (bin.bytes - top.raw) / 2 ** 14, gzip: (bin.gzipBytes - top.gzip) / 2 ** 14 },
  ...lines,
}
console.log(`\nThe same computed, to compare: ${CRATES.toLocaleString('en')} crates:`)
table(names, computed(units, CRATES, BITS))
console.log(`\nComputed, ${(CRATES * 100).toLocaleString('en')} crates, 100 times as many changes:`)
table(names, computed(units, CRATES * 100, BITS))
console.log(
  `\nWhole index tree: ${tree.tiles.length.toLocaleString('en')} tiles; ${told(cost(ofTree, 'full mirror, a week later'))} in a week.`,
)

console.log(
  '\nA repository read whole, in a process of its own, from files (full client workflow, each entry found):',
)
console.log('\n| | entries | CPU s | peak MB |\n|---|---|---|---|')
for (const bits of [undefined, ...BITS]) {
  const folder = mkdtempSync(join(tmpdir(), 'crateferry-trust-'))
  try {
    const put = (name: string, bytes: Uint8Array): void => {
      mkdirSync(dirname(join(folder, name)), { recursive: true })
      writeFileSync(join(folder, name), bytes)
    }
    const entries = madeEntries(CRATES)
    const scheme = bits === undefined ? new FlatScheme() : new BinScheme(bits)
    await scheme.publish(entries, [])
    for (const [name, bytes] of scheme.files()) put(name, bytes)
    const { found, cpuSeconds, peakMb } = await readWhole(folder)
    console.log(
      `| ${scheme.name} | ${found.toLocaleString('en')} | ${cpuSeconds.toFixed(1)} | ${Math.round(peakMb)} |`,
    )
  } finally {
    rmSync(folder, { recursive: true })
  }
}
