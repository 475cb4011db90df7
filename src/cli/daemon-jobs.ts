import { Arrivals } from '../bundle/arrivals.ts'
import type { Config } from '../config.ts'
import { Agenda, type AgendaPlan, type Ending } from '../daemon/agenda.ts'
import { Link } from '../daemon/link.ts'
import type { Watch } from '../daemon/places.ts'
import { parseSchedule } from '../daemon/schedule.ts'
import { MirrorError } from '../error.ts'
import { LimitReached } from '../sync/limit-reached.ts'
import type { Progress } from '../sync/run.ts'
import type { Traffic } from '../upstream/traffic.ts'
import { importOne } from './bundle-watch.ts'
import { type Context, Output } from './context.ts'
import { scrubDue, scrubNow } from './daemon-scrub.ts'
import { isSignDue } from './daemon-sign.ts'
import { EXIT, failure } from './report.ts'
import { signCommand } from './sign.ts'
import { syncCommand } from './sync.ts'

/** What runs now. */
export interface Running {
  readonly job: 'sync' | 'import' | 'sign' | 'scrub'
  readonly since: Date
  /** Undefined until it has the lock. */
  progress: Progress | undefined
}

/** How a job ended; `error` where it did not come to an end of its own. */
export interface Ended {
  readonly job: Running['job']
  readonly exit: number
  readonly error: string | undefined
}

const LOOK_MS = 1000
const SIGN_LOOK_MS = 60_000
const SCRUB_LOOK_MS = 60_000
/** After trouble. */
const AGAIN_MS = 900_000
/** Then others have their turn. */
const SCRUB_MS = 300_000

/** Syncs, imports, signatures and the reading back, one at a time, each when it is due: what a daemon does with a mirror. */
export class Jobs {
  readonly #context: Context
  readonly #traffic: Traffic
  readonly #arrivals = new Arrivals()
  readonly #link = new Link()
  readonly #root: string
  /** When to see whether something is to be signed anew; monotonic, as the next. */
  #signLookAt = 0
  /** When to see whether something is to be read back. */
  #scrubLookAt = 0
  #config: Config
  readonly agenda: Agenda
  running: Running | undefined

  constructor(
    context: Context,
    options: {
      readonly root: string
      readonly config: Config
      readonly traffic: Traffic
      readonly last: Date | undefined
    },
  ) {
    this.#context = context
    this.#root = options.root
    this.#traffic = options.traffic
    this.#config = options.config
    this.agenda = new Agenda(planOf(options.config), { last: options.last })
  }

  /** From the next job on. */
  reconfigure(config: Config): void {
    this.#config = config
    this.agenda.change(planOf(config), this.#context.now())
  }

  /** Does what is due now; undefined: nothing was. Trouble of a job is its result. */
  async next(watch: Watch): Promise<Ended | undefined> {
    if (this.#link.hasChanged()) this.agenda.linkChanged()
    if (this.agenda.isDue(this.#context.now())) return await this.#sync()
    if (this.agenda.isPaused) return undefined
    return (await this.#import(watch)) ?? (await this.#sign()) ?? (await this.#scrub())
  }

  async #sync(): Promise<Ended> {
    const wasOpen = this.agenda.isOpen(this.#context.now())
    this.agenda.began()
    const stop = new AbortController()
    const timer = setInterval(() => {
      const reason = this.#stopReason(wasOpen)
      if (reason !== undefined) stop.abort(new MirrorError('incomplete', reason))
    }, LOOK_MS)
    try {
      const ended = await this.#run('sync', stop.signal, async context => {
        const exit = await syncCommand(context, {})
        return { exit, error: undefined, ending: 'done' }
      })
      this.agenda.ended(this.#context.now(), ended.ending)
      return ended
    } finally {
      clearInterval(timer)
    }
  }

  #stopReason(wasOpen: boolean): string | undefined {
    if (this.agenda.isPaused) return 'paused; what came is kept'
    const isOver = wasOpen && !this.agenda.isOpen(this.#context.now())
    return isOver ? 'the hours of sync.windows are over; what came is kept' : undefined
  }

  /** The first that is ready; the others are at the next look. */
  async #import(watch: Watch): Promise<Ended | undefined> {
    const folders = watch.due()
    if (folders === undefined) return undefined
    const { ready, isWaiting } = this.#arrivals.look(folders)
    const [arrival, ...others] = ready
    if (isWaiting || others.length > 0) watch.look()
    if (arrival === undefined) return undefined
    const ended = await this.#run('import', this.#context.signal, async context => {
      const exit = await importOne(context, arrival.place)
      return { exit, error: undefined, ending: 'done' }
    })
    if (ended.exit !== EXIT.busy) this.#arrivals.taken(arrival)
    return ended
  }

  /** What no sync has renewed: those who follow the site must not be left with what has expired. */
  async #sign(): Promise<Ended | undefined> {
    if (performance.now() < this.#signLookAt) return undefined
    this.#signLookAt = performance.now() + SIGN_LOOK_MS
    try {
      if (!isSignDue(this.#root, this.#config, this.#context.now())) return undefined
    } catch {
      // a chain that cannot be read, or half of the keys: the job says so
    }
    const ended = await this.#run('sign', this.#context.signal, async context => {
      const exit = await signCommand(context, {})
      return { exit, error: undefined, ending: 'done' }
    })
    if (ended.error !== undefined) this.#signLookAt = performance.now() + AGAIN_MS
    return ended
  }

  /** What the hour asks for, at a pace that leaves the disk to the others; whatever else is due comes first. */
  async #scrub(): Promise<Ended | undefined> {
    if (performance.now() < this.#scrubLookAt) return undefined
    const share = scrubDue(this.#root, this.#config.store.scrubDays, this.#context.now())
    if (share === 0) {
      this.#scrubLookAt = performance.now() + SCRUB_LOOK_MS
      return undefined
    }
    const stop = new AbortController()
    const timer = setInterval(() => {
      if (this.agenda.isPaused || this.agenda.isDue(this.#context.now())) stop.abort()
    }, LOOK_MS)
    const until = AbortSignal.any([stop.signal, AbortSignal.timeout(SCRUB_MS)])
    try {
      const ended = await this.#run('scrub', this.#context.signal, async context => {
        const exit = await scrubNow(context, { share, stop: until })
        return { exit, error: undefined, ending: 'done' }
      })
      if (ended.error !== undefined) this.#scrubLookAt = performance.now() + AGAIN_MS
      return ended
    } finally {
      clearInterval(timer)
    }
  }

  async #run(
    job: Running['job'],
    stop: AbortSignal,
    work: (context: Context) => Promise<Omit<Ended, 'job'> & { readonly ending: Ending }>,
  ): Promise<Ended & { readonly ending: Ending }> {
    const { now, signal } = this.#context
    const running: Running = { job, since: now(), progress: undefined }
    this.running = running
    const { env, options } = this.#context
    const context: Context = {
      ...this.#context,
      out: new Output(options, env, line => this.#context.out.say(`${job}: ${line}`)),
      signal: AbortSignal.any([signal, stop]),
      daemon: {
        config: this.#config,
        traffic: this.#traffic,
        onRun: (_command, progress) => {
          running.progress = progress
        },
      },
    }
    try {
      return { job, ...(await work(context)) }
    } catch (error) {
      signal.throwIfAborted()
      const cause = stop.aborted ? stop.reason : error
      const { exit, line } = failure(cause, {})
      this.#context.out.say(`${job}: ${line.replace(/^crateferry: /, '')}`)
      return { job, exit, error: line, ending: endingOf(cause) }
    } finally {
      this.running = undefined
    }
  }
}

/** A link, a host, a disk or a lock may be better in a minute; what was refused will not. */
function endingOf(error: unknown): Ending {
  if (!(error instanceof MirrorError) || error instanceof LimitReached) return 'done'
  const passing = ['incomplete', 'no-space', 'io', 'busy']
  return passing.includes(error.code) ? 'again' : 'done'
}

/** A mirror that only bundles fill has nothing to ask on schedule. */
function planOf({ sync, upstream }: Config): AgendaPlan {
  const { url, metadata, trust } = upstream
  const isFed = url !== undefined || metadata !== undefined || trust === 'observed'
  return {
    schedule: isFed ? parseSchedule(sync.schedule) : undefined,
    jitterMs: sync.jitterSeconds * 1000,
    windows: sync.windows,
  }
}
