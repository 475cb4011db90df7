// `npm run rig:soak -- [--minutes N] [--factor N] [--seed N]`: a month in an hour. A daemon that observes time
// pass 720 times as fast (fast-clock.ts) follows an upstream that publishes each day, and another is fed by media,
// while links fail, processes are stopped, killed and suspended, clocks are set, and configurations edited. What
// is served is checked all the while; at the end nothing may be left to repair. Exit 1 where a promise is broken.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs, promisify } from 'node:util'
import { sha256 } from '../../src/registry/checksum.ts'
import type { Status } from '../../src/serve/status.ts'
import { generator } from '../bench/load.ts'
import { BIN, NODE } from '../bench/repository.ts'
import { type LoopbackUpstream, serveFolder } from '../upstream.ts'

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    factor: { type: 'string', default: '720' },
    seed: { type: 'string', default: '1' },
  },
})
const factor = Number(values.factor)
const random = generator(Number(values.seed))
const scratch = mkdtempSync(join(tmpdir(), 'crateferry-soak-'))
const at = (name: string): string => join(scratch, name)
const HOUR_MS = 3_600_000 / factor
const DAY_MS = 24 * HOUR_MS
const begun = Date.now()
/** What clocks were set forward by, all of them. */
let jumpedSeconds = 0

/** So that a process that starts now has the time of all others, and goes on as fast. */
function clock(): Record<string, string> {
  const ahead = (Date.now() - begun) * (factor - 1) + jumpedSeconds * 1000
  return {
    ...(process.env as Record<string, string>),
    FAST_CLOCK_FACTOR: String(factor),
    FAST_CLOCK_AHEAD_MS: String(ahead),
    NODE_OPTIONS: `--max-semi-space-size=4 --import ${join(import.meta.dirname, 'fast-clock.ts')}`,
  }
}

const days = (): string => ((Date.now() - begun) / DAY_MS + jumpedSeconds / 86_400).toFixed(1)
const say = (line: string): void => console.log(`day ${days().padStart(5)}  ${line}`)
const broken: string[] = []
function fault(line: string): void {
  broken.push(line)
  say(`BROKEN: ${line}`)
}

async function crateferry(...args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(NODE, [BIN, ...args], { env: clock() })
  return stdout
}

/** A daemon that can be ended in every way, and comes back. */
class Kept {
  readonly mirror: string
  url = ''
  #child: ChildProcess | undefined
  #said = ''

  constructor(mirror: string) {
    this.mirror = mirror
  }

  get pid(): number {
    return this.#child?.pid ?? 0
  }

  async start(): Promise<void> {
    const args = [BIN, 'daemon', '--mirror', this.mirror, '--listen', '127.0.0.1:0']
    const child = spawn(NODE, args, { stdio: ['ignore', 'ignore', 'pipe'], env: clock() })
    this.#child = child
    let said = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text
      this.#said = (this.#said + text).slice(-20_000)
    })
    while (!/at (http:[^\s;]+)/.test(said)) {
      if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}: ${said}`)
      await sleep(20)
    }
    this.url = /at (http:[^\s;]+)/.exec(said)?.[1] ?? ''
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child
    if (child === undefined) return
    this.url = ''
    child.kill(signal)
    const [exit] = await once(child, 'exit')
    if (signal === 'SIGTERM' && exit !== 0)
      fault(`${this.mirror} ended with ${exit}: ${this.#said}`)
  }

  async suspend(ms: number): Promise<void> {
    this.#child?.kill('SIGSTOP')
    await sleep(ms)
    this.#child?.kill('SIGCONT')
  }
}

const plain = at('plain')
/** Every index file that was ever published: nothing else may be served. */
const everPublished = new Set<string>()
let published = 0

/** A few new crates and a few new versions. */
function publishDay(): void {
  for (let n = 0; n < 3 + random() * 10; n += 1) {
    const name = `soak-${String(Math.floor(random() * 400)).padStart(3, '0')}`
    published += 1
    const version = `1.${published}.0`
    const bytes = Buffer.alloc(200 + Math.floor(random() * 200_000), `${name} ${version} `)
    const file = join(plain, 'index/so/ak', name)
    mkdirSync(join(file, '..'), { recursive: true })
    const fields = {
      name,
      vers: version,
      deps: [],
      cksum: sha256(bytes),
      features: {},
      yanked: false,
    }
    const before = existing(file)
    writeFileSync(file, `${before}${JSON.stringify(fields)}\n`)
    mkdirSync(join(plain, 'crates', name), { recursive: true })
    writeFileSync(join(plain, 'crates', name, `${name}-${version}.crate`), bytes)
  }
  for (const entry of readdirSync(join(plain, 'index'), { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) everPublished.add(sha256(readFileSync(join(entry.parentPath, entry.name))))
  }
}

function existing(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

const sign = (): Promise<string> => crateferry('upstream', at('repository'), '--from', plain)

interface Seen {
  readonly rss: number
  readonly files: number
}
const seen: Seen[] = []
let asked = 0
/** Since when nothing keeps the mirror from being fresh; undefined: something does. */
let wellSince: number | undefined = Date.now()
let worstHours = 0

/** What a client would ask, and a monitor. */
async function look(daemon: Kept): Promise<void> {
  const { url } = daemon
  if (url === '') return
  try {
    await artifactOf(url)
    const status = (await (await fetch(`${url}/api/status`)).json()) as Status
    const { checkedAt, isFresh } = status.fresh
    const hours = (Date.parse(status.at) - Date.parse(checkedAt ?? status.at)) / 3_600_000
    if (wellSince !== undefined && Date.now() - wellSince > 6 * HOUR_MS + 10_000) {
      worstHours = Math.max(worstHours, hours)
    }
    if (!isFresh) fault(`not fresh: compared ${checkedAt}, now ${status.at}`)
    const { rss, files } = usage(daemon.pid)
    if (rss > 0) seen.push({ rss, files })
  } catch (error) {
    // it is being ended or suspended; whether it answers at all shows in what was asked
    if (!(error instanceof TypeError) && (error as Error).name !== 'TimeoutError') throw error
  }
}

async function artifactOf(url: string): Promise<void> {
  const names = readdirSync(join(plain, 'index/so/ak'))
  const name = names[Math.floor(random() * names.length)] ?? ''
  const signal = AbortSignal.timeout(5000)
  const index = await fetch(`${url}/index/so/ak/${name}`, { signal })
  if (index.status === 404) return
  const text = await index.text()
  if (index.status !== 200) return fault(`index/so/ak/${name}: status ${index.status}: ${text}`)
  if (!everPublished.has(sha256(text))) fault(`index/so/ak/${name} was never published`)
  const lines = text.trim().split('\n')
  const { cksum } = JSON.parse(lines[Math.floor(random() * lines.length)] ?? '') as {
    cksum: string
  }
  const answer = await fetch(`${url}/crates/so/ak/${cksum}.crate`, { signal })
  const bytes = Buffer.from(await answer.arrayBuffer())
  if (answer.status !== 200) return fault(`artifact ${cksum}: status ${answer.status}: ${bytes}`)
  if (sha256(bytes) !== cksum) fault(`artifact ${cksum} has other bytes`)
  asked += 1
}

function usage(pid: number): Seen {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    const rss = Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024
    return { rss, files: readdirSync(`/proc/${pid}/fd`).length }
  } catch {
    return { rss: 0, files: 0 }
  }
}

/** What happens to a mirror in a year, one at a time. */
async function mishap(upstream: LoopbackUpstream, near: Kept, far: Kept): Promise<void> {
  const all: readonly [name: string, happen: () => Promise<void>][] = [
    [
      'the link is gone for hours',
      async () => {
        await upstream.goAway()
        await sleep((1 + random() * 8) * HOUR_MS)
        await upstream.comeBack()
      },
    ],
    [
      'answers are cut',
      async () => {
        upstream.misbehave(/\.crate$/, { kind: 'cut', at: 0.5 })
        await sleep(3 * HOUR_MS)
        upstream.behave()
      },
    ],
    [
      'restarted',
      async () => {
        await near.end('SIGTERM')
        await near.start()
      },
    ],
    [
      'killed',
      async () => {
        await near.end('SIGKILL')
        await near.start()
      },
    ],
    [
      'the other is killed',
      async () => {
        await far.end('SIGKILL')
        await far.start()
      },
    ],
    ['suspended', () => near.suspend((1 + random() * 6) * HOUR_MS)],
    [
      'clocks are set forward by six hours',
      async () => {
        for (const one of [near, far]) await one.end('SIGTERM')
        jumpedSeconds += 6 * 3600
        await sign()
        for (const one of [near, far]) await one.start()
      },
    ],
    [
      'clocks are set back by half an hour',
      async () => {
        for (const one of [near, far]) await one.end('SIGTERM')
        jumpedSeconds -= 1800
        for (const one of [near, far]) await one.start()
      },
    ],
    [
      'the configuration is broken, and mended',
      async () => {
        const file = join(near.mirror, 'crateferry.toml')
        const good = readFileSync(file)
        writeFileSync(file, 'conections = 3\n')
        await sleep(3000)
        writeFileSync(file, good)
      },
    ],
    [
      'the schedule is edited',
      async () => {
        const file = join(near.mirror, 'crateferry.toml')
        const minutes = 30 + Math.floor(random() * 60)
        writeFileSync(
          file,
          readFileSync(file, 'utf8').replace(/^(?:# )?schedule = .*$/m, `schedule = "${minutes}m"`),
        )
      },
    ],
  ]
  const [name, happen] = all[Math.floor(random() * all.length)] ?? ['nothing', async () => {}]
  say(name)
  wellSince = undefined
  await happen()
  wellSince = Date.now()
}

/** What is published goes to the other on a stick, whole at once as a mount would show it. */
async function courier(near: Kept, far: Kept): Promise<void> {
  const [out, inbox] = [at('out'), join(far.mirror, '../inbox')]
  rmSync(out, { recursive: true, force: true })
  mkdirSync(out)
  try {
    await crateferry('bundle', 'export', '--to', out, '--mirror', near.mirror)
  } catch (error) {
    say(`no bundle this time: ${(error as Error).message.trim().split('\n').at(-1)}`)
    return
  }
  rmSync(inbox, { recursive: true, force: true })
  renameSync(out, inbox)
}

async function every(ms: number, until: number, work: () => Promise<void>): Promise<void> {
  while (Date.now() < until) {
    await sleep(ms)
    await work()
  }
}

async function soak(): Promise<boolean> {
  cpSync('fixtures/crates', plain, { recursive: true })
  publishDay()
  await sign()
  await using upstream = await serveFolder(at('repository/public'))
  const root = at('repository/public/tuf/1.root.json')
  const [near, far] = [new Kept(at('near')), new Kept(at('far'))]
  await crateferry('init', near.mirror, '--upstream', upstream.url, '--root', root)
  await crateferry('init', far.mirror, '--root', root)
  configure(near.mirror, [
    ['jitter-seconds', '60'],
    ['scrub-days', '7'],
  ])
  configure(far.mirror, [
    ['inbox', `["${at('inbox')}"]`],
    ['scrub-days', '7'],
  ])
  await near.start()
  await far.start()
  const until = Date.now() + Number(values.minutes) * 60_000
  await Promise.all([
    every(DAY_MS / 2, until, async () => {
      publishDay()
      await sign()
    }),
    every(2 * DAY_MS, until, () => courier(near, far)),
    every(DAY_MS, until, () => mishap(upstream, near, far)),
    every(300, until, () => look(near)),
  ])
  await sign()
  await crateferry('ctl', 'sync-now', '--mirror', near.mirror)
  await sleep(10_000)
  const { scrub, published: shown } = (await (
    await fetch(`${near.url}/api/status`)
  ).json()) as Status
  await near.end('SIGTERM')
  await far.end('SIGTERM')
  for (const { mirror } of [near, far]) {
    await crateferry('verify', '--mirror', mirror).catch(error =>
      fault(`verify ${mirror}: ${error.stdout}`),
    )
  }
  return told({ scrub, crates: shown?.crates ?? 0 })
}

function told({
  scrub,
  crates,
}: {
  readonly scrub: Status['scrub']
  readonly crates: number
}): boolean {
  const third = Math.floor(seen.length / 3)
  const most = (of: readonly Seen[], what: keyof Seen): number =>
    Math.max(...of.map(one => one[what]))
  const [early, late] = [seen.slice(third, 2 * third), seen.slice(2 * third)]
  const rss = [most(early, 'rss') / 1e6, most(late, 'rss') / 1e6] as const
  const files = [most(early, 'files'), most(late, 'files')] as const
  console.log(
    `${days()} days, ${published} versions published, ${crates} crates, ${asked} artifacts checked`,
  )
  console.log(`longest without a comparison while nothing hindered it: ${worstHours.toFixed(1)} h`)
  console.log(`memory, middle and last third: ${rss.map(one => one.toFixed(0)).join(' and ')} MB`)
  console.log(`descriptors, middle and last third: ${files.join(' and ')}`)
  console.log(`read back: ${JSON.stringify(scrub)}`)
  console.log(`broken promises: ${broken.length}`)
  const isFlat = rss[1] < rss[0] * 1.2 && files[1] <= files[0] + 20
  return broken.length === 0 && isFlat && asked > 0 && worstHours < 6
}

function configure(mirror: string, keys: readonly (readonly [key: string, value: string])[]): void {
  const file = join(mirror, 'crateferry.toml')
  let text = readFileSync(file, 'utf8')
  for (const [key, value] of keys)
    text = text.replace(new RegExp(`^# ${key} = .*$`, 'm'), `${key} = ${value}`)
  writeFileSync(file, text)
}

process.exitCode = (await soak()) ? 0 : 1
if (process.exitCode === 0) rmSync(scratch, { recursive: true })
else console.log(`all of it is in ${scratch}`)
