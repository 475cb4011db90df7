import type { Bandwidth } from './daemon/bandwidth.ts'
import { parseSchedule } from './daemon/schedule.ts'
import { parseWeekHours, type WeekHours } from './daemon/week.ts'
import { quoted } from './error.ts'
import { redacted } from './registry/config-json.ts'
import { parseCratePattern } from './registry/crate-pattern.ts'

/** A value as the file has it, made what the program works with. @throws {Error} that names the key */
export type Reader = (value: unknown, key: string) => unknown

export function integer(min: number, max: number): Reader {
  return (value, key) => {
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min && value <= max) {
      return value
    }
    throw new Error(`${key} is ${shown(value)}, expected a whole number from ${min} to ${max}`)
  }
}

export function oneOf(...words: readonly string[]): Reader {
  return (value, key) => {
    if (typeof value === 'string' && words.includes(value)) return value
    throw new Error(`${key} is ${shown(value)}, expected ${words.map(w => `"${w}"`).join(' or ')}`)
  }
}

export function flag(value: unknown, key: string): boolean {
  if (typeof value === 'boolean') return value
  throw new Error(`${key} is ${shown(value)}, expected true or false`)
}

export function text(value: unknown, key: string): string {
  // what goes into a header must not bring a line of its own
  if (typeof value === 'string' && /^[\x20-\x7e]{1,200}$/.test(value)) return value
  throw new Error(`${key} is ${shown(value)}, expected 1 to 200 printable ASCII characters`)
}

export function listOf(what: string, one: Reader): Reader {
  return (value, key) => {
    if (Array.isArray(value)) return Object.freeze(value.map((it, i) => one(it, `${key}[${i}]`)))
    throw new Error(`${key} is ${shown(value)}, expected ${what}`)
  }
}

export function cratePattern(value: unknown, key: string): string {
  if (typeof value === 'string' && parseCratePattern(value) !== undefined) return value
  throw new Error(
    `${key} is ${shown(value)}, expected a crate or CRATE@VERSION, in which * and ? stand for others`,
  )
}

/** As `URL.host` spells it, which is what a redirect is compared with. */
export function host(value: unknown, key: string): string {
  const isPlain = typeof value === 'string' && /^[a-z0-9_.:[\]-]+$/i.test(value)
  const url = isPlain ? URL.parse(`https://${value}/`) : null
  if (url !== null) return url.host
  throw new Error(`${key} is ${shown(value)}, expected a host without scheme or path`)
}

/** As `URL.hostname` spells it, or `.` before it, or `*`. */
export function bypass(value: unknown, key: string): string {
  if (value === '*') return value
  const [, dot = '', name] =
    typeof value === 'string'
      ? (/^(\.?)([a-z0-9_][a-z0-9_.-]*|\[[0-9a-f:]+\])$/i.exec(value) ?? [])
      : []
  const url = name === undefined ? null : URL.parse(`https://${name}/`)
  if (url !== null) return `${dot}${url.hostname}`
  throw new Error(`${key} is ${shown(value)}, expected a host without port, ".SUFFIX" or "*"`)
}

export function siteName(value: unknown, key: string): string {
  if (typeof value === 'string' && /^[a-z0-9-]{1,16}$/.test(value)) return value
  throw new Error(`${key} is ${shown(value)}, expected 1 to 16 of a-z, 0-9 and "-"`)
}

export function path(value: unknown, key: string): string {
  if (typeof value === 'string' && /^[^\0]{1,4096}$/.test(value)) return value
  throw new Error(`${key} is ${shown(value)}, expected the path of a file`)
}

/** It is not shown where it is wrong: a password may be anywhere in it, escaped or not. */
export function proxyUrl(value: unknown, key: string): string {
  const url = typeof value === 'string' && !/[?#]/.test(value) ? URL.parse(value) : null
  if (url !== null && /^https?:$/.test(url.protocol) && url.pathname === '/' && isDecodable(url)) {
    return url.href
  }
  throw new Error(
    `${key} is not an http or https URL of a host, as "http://USER:PASSWORD@HOST:PORT" with user and password percent-encoded`,
  )
}

function isDecodable({ username, password }: URL): boolean {
  try {
    decodeURIComponent(username + password)
    return true
  } catch {
    return false
  }
}

export function address(value: unknown, key: string): string {
  const port = /^(?:\[[0-9a-f:]+\]|[^:[\]/ ]+):([0-9]{1,5})$/i.exec(String(value))?.[1]
  if (typeof value === 'string' && port !== undefined && Number(port) <= 65_535) return value
  throw new Error(`${key} is ${shown(value)}, expected "ADDRESS:PORT"`)
}

export function httpUrl(value: unknown, key: string): string {
  const url = typeof value === 'string' && !/[?#]/.test(value) ? URL.parse(value) : null
  const isPlain = url !== null && url.username === '' && url.password === ''
  if (isPlain && (url.protocol === 'https:' || url.protocol === 'http:')) {
    return url.href.replace(/\/+$/, '')
  }
  const given = shown(typeof value === 'string' ? redacted(value) : value)
  throw new Error(`${key} is ${given}, expected an http or https URL without user or query`)
}

/** A `dl` as config.json has it: cargo's markers stay as they are written. */
export function downloads(value: unknown, key: string): string {
  httpUrl(typeof value === 'string' ? value.replaceAll(/\{[a-z0-9-]+\}/g, 'x') : value, key)
  return String(value)
}

/** The API of crates.io allows one request a second and is not for mirrors. */
export function bulkUrl(read: (value: unknown, key: string) => string): Reader {
  return (value, key) => {
    const text = read(value, key)
    const host = URL.parse(text.replaceAll(/[{}]/g, ''))?.hostname
    if (host !== 'crates.io' && host !== 'www.crates.io') return text
    throw new Error(
      `${key} is on ${host}, the API host, which is not for bulk; crates.io's hosts for it are index.crates.io and static.crates.io`,
    )
  }
}

/** Where a key is to be had; reading it is for whoever signs. */
export function keyUri(value: unknown, key: string): string {
  const uri = /^(?:file:[^\0]+|env:[A-Za-z_][A-Za-z0-9_]*|exec: *[^\0 ][^\0]*)$/
  if (typeof value === 'string' && uri.test(value)) {
    return value
  }
  throw new Error(`${key} is ${shown(value)}, expected "file:PATH", "env:NAME" or "exec:COMMAND"`)
}

function shown(value: unknown): string {
  if (typeof value === 'string') return quoted(value)
  if (Array.isArray(value)) return 'a list'
  if (value instanceof Date) return 'a date'
  return typeof value === 'object' ? 'a table' : String(value)
}

/** A schedule, as its text: when it is due is for the daemon to tell. */
export function schedule(value: unknown, key: string): string {
  if (typeof value === 'string' && parseSchedule(value) !== undefined) return value
  throw new Error(
    `${key} is ${shown(value)}, expected an interval as "45m", "4h", "1d", or cron's five fields as "30 2 * * *"`,
  )
}

export function weekHours(value: unknown, key: string): WeekHours {
  const hours = typeof value === 'string' ? parseWeekHours(value) : undefined
  if (hours !== undefined) return Object.freeze(hours)
  throw new Error(
    `${key} is ${shown(value)}, expected days and hours as "mon-fri 20:00-06:00", "sat,sun", "01:00-05:30"`,
  )
}

const RATE = /^(?:(.+) )?(?:([1-9][0-9]{0,5})(KiB|MiB|GiB)|unlimited)$/
const UNIT_BYTES = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30 }

export function bandwidth(value: unknown, key: string): Bandwidth {
  const [all, when, count, unit] = typeof value === 'string' ? (RATE.exec(value) ?? []) : []
  const hours = when === undefined ? undefined : parseWeekHours(when)
  if (all !== undefined && (when === undefined) === (hours === undefined)) {
    const bytes = Number(count) * UNIT_BYTES[unit as keyof typeof UNIT_BYTES]
    return Object.freeze({ hours, bytesPerSecond: count === undefined ? undefined : bytes })
  }
  throw new Error(
    `${key} is ${shown(value)}, expected a rate a second, with or without hours: "mon-fri 08:00-18:00 2MiB", "20MiB", "sat,sun unlimited"`,
  )
}
