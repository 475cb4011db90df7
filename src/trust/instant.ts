/**
 * `YYYY-MM-DDTHH:MM:SSZ`, the only form of a date that TUF 4.2.1 knows. All are equally wide, so
 * comparing the texts compares the times.
 */
export type Instant = string & { readonly __brand: 'Instant' }

const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/

/** Undefined unless it is a real date: `Date.parse` alone takes 30 February and 24:00:00. */
export function parseInstant(value: unknown): Instant | undefined {
  if (typeof value !== 'string' || !INSTANT.test(value)) return undefined
  const milliseconds = Date.parse(value)
  if (Number.isNaN(milliseconds)) return undefined
  return instantOf(new Date(milliseconds)) === value ? (value as Instant) : undefined
}

/** The second that `date` lies in. */
export function instantOf(date: Date): Instant {
  return `${date.toISOString().slice(0, 19)}Z` as Instant
}

export function secondsAfter(instant: Instant, seconds: number): Instant {
  return instantOf(new Date(Date.parse(instant) + seconds * 1000))
}
