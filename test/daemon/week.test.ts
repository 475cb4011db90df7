import { expect, test } from 'vitest'
import { parseSchedule } from '../../src/daemon/schedule.ts'
import { isWithin, parseWeekHours } from '../../src/daemon/week.ts'

/** Local time, as an operator says it: 2026-11-23 is a Monday. */
const at = (day: number, hour: number, minute = 0): Date =>
  new Date(2026, 10, 22 + day, hour, minute)
const [SUN, MON, FRI, SAT] = [0, 1, 5, 6]

function within(text: string, time: Date): boolean {
  const hours = parseWeekHours(text)
  if (hours === undefined) throw new Error(`${text} is no week hours`)
  return isWithin(hours, time)
}

test('hours of a day begin with their first minute and end before their last', () => {
  expect(within('mon-fri 08:00-18:00', at(MON, 8))).toBe(true)
  expect(within('mon-fri 08:00-18:00', at(MON, 7, 59))).toBe(false)
  expect(within('mon-fri 08:00-18:00', at(FRI, 17, 59))).toBe(true)
  expect(within('mon-fri 08:00-18:00', at(FRI, 18))).toBe(false)
  expect(within('mon-fri 08:00-18:00', at(SAT, 12))).toBe(false)
  expect(within('00:00-24:00', at(SAT, 23, 59))).toBe(true)
})

test('a night belongs to the day on which it begins', () => {
  expect(within('fri 20:00-06:00', at(FRI, 23))).toBe(true)
  expect(within('fri 20:00-06:00', at(SAT, 5, 59))).toBe(true)
  expect(within('fri 20:00-06:00', at(SAT, 6))).toBe(false)
  expect(within('fri 20:00-06:00', at(FRI, 5))).toBe(false)
  expect(within('sat 20:00-06:00', at(7 + SUN, 5))).toBe(true)
  expect(within('01:00-05:30', at(SUN, 5, 29))).toBe(true)
})

test('days alone are whole days, and a week may be gone round', () => {
  expect(within('sat,sun', at(SUN, 0))).toBe(true)
  expect(within('sat,sun', at(MON, 0))).toBe(false)
  expect(within('fri-mon', at(SAT, 12))).toBe(true)
  expect(within('fri-mon', at(3, 12))).toBe(false)
})

test('an interval counts from the last time, cron from the clock', () => {
  const last = at(MON, 10, 7)
  expect(parseSchedule('45m')?.after(last)).toEqual(at(MON, 10, 52))
  expect(parseSchedule('1d')?.after(last)).toEqual(at(2, 10, 7))
  expect(parseSchedule('30 2 * * *')?.after(last)).toEqual(at(2, 2, 30))
  expect(parseSchedule('0 */6 * * sat')?.after(last)).toEqual(at(SAT, 0))
})
