import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'

/** What a script cost, with all that it started and waited for. */
export interface Cost {
  readonly seconds: number
  readonly userSeconds: number
  readonly systemSeconds: number
  /** Peak resident bytes of its largest single process, but for growth in that one's last 20 ms. */
  readonly peakBytes: number
}

export const cpuSeconds = ({ userSeconds, systemSeconds }: Cost): number =>
  userSeconds + systemSeconds

export function median(numbers: readonly number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const [upper = Number.NaN, lower = upper] = [sorted[middle], sorted[middle - 1]]
  return sorted.length % 2 === 1 ? upper : (lower + upper) / 2
}

/**
 * Runs a shell script and measures it by the operating system's own account: the shell tells the CPU
 * time of what it waited for, the high-water mark of memory is read until the end. A script that
 * fails has no cost worth comparing and is an error.
 */
export async function measured(script: string, env: Record<string, string>): Promise<Cost> {
  const begun = performance.now()
  const child = spawn('sh', ['-c', `${script}\nexit=$?; times >&3; exit $exit`], {
    stdio: ['ignore', 'ignore', 'inherit', 'pipe'],
    env: { ...process.env, ...env },
  })
  const times = text(child.stdio[3] as NodeJS.ReadableStream)
  let peakBytes = 0
  const watch = setInterval(() => {
    peakBytes = Math.max(peakBytes, peakOf(child.pid ?? 0))
  }, 20)
  const [exit] = await once(child, 'exit')
  const seconds = (performance.now() - begun) / 1000
  clearInterval(watch)
  if (exit !== 0) throw new Error(`exit ${exit} of: ${script}`)
  const [userSeconds = 0, systemSeconds = 0] = childTimes(await times)
  return { seconds, userSeconds, systemSeconds, peakBytes }
}

/** The largest of a process and everything below it; 0 once it is gone. */
function peakOf(pid: number): number {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8')
    const own = Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ')
    return Math.max(own, ...children.filter(Boolean).map(child => peakOf(Number(child))))
  } catch {
    return 0
  }
}

/** The second line of POSIX `times`, `1m2.345s 0m0.678s`: user and system time of the children. */
function childTimes(printed: string): number[] {
  const line = printed.split('\n')[1] ?? ''
  return [...line.matchAll(/(\d+)m([\d.]+)s/g)].map(
    ([, minutes, seconds]) => Number(minutes) * 60 + Number(seconds),
  )
}
