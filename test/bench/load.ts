import { createHash, hash } from 'node:crypto'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** What a load is made of: `seed` makes it the same on every machine. */
export interface LoadOptions {
  readonly artifacts: number
  readonly seed: number
}

const BLOCK_BYTES = 12_000_000

/**
 * A plain directory of crates with the sizes of a real registry: lognormal bodies (mean 52 KB,
 * median 20 KB, at most 12 MB) of random bytes with a counter in front, about five versions a crate.
 * Made once per folder.
 */
export function makeLoad(folder: string, { artifacts, seed }: LoadOptions): void {
  const done = join(folder, `complete-${artifacts}-${seed}`)
  if (existsSync(done)) return
  const random = generator(seed)
  const block = randomBlock(seed)
  for (let made = 0, crate = 0; made < artifacts; crate += 1) {
    const name = `load-${String(crate).padStart(6, '0')}`
    const wanted = 1 + Math.floor(-4.2 * Math.log(random() || 1e-9))
    const versions = Math.min(wanted, artifacts - made)
    const lines: string[] = []
    mkdirSync(join(folder, 'crates', name), { recursive: true })
    for (let version = 0; version < versions; version += 1) {
      const bytes = body(block, made, sizeOf(random))
      const vers = `1.${version}.0`
      writeFileSync(join(folder, 'crates', name, `${name}-${vers}.crate`), bytes)
      const cksum = hash('sha256', bytes)
      lines.push(JSON.stringify({ name, vers, deps: [], cksum, features: {}, yanked: false }))
      made += 1
    }
    const index = join(folder, 'index', name.slice(0, 2), name.slice(2, 4))
    mkdirSync(index, { recursive: true })
    writeFileSync(join(index, name), `${lines.join('\n')}\n`)
  }
  writeFileSync(done, '')
}

function sizeOf(random: () => number): number {
  const gauss = Math.sqrt(-2 * Math.log(random() || 1e-9)) * Math.cos(2 * Math.PI * random())
  return Math.round(Math.min(BLOCK_BYTES, Math.max(600, 20_000 * Math.exp(1.38 * gauss))))
}

function body(block: Buffer, counter: number, size: number): Buffer {
  const bytes = Buffer.from(block.subarray(0, size))
  bytes.writeUInt32BE(counter)
  return bytes
}

function randomBlock(seed: number): Buffer {
  const parts: Buffer[] = []
  for (let i = 0; i * 32 < BLOCK_BYTES; i += 1) {
    parts.push(createHash('sha256').update(`${seed} ${i}`).digest())
  }
  return Buffer.concat(parts)
}

/** mulberry32: enough for sizes and lots. */
export function generator(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}
