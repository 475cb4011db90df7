const HTTP_DATE =
  /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/

/** A date as HTTP is to write it today (RFC 9110 5.6.7); the two obsolete forms are none. */
export function isHttpDate(value: unknown): value is string {
  return typeof value === 'string' && HTTP_DATE.test(value) && !Number.isNaN(Date.parse(value))
}
