import type { Schedule } from './schedule.ts'
import { isWithin, type WeekHours } from './week.ts'

/** When the site allows a sync. */
export interface AgendaPlan {
  /** Undefined: only when somebody asks. */
  readonly schedule: Schedule | undefined
  /** Up to so much later, so that many mirrors do not come at once. */
  readonly jitterMs: number
  /** None: at any time. */
  readonly windows: readonly WeekHours[]
}

/** `again`: passing trouble, as a link that is down. What needs a person waits for its time like what is done. */
export type Ending = 'done' | 'again'

const AGAIN_MS = 30_000
const AGAIN_MS_MAX = 15 * 60_000
const MINUTE_MS = 60_000
const WEEK_MINUTES = 7 * 24 * 60

/**
 * When the next sync is due. Pure: whoever owns it says what time it is. Times are compared with the
 * clock at each look, so a machine that slept, or whose clock was set, is late for nothing and waits for nothing.
 */
export class Agenda {
  #plan: AgendaPlan
  #random: () => number
  #nextAt: Date | undefined
  /** Of the jitter, drawn anew for each time. */
  #fraction: number
  #failures = 0
  #isAsked = false
  isPaused = false

  constructor(
    plan: AgendaPlan,
    {
      last,
      random = Math.random,
    }: { readonly last: Date | undefined; readonly random?: () => number },
  ) {
    this.#plan = plan
    this.#random = random
    this.#fraction = random()
    this.#nextAt = this.#scheduled(last ?? new Date(0))
    if (last === undefined && this.#nextAt !== undefined) this.#nextAt = new Date(0)
  }

  /** The configuration changed: what was planned is planned anew, what failed may come at once. */
  change(plan: AgendaPlan, now: Date): void {
    this.#plan = plan
    this.#nextAt = this.#scheduled(now)
  }

  /** As soon as possible, whatever the schedule and the windows say; a pause is stronger. */
  ask(): void {
    this.#isAsked = true
  }

  /** What failed for want of a link is tried at once. */
  linkChanged(): void {
    if (this.#failures > 0) this.#nextAt = new Date(0)
  }

  isDue(now: Date): boolean {
    if (this.isPaused) return false
    if (this.#isAsked) return true
    const next = this.#next(now)
    return next !== undefined && next <= now && this.isOpen(now)
  }

  /** Whether the windows allow it. */
  isOpen(now: Date): boolean {
    const { windows } = this.#plan
    return windows.length === 0 || windows.some(window => isWithin(window, now))
  }

  /** For people: when it will be due, by the windows too; undefined: not before somebody asks. */
  expectedAt(now: Date): Date | undefined {
    if (this.isPaused) return undefined
    const next = this.#next(now)
    if (next === undefined || this.#isAsked) return this.#isAsked ? now : undefined
    let at = new Date(Math.max(next.getTime(), now.getTime()))
    for (let minutes = 0; !this.isOpen(at); minutes += 1) {
      if (minutes > WEEK_MINUTES) return undefined
      at = new Date(Math.floor(at.getTime() / MINUTE_MS) * MINUTE_MS + MINUTE_MS)
    }
    return at
  }

  began(): void {
    this.#isAsked = false
  }

  ended(now: Date, ending: Ending): void {
    this.#failures = ending === 'done' ? 0 : this.#failures + 1
    this.#fraction = this.#random()
    const scheduled = this.#scheduled(now)
    if (ending === 'done' || scheduled === undefined) {
      this.#nextAt = scheduled
      return
    }
    const again = Math.min(AGAIN_MS * 2 ** (this.#failures - 1), AGAIN_MS_MAX)
    const ms = again * (0.5 + this.#random() / 2)
    this.#nextAt = new Date(Math.min(now.getTime() + ms, scheduled.getTime()))
  }

  /** How often in a row it failed for a passing reason. */
  get failures(): number {
    return this.#failures
  }

  /** A clock that was set back must not make it wait for the time it had been. */
  #next(now: Date): Date | undefined {
    const latest = this.#scheduled(now)
    if (this.#nextAt === undefined || latest === undefined) return this.#nextAt
    if (this.#nextAt > latest) this.#nextAt = latest
    return this.#nextAt
  }

  #scheduled(last: Date): Date | undefined {
    const { schedule, jitterMs } = this.#plan
    if (schedule === undefined) return undefined
    return new Date(schedule.after(last).getTime() + this.#fraction * jitterMs)
  }
}
