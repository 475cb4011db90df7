import { gzipSync } from 'node:zlib'
import { LEAF_ENTRIES_MAX } from '../../../src/tree/tile.ts'
import type { Cost } from './schemes.ts'

/** What is measured once, in bytes, raw and by gzip. */
interface Size {
  readonly raw: number
  readonly gzip: number
}

export interface Units {
  /** Timestamp, snapshot of one line and targets of one target, together. */
  readonly top: Size
  readonly topRequests: number
  /** Of one entry in a targets file, and of one line in a snapshot. */
  readonly target: Size
  readonly line: Size
  /** Of one line of a leaf and of a node. */
  readonly leafLine: Size
  readonly nodeLine: Size
}

/** A cost that was computed has no CPU. */
type Computed = Omit<Cost, 'cpuMs'>

const sizeOf = (bytes: Uint8Array): Size => ({
  raw: bytes.length,
  gzip: gzipSync(bytes, { level: 6 }).length,
})

/** Lines of leaves and nodes as the tiles of a real tree have them. */
export function linesOf(tiles: readonly Uint8Array[]): Pick<Units, 'leafLine' | 'nodeLine'> {
  const totals = { leaf: { raw: 0, gzip: 0, lines: 0 }, node: { raw: 0, gzip: 0, lines: 0 } }
  for (const tile of tiles) {
    const text = Buffer.from(tile).toString('latin1')
    const total = totals[text.startsWith('index-tree 1 leaf') ? 'leaf' : 'node']
    const size = sizeOf(tile)
    total.raw += size.raw
    total.gzip += size.gzip
    total.lines += text.split('\n').length - 2
  }
  const each = ({ raw, gzip, lines }: (typeof totals)['leaf']): Size => ({
    raw: raw / lines,
    gzip: gzip / lines,
  })
  return { leafLine: each(totals.leaf), nodeLine: each(totals.node) }
}

export function flatModel({ top, target }: Units, entries: number): Computed {
  return {
    requests: 4,
    roundTrips: 4,
    bytes: top.raw + entries * target.raw,
    gzipBytes: top.gzip + entries * target.gzip,
  }
}

/** Of `among` equally likely places those that `draws` draws hit. */
const hit = (among: number, draws: number): number => among * (1 - (1 - 1 / among) ** draws)

/** `bins` are asked for: drawn for crates, or all that `changes` changed. */
export function binModel(
  { top, target, line }: Units,
  entries: number,
  bins: number,
  {
    wanted,
    changes,
  }: { readonly wanted?: number | undefined; readonly changes?: number | undefined },
): Computed {
  const wantedBins = wanted === undefined ? bins : hit(bins, wanted)
  const asked = changes === undefined ? wantedBins : (wantedBins * hit(bins, changes)) / bins
  const bytes = (size: keyof Size): number =>
    top[size] + bins * line[size] + asked * ((entries / bins) * target[size] + 250)
  return {
    requests: Math.round(4 + asked),
    roundTrips: 5,
    bytes: bytes('raw'),
    gzipBytes: bytes('gzip'),
  }
}

/**
 * Keys are hashes, so how many entries lie below a position is as good as Poisson. Walks level by
 * level: a tile is there if its parent is a node, and is asked for if a wanted key, or a change, lies
 * below it.
 */
export function treeModel(
  { top, leafLine, nodeLine }: Units,
  entries: number,
  {
    wanted,
    changes,
  }: { readonly wanted?: number | undefined; readonly changes?: number | undefined },
): Computed {
  let [requests, levels] = [0, 0]
  let [raw, gzip] = [0, 0]
  let parentIsNode = 1
  for (let level = 0; level < 16 && parentIsNode > 1e-9; level += 1) {
    const places = 16 ** level
    const mean = entries / places
    const { more, linesBelow } = poisson(mean)
    const isNode = level === 0 ? Number(entries > LEAF_ENTRIES_MAX) : more
    // per place: that someone wants it, and that it changed
    const touched = (draws: number | undefined): number =>
      draws === undefined ? 1 : hit(places, draws) / places
    const asked = places * parentIsNode * touched(wanted) * touched(changes)
    // a place that is asked for has an entry; where it is rare it has one more than others
    const children = 16 * (1 - Math.exp(-mean / 16))
    requests += asked
    if (asked > 0.5) levels += 1
    const ofTile = (size: keyof Size): number =>
      isNode * children * nodeLine[size] + (1 - isNode) * linesBelow * leafLine[size]
    raw += asked * ofTile('raw')
    gzip += asked * ofTile('gzip')
    parentIsNode = isNode
  }
  return {
    requests: Math.round(4 + requests),
    roundTrips: 4 + levels,
    bytes: top.raw + raw,
    gzipBytes: top.gzip + gzip,
  }
}

/** That there are more entries than a leaf takes, and how many there are where there are not. */
function poisson(mean: number): { readonly more: number; readonly linesBelow: number } {
  if (mean > 700) return { more: 1, linesBelow: 0 }
  let term = Math.exp(-mean)
  let [sum, weighted] = [0, 0]
  for (let n = 1; n <= LEAF_ENTRIES_MAX; n += 1) {
    term *= mean / n
    sum += term
    weighted += n * term
  }
  const none = Math.exp(-mean)
  return { more: Math.max(0, 1 - sum - none), linesBelow: sum === 0 ? 0 : weighted / sum }
}
