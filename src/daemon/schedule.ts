import { Cron } from 'croner'

/** When something is due again. */
export interface Schedule {
  /** The first time after `last`, which may lie in the past where nobody was there to see it. */
  after(last: Date): Date
}

const INTERVAL = /^([1-9][0-9]{0,5})(m|h|d)$/
const UNIT_MS = { m: 60_000, h: 3_600_000, d: 86_400_000 }
const YEAR_MS = 366 * 86_400_000

/** `45m`, `4h`, `1d`, or cron's five fields, local time. Undefined: neither, or never. */
export function parseSchedule(text: string): Schedule | undefined {
  const [, count, unit] = INTERVAL.exec(text) ?? []
  if (count !== undefined) {
    const ms = Number(count) * UNIT_MS[unit as keyof typeof UNIT_MS]
    return ms > YEAR_MS ? undefined : { after: last => new Date(last.getTime() + ms) }
  }
  return cronSchedule(text)
}

function cronSchedule(text: string): Schedule | undefined {
  if (text.split(' ').length !== 5) return undefined
  let cron: Cron
  try {
    cron = new Cron(text, { paused: true, mode: '5-part' })
  } catch {
    return undefined
  }
  // the 30th of February is well formed
  if (cron.nextRun(new Date(0)) === null) return undefined
  return { after: last => cron.nextRun(last) ?? new Date(8.64e15) }
}
