// `npm run rig:crowd`: 64 cargos fetch at once from a daemon, first alone, then while 1,000 clients that are
// slow and 1,000 that read nothing hang on and a large publish is synced. Exit 1 where a bound is missed.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { sha256 } from '../../src/registry/checksum.ts'
import { BIN, NODE } from '../bench/repository.ts'
import { crateferry, run, serve } from './run.ts'

const CARGOS = 64
const ROUNDS = 4
const HANGERS = 1000
const PUBLISHED = 3000
const LARGE_BYTES = 8 * 1024 * 1024
const RATIO_MAX = 2
const RSS_BYTES_MAX = 256e6

const scratch = mkdtempSync(join(tmpdir(), 'crateferry-crowd-'))
const at = (name: string): string => join(scratch, name)
const plain = at('plain')
const mirror = at('mirror')

/**
 * A network of its own whose sockets hold 64 KB, as over a link: the loopback's own hold megabytes,
 * and two thousand clients would move gigabytes before they hang.
 */
const APART = `ip link set lo up
for one in rmem wmem; do echo 4096 16384 65536 > /proc/sys/net/ipv4/tcp_$one; done
exec "$@"`

if (process.env['CROWD_APART'] === undefined) {
  const args = ['-rn', 'sh', '-ec', APART, 'sh', NODE, import.meta.filename]
  const env = { ...process.env, CROWD_APART: '1' }
  const [exit] = await once(spawn('unshare', args, { stdio: 'inherit', env }), 'exit')
  process.exitCode = exit ?? 1
} else {
  try {
    process.exitCode = (await crowd()) ? 0 : 1
  } finally {
    rmSync(scratch, { recursive: true })
  }
}

async function crowd(): Promise<boolean> {
  cpSync('fixtures/crates', plain, { recursive: true })
  add('la/rg/large-one', 'large-one', Buffer.alloc(LARGE_BYTES, 'large'))
  await sign()
  await using upstream = await serve(at('repository'))
  const root = at('repository/public/tuf/1.root.json')
  await crateferry('init', mirror, '--upstream', upstream.url, '--root', root)
  await crateferry('sync', '--mirror', mirror)
  await using daemon = await startDaemon()

  const alone = await cargos(daemon.url)
  told('alone', alone)
  console.log(`peak memory until then: ${megabytes(peakBytes(daemon.pid))}`)
  const { hostname, port } = new URL(daemon.url)
  const hanging = startHangers([hostname, port, await largePath(), `${HANGERS}`, `${HANGERS}`])
  await sleep(12_000)
  console.log(`connections: ${await openConnections(daemon.url)}`)
  console.log(`peak memory until then: ${megabytes(peakBytes(daemon.pid))}`)
  for (let n = 0; n < PUBLISHED; n += 1) {
    const name = `pub${String(n).padStart(5, '0')}`
    add(`pu/b${name[3]}/${name}`, name, Buffer.from(`${name}, not a real tar`))
  }
  await sign()
  await crateferry('ctl', 'sync-now', '--mirror', mirror)
  const crowded = await cargos(daemon.url)
  console.log(`after: ${await openConnections(daemon.url)}`)
  told('crowded', crowded)
  const entries = await publishedWithin(60_000)
  console.log(`published: ${entries} crates`)
  hanging.kill('SIGTERM')
  const dropped = (await text(hanging.stdout as NodeJS.ReadableStream)).trim()
  console.log(`clients that hung on were dropped ${dropped} times`)
  const peak = peakBytes(daemon.pid)
  const ratio = percentile(crowded.seconds, 99) / percentile(alone.seconds, 99)
  console.log(`p99 crowded / alone: ${ratio.toFixed(2)}, must be under ${RATIO_MAX}`)
  console.log(`failed: ${alone.failed + crowded.failed}, must be 0`)
  console.log(`peak memory: ${megabytes(peak)}, must be under ${RSS_BYTES_MAX / 1e6} MB`)
  const isPublished = entries > PUBLISHED
  const failed = alone.failed + crowded.failed
  return ratio < RATIO_MAX && failed === 0 && peak < RSS_BYTES_MAX && isPublished
}

/** Crates, once the large publish is through. */
async function publishedWithin(ms: number): Promise<number> {
  for (const end = performance.now() + ms; ; await sleep(500)) {
    const { published } = (await crateferry('status', '--mirror', mirror)) as {
      published: { entries: number }
    }
    if (published.entries > PUBLISHED || performance.now() > end) return published.entries
  }
}

/** A crate of one version whose artifact is so many bytes. */
function add(path: string, name: string, bytes: Uint8Array): void {
  const fields = {
    name,
    vers: '1.0.0',
    deps: [],
    cksum: sha256(bytes),
    features: {},
    yanked: false,
  }
  const index = join(plain, 'index', path)
  mkdirSync(join(index, '..'), { recursive: true })
  writeFileSync(index, `${JSON.stringify(fields)}\n`)
  mkdirSync(join(plain, 'crates', name), { recursive: true })
  writeFileSync(join(plain, 'crates', name, `${name}-1.0.0.crate`), bytes)
}

async function sign(): Promise<void> {
  await crateferry('upstream', at('repository'), '--from', plain)
}

async function largePath(): Promise<string> {
  const line = readFileSync(join(mirror, 'public/index/la/rg/large-one'), 'utf8')
  const { cksum } = JSON.parse(line) as { cksum: string }
  return `/crates/la/rg/${cksum}.crate`
}

interface Fetched {
  readonly seconds: readonly number[]
  readonly failed: number
}

/** So many at a time, each with a CARGO_HOME of its own, round after round. */
async function cargos(url: string): Promise<Fetched> {
  const seconds: number[] = []
  let failed = 0
  const one = async (n: number): Promise<void> => {
    for (let round = 0; round < ROUNDS; round += 1) {
      const folder = at(`cargo-${n}`)
      cpSync(resolve('fixtures/program'), folder, { recursive: true })
      mkdirSync(join(folder, 'home'))
      const config = `[source.crates-io]\nreplace-with = "mirror"\n[source.mirror]\nregistry = "sparse+${url}/index/"\n`
      writeFileSync(join(folder, 'home/config.toml'), config)
      const env = { ...process.env, CARGO_HOME: join(folder, 'home') }
      const began = performance.now()
      try {
        await run('cargo', ['fetch', '--locked'], { cwd: folder, env })
      } catch (error) {
        failed += 1
        console.log((error as Error).message.slice(-500))
      }
      seconds.push((performance.now() - began) / 1000)
      rmSync(folder, { recursive: true })
    }
  }
  await Promise.all(Array.from({ length: CARGOS }, (_, n) => one(n)))
  return { seconds, failed }
}

function told(name: string, { seconds, failed }: Fetched): void {
  const [p50, p99] = [percentile(seconds, 50), percentile(seconds, 99)]
  const what = `${seconds.length} cargo fetch, ${CARGOS} at once: p50 ${p50.toFixed(2)} s, p99 ${p99.toFixed(2)} s, failed ${failed}`
  console.log(`${name.padEnd(8)} ${what}`)
}

function percentile(numbers: readonly number[], percent: number): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  return (
    sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))] ?? Number.NaN
  )
}

async function startDaemon(): Promise<
  AsyncDisposable & { readonly url: string; readonly pid: number }
> {
  const args = [BIN, 'daemon', '--mirror', mirror, '--listen', '127.0.0.1:0']
  const child = spawn(NODE, args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    // as the unit has it
    env: { ...process.env, NODE_OPTIONS: '--max-semi-space-size=4' },
  })
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (piece: string) => {
    said += piece
  })
  while (!/at (http:\S+)/.test(said)) await sleep(50)
  return {
    url: /at (http:[^\s;]+)/.exec(said)?.[1] ?? '',
    pid: child.pid ?? 0,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGTERM')
      const [exit] = await once(child, 'exit')
      if (exit !== 0) throw new Error(`the daemon ended with exit ${exit}: ${said}`)
    },
  }
}

function startHangers(args: readonly string[]): ChildProcess {
  return spawn(process.execPath, [join(import.meta.dirname, 'hangers.ts'), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

async function openConnections(url: string): Promise<string> {
  const metrics = await (await fetch(`${url}/metrics`)).text()
  const lines = metrics
    .split('\n')
    .filter(line => /^(?:crateferry_http_connections|nodejs_eventloop_lag_(?:p99|max))/.test(line))
  return lines.join(', ')
}

function peakBytes(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`
}
