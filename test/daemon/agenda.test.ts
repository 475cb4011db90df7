import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Agenda, type AgendaPlan } from '../../src/daemon/agenda.ts'
import { parseSchedule } from '../../src/daemon/schedule.ts'
import { parseWeekHours } from '../../src/daemon/week.ts'

const NOON = new Date(2026, 10, 23, 12)
const later = (minutes: number): Date => new Date(NOON.getTime() + minutes * 60_000)

function plan(schedule = '1h', windows: string[] = [], jitterMs = 0): AgendaPlan {
  return {
    schedule: parseSchedule(schedule),
    jitterMs,
    windows: windows.flatMap(text => parseWeekHours(text) ?? []),
  }
}

const agenda = (given: AgendaPlan, last?: Date): Agenda =>
  new Agenda(given, { last, random: () => 0.5 })

test('the first sync is due at once, the next after the interval', () => {
  const one = agenda(plan())
  expect(one.isDue(NOON)).toBe(true)
  one.began()
  one.ended(NOON, 'done')
  expect(one.isDue(later(59))).toBe(false)
  expect(one.isDue(later(60))).toBe(true)
})

test('jitter delays, by a part of it drawn for each time', () => {
  const one = agenda(plan('1h', [], 600_000), NOON)
  expect(one.isDue(later(64))).toBe(false)
  expect(one.isDue(later(65))).toBe(true)
})

test('what was missed while the machine slept is due at once, and once', () => {
  const one = agenda(plan('0 3 * * *'), new Date(NOON.getTime() - 5 * 86_400_000))
  expect(one.isDue(NOON)).toBe(true)
  one.began()
  one.ended(NOON, 'done')
  expect(one.isDue(later(1))).toBe(false)
  expect(one.expectedAt(NOON)).toEqual(new Date(2026, 10, 24, 3))
})

test('outside its windows nothing is due but what somebody asks for', () => {
  const one = agenda(plan('1h', ['20:00-06:00']))
  expect(one.isDue(NOON)).toBe(false)
  expect(one.expectedAt(NOON)).toEqual(new Date(2026, 10, 23, 20))
  one.ask()
  expect(one.isDue(NOON)).toBe(true)
  one.began()
  expect(one.isDue(NOON)).toBe(false)
  expect(one.isDue(new Date(2026, 10, 23, 20))).toBe(true)
})

test('a pause holds back whatever is due or asked for', () => {
  const one = agenda(plan())
  one.isPaused = true
  one.ask()
  expect(one.isDue(NOON)).toBe(false)
  expect(one.expectedAt(NOON)).toBeUndefined()
  one.isPaused = false
  expect(one.isDue(NOON)).toBe(true)
})

test('passing trouble is tried again soon, then ever later, never later than the schedule', () => {
  const one = agenda(plan('1h'))
  const waits: number[] = []
  let now = NOON
  for (let n = 0; n < 8; n += 1) {
    one.began()
    one.ended(now, 'again')
    const next = one.expectedAt(now) ?? now
    waits.push((next.getTime() - now.getTime()) / 1000)
    now = next
  }
  expect(waits).toEqual([22.5, 45, 90, 180, 360, 675, 675, 675])
  // the link is back
  one.linkChanged()
  expect(one.isDue(now)).toBe(true)
  one.ended(now, 'done')
  expect(one.failures).toBe(0)
  one.linkChanged()
  expect(one.isDue(now)).toBe(false)
})

test('without a schedule it waits to be asked, and a new plan takes its place', () => {
  const one = agenda({ schedule: undefined, jitterMs: 0, windows: [] }, NOON)
  expect(one.isDue(later(1e6))).toBe(false)
  one.change(plan('10m'), NOON)
  expect(one.isDue(later(10))).toBe(true)
})

test('however the clock is set, it never waits longer than one interval and its jitter', () => {
  const jumps = fc.array(fc.integer({ min: -1e6, max: 1e6 }), { maxLength: 20 })
  fc.assert(
    fc.property(jumps, minutes => {
      const one = agenda(plan('1h', [], 600_000), NOON)
      let now = NOON
      for (const jump of minutes) {
        now = new Date(now.getTime() + jump * 60_000)
        if (one.isDue(now)) {
          one.began()
          one.ended(now, 'done')
        }
        const expected = one.expectedAt(now) ?? now
        expect(expected.getTime() - now.getTime()).toBeLessThanOrEqual(70 * 60_000)
      }
    }),
  )
})
