import type { Contestant, Run } from './contestants.ts'
import { OURS, SCRIPT } from './contestants.ts'
import { cpuSeconds, median } from './measured.ts'

/** One contestant's runs, a round each. */
export interface Series {
  readonly name: Contestant['name']
  readonly runs: readonly Run[]
}

const RATIO_MIN = 1
const PEAK_BYTES_MAX = 300_000_000

/** What has to be reached, and whether it was. */
export interface Verdict {
  /** The script's time by ours, round by round: above 1 we are faster. */
  readonly ratios: readonly number[]
  readonly ratio: number
  readonly peakBytes: number
  readonly isRatioMet: boolean
  readonly isPeakMet: boolean
}

export function judge(series: readonly Series[]): Verdict {
  const runsOf = (wanted: string): readonly Run[] =>
    series.find(({ name }) => name === wanted)?.runs ?? []
  const ours = runsOf(OURS)
  const ratios = runsOf(SCRIPT).map(({ seconds }, i) => seconds / (ours[i]?.seconds ?? Number.NaN))
  const ratio = median(ratios)
  const peakBytes = Math.max(...ours.map(run => run.peakBytes))
  const isPeakMet = peakBytes < PEAK_BYTES_MAX
  return { ratios, ratio, peakBytes, isRatioMet: ratio >= RATIO_MIN, isPeakMet }
}

export function verdictLines({ ratios, ratio, ...verdict }: Verdict): string[] {
  const met = (isMet: boolean): string => (isMet ? 'met' : 'NOT MET')
  const pairs = ratios.map(one => one.toFixed(2)).join(' ')
  const peak = (verdict.peakBytes / 1e6).toFixed(0)
  return [
    `script / crateferry, pair by pair: ${pairs}; median ${ratio.toFixed(2)}, must be 1.0 or more: ${met(verdict.isRatioMet)}`,
    `crateferry's peak memory: ${peak} MB, must be under 300 MB: ${met(verdict.isPeakMet)}`,
  ]
}

const COLUMNS: readonly [
  title: string,
  digits: number,
  value: (run: Run, load: { artifacts: number; bytes: number }) => number,
][] = [
  ['wall s', 2, run => run.seconds],
  ['flush s', 2, run => run.flushSeconds],
  ['user s', 2, run => run.userSeconds],
  ['system s', 2, run => run.systemSeconds],
  ['µs CPU/artifact', 0, (run, { artifacts }) => (cpuSeconds(run) / artifacts) * 1e6],
  ['artifacts/s', 0, (run, { artifacts }) => artifacts / run.seconds],
  ['MB/s', 0, (run, { bytes }) => bytes / 1e6 / run.seconds],
  ['peak MB', 0, run => run.peakBytes / 1e6],
]

/** A row of medians for each contestant. */
export function table(
  series: readonly Series[],
  load: { artifacts: number; bytes: number },
): string[] {
  const width = Math.max(...series.map(({ name }) => name.length))
  const row = (name: string, cells: readonly string[]): string =>
    [
      name.padEnd(width),
      ...cells.map((cell, i) => cell.padStart(COLUMNS[i]?.[0].length ?? 0)),
    ].join('  ')
  const rows = series.map(({ name, runs }) =>
    row(
      name,
      COLUMNS.map(([, digits, value]) => median(runs.map(run => value(run, load))).toFixed(digits)),
    ),
  )
  const titles = COLUMNS.map(([title]) => title)
  return [row('', titles), ...rows]
}
