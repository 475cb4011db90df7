import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '../config.ts'
import { rateAt } from '../daemon/bandwidth.ts'
import { listenForControl, type Verb } from '../daemon/control.ts'
import { FileWatch } from '../daemon/file-watch.ts'
import { Watch } from '../daemon/places.ts'
import { serviceManager } from '../daemon/service-manager.ts'
import { MirrorError } from '../error.ts'
import { CONFIGURATION } from '../store/layout.ts'
import type { Mirror } from '../store/mirror.ts'
import { lastRuns } from '../store/runs.ts'
import { readNext } from '../store/snapshot.ts'
import { Traffic } from '../upstream/traffic.ts'
import { type Context, openConfigured, openConfiguredAt } from './context.ts'
import { controlSocket } from './ctl.ts'
import { type Ended, Jobs } from './daemon-jobs.ts'
import { type DaemonState, daemonState } from './daemon-state.ts'
import { Teller } from './daemon-teller.ts'
import { failure } from './report.ts'
import { openServer } from './serve.ts'

/**
 * `crateferry daemon`: keeps one mirror, until it is stopped. Serving, control and the clock go on
 * whatever a job does; jobs come one after the other.
 */
export async function daemonCommand(
  context: Context,
  options: { readonly listen?: string },
): Promise<number> {
  const { mirror, config } = await openConfigured(context)
  await using daemon = new Daemon(context, mirror, config)
  await daemon.open(options.listen ?? config.serve.listen)
  await daemon.keep()
  return 0
}

const TICK_MS = 1000
const RUNS_TOLD = 50

class Daemon implements AsyncDisposable {
  readonly #context: Context
  readonly #mirror: Mirror
  #config: Config
  readonly #jobs: Jobs
  readonly #teller: Teller
  readonly #open = new AsyncDisposableStack()
  readonly #files: FileWatch
  #watch: Watch
  /** Why the file is not what the daemon goes by. */
  #configError: string | undefined
  #isTicking = false

  constructor(context: Context, mirror: Mirror, config: Config) {
    this.#context = context
    this.#mirror = mirror
    this.#config = config
    const traffic = new Traffic(() => rateAt(this.#config.sync.bandwidth, context.now()))
    this.#jobs = new Jobs(context, {
      root: mirror.root,
      config,
      traffic,
      last: lastSync(mirror.root),
    })
    this.#teller = new Teller(context, mirror)
    this.#watch = new Watch(placesOf(mirror, config))
    this.#files = new FileWatch([resolve(mirror.root, CONFIGURATION)])
  }

  /** The socket first: it tells whether another daemon has this mirror. */
  async open(address: string): Promise<void> {
    const { out } = this.#context
    const socket = controlSocket(this.#mirror.root, this.#config)
    this.#open.use(await listenForControl(socket, verb => this.#control(verb)))
    const mirror = this.#mirror
    const config = (): Config => this.#config
    const options = { mirror, config, address, daemon: () => this.#state() }
    const server = this.#open.use(await openServer(this.#context, options))
    out.say(`serving ${mirror.root} at ${server.url}; control socket ${socket}`)
  }

  /** Until the signal, which is a good end. */
  async keep(): Promise<void> {
    const { signal, env } = this.#context
    const manager = serviceManager(env)
    const timer = setInterval(() => void this.#tick(), TICK_MS)
    manager.ready()
    try {
      while (!signal.aborted) {
        const ended = await this.#jobs.next(this.#watch)
        if (ended !== undefined) await this.#told(ended)
        else await sleep(TICK_MS, undefined, { signal }).catch(() => {})
      }
    } catch (error) {
      if (!signal.aborted) throw error
    } finally {
      clearInterval(timer)
      manager.stopping()
    }
  }

  async #told(ended: Ended): Promise<void> {
    await this.#teller.ended(ended, this.#config)
  }

  /** What goes on beside the jobs; trouble of it must not end them. */
  async #tick(): Promise<void> {
    if (this.#isTicking) return
    this.#isTicking = true
    try {
      const changed = this.#files.take()
      if (changed.length > 0) await this.#reload()
      await this.#teller.looked(this.#config)
    } catch (error) {
      this.#context.out.say(failure(error, this.#context.env).line)
    } finally {
      this.#isTicking = false
    }
  }

  async #control(verb: Verb): Promise<object> {
    const { agenda } = this.#jobs
    switch (verb) {
      case 'sync-now':
        if (agenda.isPaused) return { ok: false, error: 'paused: resume first' }
        agenda.ask()
        break
      case 'pause':
      case 'resume':
        agenda.isPaused = verb === 'pause'
        break
      case 'reload':
        await this.#reload()
        if (this.#configError !== undefined) return { ok: false, error: this.#configError }
        break
      case 'runs':
        return { ok: true, runs: lastRuns(this.#mirror.root, RUNS_TOLD) }
      case 'status':
        break
    }
    return { ok: true, ...this.#state() }
  }

  #state(): DaemonState {
    return daemonState(this.#jobs, this.#context.now(), this.#configError)
  }

  /** A file that is broken changes nothing, and that is told. */
  async #reload(): Promise<void> {
    const { out } = this.#context
    const before = this.#config
    try {
      const { config } = await openConfiguredAt(this.#mirror.root)
      this.#config = config
      this.#configError = undefined
    } catch (error) {
      if (!(error instanceof MirrorError)) throw error
      this.#configError = error.message
      out.say(`${CONFIGURATION} is not taken, the one before goes on: ${error.message}`)
      return
    }
    this.#jobs.reconfigure(this.#config)
    await this.#rewatch(before)
    out.say(`${CONFIGURATION} is read anew${needsRestart(before, this.#config)}`)
  }

  async #rewatch(before: Config): Promise<void> {
    const [old, now] = [before, this.#config].map(config => placesOf(this.#mirror, config))
    if (JSON.stringify(old) === JSON.stringify(now)) return
    const watch = this.#watch
    this.#watch = new Watch(placesOf(this.#mirror, this.#config))
    await watch[Symbol.asyncDispose]()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#open[Symbol.asyncDispose]()
    await this.#watch[Symbol.asyncDispose]()
    await this.#files[Symbol.asyncDispose]()
  }
}

/** What the server was opened with stays. */
function needsRestart({ serve: before }: Config, { serve: now }: Config): string {
  const keys = ['listen', 'url', 'tlsCertificate', 'tlsKey', 'control'] as const
  const changed = keys.filter(key => before[key] !== now[key])
  return changed.length === 0 ? '' : '; what changed of [serve] needs a restart'
}

function placesOf({ root }: Mirror, { bundle }: Config) {
  const absolute = (folder: string): string => resolve(root, folder)
  return { folders: bundle.inbox.map(absolute), media: bundle.media.map(absolute) }
}

/** When the newest sync ended, by its record; undefined: there was none, or something is not finished. */
function lastSync(root: string): Date | undefined {
  if (readNext(root) !== undefined) return undefined
  const run = lastRuns(root, 200).findLast(({ command }) => command === 'sync')
  return run && new Date(Date.parse(run.at) + run.seconds * 1000)
}
