import { InvalidArgumentError } from 'commander'

const BYTES: Readonly<Record<string, number>> = { '': 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 }
const SECONDS: Readonly<Record<string, number>> = { d: 86_400, h: 3600 }

/** `4700000000`, `512MiB`: bytes. */
export function size(text: string): number {
  const [, count, unit = ''] = /^([1-9][0-9]{0,12})(KiB|MiB|GiB)?$/.exec(text) ?? []
  const bytes = Number(count) * (BYTES[unit] ?? Number.NaN)
  if (Number.isSafeInteger(bytes)) return bytes
  throw new InvalidArgumentError('expected bytes, or a number with KiB, MiB or GiB')
}

const DURATION = /^([0-9]{1,5})([dh])$/

export function isDuration(text: string): boolean {
  return DURATION.test(text)
}

/** `30d`, `12h`: seconds. */
export function duration(text: string): number {
  const [, count, unit = ''] = DURATION.exec(text) ?? []
  const seconds = Number(count) * (SECONDS[unit] ?? Number.NaN)
  if (Number.isSafeInteger(seconds)) return seconds
  throw new InvalidArgumentError('expected a number of days or hours, as "30d" or "12h"')
}

export function wholeNumber(text: string): number {
  if (/^[0-9]{1,15}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('expected a whole number')
}
