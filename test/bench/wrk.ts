import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** What one run of wrk found. */
export interface Served {
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly bytesPerSecond: number
}

/** One thread asks for the paths in turn over 32 connections, which is enough to keep a server of one thread busy. */
export async function wrk(
  url: string,
  asked: {
    readonly scratch: string
    readonly paths: readonly string[]
    readonly headers: Readonly<Record<string, string>>
    readonly seconds: number
    /** What every answer must be. */
    readonly status: number
  },
): Promise<Served> {
  const script = join(asked.scratch, 'wrk.lua')
  const list = join(asked.scratch, 'paths')
  writeFileSync(list, asked.paths.map(path => `${path}\n`).join(''))
  writeFileSync(script, luaFor(list, asked.headers, asked.status))
  const args = ['-t1', '-c32', `-d${asked.seconds}s`, '-s', script, url]
  const { stdout } = await promisify(execFile)('wrk', args)
  const told = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Told
  if (told.other > 0 || told.errors > 0 || told.requests === 0) {
    throw new Error(`${url}: ${told.other} answers were not ${asked.status}, ${told.errors} errors`)
  }
  const seconds = told.microseconds / 1e6
  return {
    perSecond: told.requests / seconds,
    p50Ms: told.p50 / 1000,
    p99Ms: told.p99 / 1000,
    bytesPerSecond: told.bytes / seconds,
  }
}

interface Told {
  readonly requests: number
  readonly microseconds: number
  readonly bytes: number
  /** Microseconds. */
  readonly p50: number
  readonly p99: number
  readonly errors: number
  readonly other: number
}

function luaFor(list: string, headers: Readonly<Record<string, string>>, status: number): string {
  const lines = Object.entries(headers).map(
    ([name, value]) => `wrk.headers['${name}'] = '${value}'`,
  )
  return `local paths, at, thread = {}, 0, nil
for line in io.lines('${list}') do paths[#paths + 1] = line end
${lines.join('\n')}
function setup(one) thread = one end
function init() other = 0 end
function request()
  at = at % #paths + 1
  return wrk.format('GET', paths[at])
end
function response(status) if status ~= ${status} then other = other + 1 end end
function done(summary, latency)
  local errors = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format('{"requests":%d,"microseconds":%d,"bytes":%d,"p50":%d,"p99":%d,"errors":%d,"other":%d}\\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99), errors, thread:get('other')))
end
`
}
