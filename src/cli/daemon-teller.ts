import type { Config } from '../config.ts'
import type { HookEvent } from '../daemon/events.ts'
import { tell } from '../daemon/hooks.ts'
import type { Mirror } from '../store/mirror.ts'
import { lastRuns, type RunRecord } from '../store/runs.ts'
import { stamp } from '../sync/run.ts'
import type { Context } from './context.ts'
import type { Ended } from './daemon-jobs.ts'
import { freshnessOf, mirrorFacts } from './facts.ts'
import { EXIT } from './report.ts'

/** Exit codes with which somebody must look: trust, form, guards. */
const FOR_A_PERSON: readonly number[] = [
  EXIT.signature,
  EXIT.expired,
  EXIT.rollback,
  EXIT.equivocation,
  EXIT.clock,
  EXIT.refused,
  EXIT.guard,
]
const DAY_MS = 86_400_000
const LOOK_MS = 60_000

/** Tells the hooks what happened: each state once when it begins, and again only after it had ended. */
export class Teller {
  readonly #context: Context
  readonly #mirror: Mirror
  readonly #begun = new Set<string>()
  #lookedAt = Number.NEGATIVE_INFINITY

  constructor(context: Context, mirror: Mirror) {
    this.#context = context
    this.#mirror = mirror
  }

  /** Of a job that has ended. */
  async ended({ job, exit, error }: Ended, config: Config): Promise<void> {
    const run = lastRuns(this.#mirror.root, 1)[0]
    const isGood = exit === 0
    if (run?.['outcome'] === 'published' && job === 'sync') {
      await this.#tell(config, 'published', `snapshot ${run['snapshot']} is published`, { run })
    }
    if (job === 'import') {
      await this.#tell(config, 'imported', `an import ended with exit code ${exit}`, { exit, run })
    }
    const why = error ?? reasonOf(run)
    const isForPerson = FOR_A_PERSON.includes(exit)
    await this.#turn(config, 'guard', job, isForPerson, `${job}: exit ${exit}, ${why}`)
    await this.#turn(config, 'degraded', job, !isGood, `${job}: exit ${exit}, ${why}`)
  }

  /** Of what time brings: looked at once a minute. */
  async looked(config: Config): Promise<void> {
    if (performance.now() - this.#lookedAt < LOOK_MS) return
    this.#lookedAt = performance.now()
    const now = this.#context.now()
    const { checkedAt, isFresh, withinHours } = freshnessOf(this.#mirror.root, config, now)
    const since = checkedAt ?? 'never'
    const stale = `not compared with its source for ${withinHours} h: last ${since}`
    await this.#turn(config, 'stale', '', !isFresh && checkedAt !== undefined, stale)
    const { expires } = await mirrorFacts(this.#mirror, config, now)
    const limit = stamp(new Date(now.getTime() + config.hooks.expiryDays * DAY_MS))
    for (const [role, end] of Object.entries(expires ?? {})) {
      // the others live for days and are renewed by machines: only that they are over is news
      const isLong = role === 'root' || role === 'targets'
      const isNear = end < (isLong ? limit : stamp(now))
      await this.#turn(config, 'expiring', role, isNear, `the ${role} metadata ends ${end}`)
    }
  }

  async #turn(
    config: Config,
    event: HookEvent,
    what: string,
    holds: boolean,
    message: string,
  ): Promise<void> {
    const key = `${event} ${what}`
    if (!holds) this.#begun.delete(key)
    else if (!this.#begun.has(key)) {
      this.#begun.add(key)
      await this.#tell(config, event, message, {})
    }
  }

  async #tell({ hooks }: Config, event: HookEvent, message: string, facts: object): Promise<void> {
    const { now, out } = this.#context
    const { uuid } = this.#mirror.marker
    out.say(`${event}: ${message}`)
    const happening = { event, at: stamp(now()), message, mirror: uuid, ...facts }
    await tell(hooks, happening, line => out.say(line))
  }
}

function reasonOf(run: RunRecord | undefined): string {
  const held = Number(run?.['held'] ?? 0)
  return held > 0 ? `${held} crates are held` : String(run?.['error'] ?? 'see runs')
}
