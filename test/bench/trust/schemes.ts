import { gzipSync } from 'node:zlib'
import { type Checksum, sha256 } from '../../../src/registry/checksum.ts'
import type { IndexPath } from '../../../src/registry/sparse-path.ts'
import { buildTree } from '../../../src/tree/build.ts'
import { diff } from '../../../src/tree/diff.ts'
import { childTowards, keyOf, type TileRef, type TreeEntry } from '../../../src/tree/entry.ts'
import { parseTile, type Tile } from '../../../src/tree/tile.ts'
import { updateTree } from '../../../src/tree/update.ts'
import { allBins, binOf } from '../../../src/trust/bins.ts'
import { canonicalJson, fileJson } from '../../../src/trust/canonical.ts'
import type { Delegation } from '../../../src/trust/delegations.ts'
import { ed25519PublicKey, signEd25519 } from '../../../src/trust/ed25519.ts'
import type { JsonObject } from '../../../src/trust/json.ts'
import { keyidOf } from '../../../src/trust/key.ts'
import { TrustedSet } from '../../../src/trust/trusted.ts'
import { generator } from '../load.ts'

/** What one visit of one client costs. */
export interface Cost {
  readonly requests: number
  /** Requests that had to wait for the answer of another, one after the other. */
  readonly roundTrips: number
  readonly bytes: number
  /** Each file by gzip −6. */
  readonly gzipBytes: number
  /** Of parsing and verifying, in milliseconds. */
  readonly cpuMs: number
}

/** A registry at one time: index files by path. */
export type Entries = ReadonlyMap<IndexPath, TreeEntry>

/** What a client has kept from an earlier visit; none: its first. */
export type Kept = ReadonlySet<string>

/** One way to sign the same entries. `before` is what the client saw last. */
export interface Scheme {
  readonly name: string
  /** Publishes these entries; the next call goes on from it. */
  publish(entries: Entries, changed: readonly IndexPath[]): Promise<void>
  /** A client that needs these crates; those with `kept` have been there before. */
  crates(paths: readonly IndexPath[], kept: Kept): { readonly cost: Cost; readonly kept: Kept }
  /** A full mirror that has what was published `ago` publications before. */
  mirror(ago: number): Promise<Cost>
}

/** A scheme whose repository is nothing but TUF metadata. */
interface Classic extends Scheme {
  /** All metadata files as they are served now. */
  files(): Iterable<readonly [name: string, bytes: Uint8Array]>
}

const SEED = Buffer.alloc(32, 1)
const KEY: JsonObject = {
  keytype: 'ed25519',
  keyval: { public: ed25519PublicKey(SEED).toHex() },
  scheme: 'ed25519',
}
const KEYID = keyidOf(KEY)
const ROLE = { keyids: [KEYID], threshold: 1 }
const EXPIRES = '2100-01-01T00:00:00Z'

function signed(fields: JsonObject): Uint8Array {
  const body = { spec_version: '1.0.34', expires: EXPIRES, ...fields }
  const sig = signEd25519(SEED, canonicalJson(body)).toHex()
  return fileJson({ signatures: [{ keyid: KEYID, sig }], signed: body })
}

const ROOT_FILE = signed({
  _type: 'root',
  version: 1,
  consistent_snapshot: true,
  keys: { [KEYID]: KEY },
  roles: { root: ROLE, timestamp: ROLE, snapshot: ROLE, targets: ROLE },
})

/** Counts what a client reads; a file it has kept costs nothing. */
class Meter {
  readonly kept: Set<string>
  #requests = 1 // the next root, which is not there
  #roundTrips = 1
  #bytes = 0
  #gzipBytes = 0
  #began = process.cpuUsage()

  constructor(kept: Kept) {
    this.kept = new Set(kept)
  }

  /** Files that are asked for at once. */
  ask(files: readonly (readonly [name: string, bytes: Uint8Array])[]): void {
    const missing = files.filter(([name]) => !this.kept.has(name))
    if (missing.length === 0) return
    this.#roundTrips += 1
    this.#requests += missing.length
    const before = process.cpuUsage()
    for (const [name, bytes] of missing) {
      this.kept.add(name)
      this.#bytes += bytes.length
      this.#gzipBytes += gzipSync(bytes, { level: 6 }).length
    }
    // to count is not the client's work
    const { user, system } = process.cpuUsage(before)
    this.#began = { user: this.#began.user + user, system: this.#began.system + system }
  }

  cost(): Cost {
    const { user, system } = process.cpuUsage(this.#began)
    return {
      requests: this.#requests,
      roundTrips: this.#roundTrips,
      bytes: this.#bytes,
      gzipBytes: this.#gzipBytes,
      cpuMs: (user + system) / 1000,
    }
  }
}

/** Timestamp, snapshot and targets as they stand, and what a client makes of them. */
class TopLevel {
  version = 0
  timestamp: Uint8Array = new Uint8Array()
  snapshot: Uint8Array = new Uint8Array()
  targets: Uint8Array = new Uint8Array()

  /** `targetsVersion` stays where only roles below it changed. */
  publish(body: JsonObject, targetsVersion: number, others: JsonObject = {}): void {
    this.version += 1
    this.targets = signed({ _type: 'targets', version: targetsVersion, ...body })
    const meta = { 'targets.json': { version: targetsVersion }, ...others }
    this.snapshot = signed({ _type: 'snapshot', version: this.version, meta })
    const named = { 'snapshot.json': { version: this.version } }
    this.timestamp = signed({ _type: 'timestamp', version: this.version, meta: named })
    this.#targetsVersion = targetsVersion
  }

  #targetsVersion = 0

  files(): readonly (readonly [string, Uint8Array])[] {
    return [
      ['1.root.json', ROOT_FILE],
      ['timestamp.json', this.timestamp],
      [`${this.version}.snapshot.json`, this.snapshot],
      [`${this.#targetsVersion}.targets.json`, this.targets],
    ]
  }

  follow(meter: Meter): TrustedSet {
    const trusted = new TrustedSet(ROOT_FILE, 'root', { isKept: true })
    // the timestamp is always asked for
    meter.ask([[`timestamp ${this.version} ${Math.random()}`, this.timestamp]])
    trusted.setTimestamp(trusted.readTimestamp(this.timestamp, 'timestamp'))
    meter.ask([[`snapshot ${this.version}`, this.snapshot]])
    trusted.setSnapshot(trusted.readSnapshot(this.snapshot, 'snapshot'))
    const name = `targets ${this.#targetsVersion}`
    const isKept = meter.kept.has(name)
    meter.ask([[name, this.targets]])
    trusted.setTargets(trusted.readTargets(this.targets, 'targets', { isKept }))
    return trusted
  }
}

const targetOf = ({ length, sha256: hash }: TreeEntry): JsonObject => ({
  length,
  hashes: { sha256: hash },
})

/** One target, the root tile, and the index tree below it. */
export class TreeScheme implements Scheme {
  readonly name = 'index tree'
  readonly #top = new TopLevel()
  readonly #tiles = new Map<string, Uint8Array>()
  readonly #trees: TileRef[] = []

  async publish(entries: Entries, changed: readonly IndexPath[]): Promise<void> {
    const put = (ref: TileRef, bytes: Uint8Array): void => void this.#tiles.set(ref.hash, bytes)
    const before = this.#trees.at(-1)
    const changes = changed.map(path => ({ path, after: entries.get(path) }))
    const tree =
      before === undefined
        ? buildTree(entries.values(), put)
        : await updateTree(before, changes, {
            load: async refs => refs.map(ref => this.#tile(ref)),
            put,
          })
    this.#trees.push(tree)
    const length = this.#tiles.get(tree.hash)?.length ?? 0
    const targets = { 'index-tree': { length, hashes: { sha256: tree.hash } } }
    this.#top.publish({ targets }, this.#top.version + 1)
  }

  crates(paths: readonly IndexPath[], kept: Kept): { cost: Cost; kept: Kept } {
    const meter = new Meter(kept)
    this.#top.follow(meter)
    let level = new Map([[this.#current.hash, { ref: this.#current, keys: paths.map(keyOf) }]])
    while (level.size > 0) {
      const below: typeof level = new Map()
      meter.ask([...level.keys()].map(hash => [hash, this.#bytes(hash)] as const))
      for (const { ref, keys } of level.values()) {
        const tile = this.#tile(ref)
        if (tile.kind === 'leaf') continue
        for (const key of keys) {
          const position = childTowards(tile.position, key)
          const child = tile.children.find(one => one.position === position)
          if (child === undefined) continue
          const open = below.get(child.hash)
          if (open === undefined) below.set(child.hash, { ref: child, keys: [key] })
          else open.keys.push(key)
        }
      }
      level = below
    }
    return { cost: meter.cost(), kept: meter.kept }
  }

  async mirror(ago: number): Promise<Cost> {
    const meter = new Meter(new Set(['targets 0']))
    this.#top.follow(meter)
    const before = this.#trees.at(-1 - ago) as TileRef
    const has = async (refs: readonly TileRef[]): Promise<Tile[]> =>
      refs.map(ref => this.#tile(ref))
    const load = async (refs: readonly TileRef[]): Promise<Tile[]> => {
      meter.ask(refs.map(({ hash }) => [hash, this.#bytes(hash)] as const))
      return await has(refs)
    }
    for await (const _ of diff(before, this.#current, { before: has, after: load }));
    return meter.cost()
  }

  /** Every tile that is reached now. */
  get tiles(): readonly Uint8Array[] {
    const found: Uint8Array[] = []
    const open = [this.#current]
    for (let ref = open.pop(); ref !== undefined; ref = open.pop()) {
      const tile = this.#tile(ref)
      found.push(this.#bytes(ref.hash))
      if (tile.kind === 'node') open.push(...tile.children)
    }
    return found
  }

  get #current(): TileRef {
    return this.#trees.at(-1) as TileRef
  }

  #bytes(hash: Checksum): Uint8Array {
    return this.#tiles.get(hash) as Uint8Array
  }

  #tile(ref: TileRef): Tile {
    return parseTile(this.#bytes(ref.hash), ref)
  }
}

/** All index files as targets of the one targets role. */
export class FlatScheme implements Classic {
  readonly name = 'flat'
  readonly #top = new TopLevel()

  async publish(entries: Entries): Promise<void> {
    const targets = Object.fromEntries([...entries].map(([path, entry]) => [path, targetOf(entry)]))
    this.#top.publish({ targets }, this.#top.version + 1)
  }

  crates(_paths: readonly IndexPath[], kept: Kept): { cost: Cost; kept: Kept } {
    const meter = new Meter(kept)
    this.#top.follow(meter)
    return { cost: meter.cost(), kept: meter.kept }
  }

  async mirror(): Promise<Cost> {
    return this.crates([], new Set()).cost
  }

  files(): Iterable<readonly [string, Uint8Array]> {
    return this.#top.files()
  }
}

/** TAP 15: a role for each bin, and one line for each in the snapshot. */
export class BinScheme implements Classic {
  readonly name: string
  readonly #bitLength: number
  readonly #top = new TopLevel()
  readonly #bins = new Map<string, { version: number; paths: Set<IndexPath>; bytes: Uint8Array }>()
  /** Which bins changed, publication by publication. */
  readonly #changed: ReadonlySet<string>[] = []

  constructor(bitLength: number) {
    this.#bitLength = bitLength
    this.name = `${(2 ** bitLength).toLocaleString('en')} bins`
  }

  async publish(entries: Entries, changed: readonly IndexPath[]): Promise<void> {
    const isFirst = this.#bins.size === 0
    const touched = new Set<string>()
    if (isFirst) {
      for (const name of allBins({ bitLength: this.#bitLength, prefix: 'bin' })) {
        this.#bins.set(name, { version: 0, paths: new Set(), bytes: new Uint8Array() })
        touched.add(name)
      }
    }
    for (const path of isFirst ? entries.keys() : changed) {
      const name = this.#binOf(path)
      this.#bins.get(name)?.paths.add(path)
      touched.add(name)
    }
    for (const name of touched) {
      const bin = this.#bins.get(name)
      if (bin === undefined) continue
      bin.version += 1
      const listed = [...bin.paths].map(path => [path, targetOf(entries.get(path) as TreeEntry)])
      const targets = Object.fromEntries(listed) as JsonObject
      bin.bytes = signed({ _type: 'targets', version: bin.version, targets })
    }
    this.#changed.push(touched)
    const others = [...this.#bins].map(([name, { version }]) => [`${name}.json`, { version }])
    const succinct = { ...ROLE, bit_length: this.#bitLength, name_prefix: 'bin' }
    const delegations = { keys: { [KEYID]: KEY }, succinct_roles: succinct }
    this.#top.publish({ targets: {}, delegations }, 1, Object.fromEntries(others) as JsonObject)
  }

  crates(paths: readonly IndexPath[], kept: Kept): { cost: Cost; kept: Kept } {
    return this.#read(new Set(paths.map(path => this.#binOf(path))), paths, kept)
  }

  async mirror(ago: number): Promise<Cost> {
    const names = new Set(this.#changed.slice(-ago).flatMap(set => [...set]))
    return this.#read(names, [], new Set(['targets 1'])).cost
  }

  *files(): Iterable<readonly [string, Uint8Array]> {
    yield* this.#top.files()
    for (const [name, { version, bytes }] of this.#bins) yield [`${version}.${name}.json`, bytes]
  }

  #read(
    names: ReadonlySet<string>,
    paths: readonly IndexPath[],
    kept: Kept,
  ): { cost: Cost; kept: Kept } {
    const meter = new Meter(kept)
    const trusted = this.#top.follow(meter)
    const { delegations } = trusted.targets
    const wanted = new Map<string, Delegation>()
    for (const path of paths)
      for (const one of delegations.matching(path)) wanted.set(one.name, one)
    if (paths.length === 0) {
      for (const one of delegations.all()) if (names.has(one.name)) wanted.set(one.name, one)
    }
    const named = (name: string): string => `${name} ${this.#bins.get(name)?.version}`
    const isKept = new Map([...names].map(name => [name, meter.kept.has(named(name))]))
    meter.ask(
      [...names].map(name => [named(name), this.#bins.get(name)?.bytes as Uint8Array] as const),
    )
    for (const [name, delegation] of wanted) {
      const file = `${name}.json`
      const meta = trusted.snapshot.files.get(file) as { readonly version: number }
      const { bytes } = this.#bins.get(name) as { readonly bytes: Uint8Array }
      trusted.readDelegated(bytes, { file, meta }, delegation, {
        isKept: isKept.get(name) === true,
      })
    }
    return { cost: meter.cost(), kept: meter.kept }
  }

  #binOf(path: IndexPath): string {
    return binOf({ bitLength: this.#bitLength, prefix: 'bin' }, sha256(path))
  }
}

/** Index files of names as long as crates.io's; the same ones for the same count. */
export function madeEntries(count: number): Map<IndexPath, TreeEntry> {
  const random = generator(count)
  const entries = new Map<IndexPath, TreeEntry>()
  for (let n = 0; n < count; n += 1) {
    const letters = sha256(`name ${n}`).replace(
      /[0-9]/g,
      digit => 'ghijklmnop'[Number(digit)] ?? 'g',
    )
    const name = `${letters.slice(0, 4 + Math.floor(random() * 9))}-${n.toString(36)}`
    const path = `${name.slice(0, 2)}/${name.slice(2, 4)}/${name}` as IndexPath
    entries.set(path, { path, length: 400 + Math.floor(random() * 7600), sha256: sha256(path) })
  }
  return entries
}

/** So many other index files; the same crates may be drawn again in a later change. */
export function change(
  entries: Map<IndexPath, TreeEntry>,
  paths: readonly IndexPath[],
  count: number,
  random: () => number,
): readonly IndexPath[] {
  const changed = new Set<IndexPath>()
  while (changed.size < count) changed.add(paths[Math.floor(random() * paths.length)] as IndexPath)
  for (const path of changed) {
    const { length } = entries.get(path) as TreeEntry
    entries.set(path, { path, length: length + 300, sha256: sha256(`${path} ${random()}`) })
  }
  return [...changed]
}
