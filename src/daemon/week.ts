/** Hours that come back every week, on the clock of the place where the program runs. */
export interface WeekHours {
  /** Days on which they begin, 0 for Sunday as in `Date.getDay`. */
  readonly days: ReadonlySet<number>
  /** Minutes of the day; where the end is not after the beginning it lies on the next day. */
  readonly from: number
  readonly to: number
}

const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat']
const DAY_MINUTES = 1440
const TIME = /^([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])$/

/** `mon-fri 20:00-06:00`, `sat,sun`, `01:00-05:30`: days, hours or both. Undefined: none of these. */
export function parseWeekHours(text: string): WeekHours | undefined {
  const words = text.split(' ')
  const [first = '', second] = words
  if (words.length > 2) return undefined
  const isTimeAlone = second === undefined && first.includes(':')
  const days = isTimeAlone ? everyDay() : parseDays(first)
  const time = isTimeAlone ? first : second
  const hours = time === undefined ? { from: 0, to: DAY_MINUTES } : parseTime(time)
  return days === undefined || hours === undefined ? undefined : { days, ...hours }
}

export function isWithin({ days, from, to }: WeekHours, at: Date): boolean {
  const minute = at.getHours() * 60 + at.getMinutes()
  const today = at.getDay()
  if (from < to) return days.has(today) && minute >= from && minute < to
  const isEvening = days.has(today) && minute >= from
  return isEvening || (days.has((today + 6) % 7) && minute < to)
}

function everyDay(): ReadonlySet<number> {
  return new Set(DAYS.keys())
}

function parseDays(text: string): ReadonlySet<number> | undefined {
  const days = new Set<number>()
  for (const part of text.split(',')) {
    const [from = '', to = from, more] = part.split('-')
    const [first, last] = [DAYS.indexOf(from), DAYS.indexOf(to)]
    if (first < 0 || last < 0 || more !== undefined) return undefined
    for (let day = first; ; day = (day + 1) % 7) {
      days.add(day)
      if (day === last) break
    }
  }
  return days
}

function parseTime(text: string): { readonly from: number; readonly to: number } | undefined {
  const [, h1, m1, h2, m2] = TIME.exec(text) ?? []
  if (h1 === undefined) return undefined
  const [from, to] = [Number(h1) * 60 + Number(m1), Number(h2) * 60 + Number(m2)]
  return to > DAY_MINUTES || from === to ? undefined : { from, to }
}
