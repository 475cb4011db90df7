import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'

/** What a command cost, its children's CPU included. */
export interface Cost {
  readonly exit: number | null
  readonly seconds: number
  readonly cpuSeconds: number
  /** Peak resident bytes of the largest single process: VmHWM, read until it ends. */
  readonly peakBytes: number
}

/** Runs a command and measures it as a whole, by the operating system's own account. */
export async function measured(command: string, args: readonly string[]): Promise<Cost> {
  const begun = performance.now()
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'inherit'] })
  let peakBytes = 0
  let cpuSeconds = 0
  const watch = setInterval(() => {
    peakBytes = Math.max(peakBytes, peakOf(child.pid ?? 0))
    cpuSeconds = Math.max(cpuSeconds, cpuOf(child.pid ?? 0))
  }, 20)
  const [exit] = (await once(child, 'exit')) as [number | null]
  clearInterval(watch)
  return { exit, seconds: (performance.now() - begun) / 1000, cpuSeconds, peakBytes }
}

/** The largest of the process and its children. */
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

const TICKS = 100

/** User and system time of the process and of its children that have ended (proc(5), fields 14-17). */
function cpuOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / TICKS
  } catch {
    return 0
  }
}
