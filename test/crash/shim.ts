import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { mkdtemp, mkdtempDisposable, readFile, realpath, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'

/**
 * Rig 1: runs a program with every changing call below a folder counted, and one of them failing.
 * The work is done by shim.c, preloaded; this builds it and drives it. A crash test runs n = 1, 2, …
 * on fresh state until a run was not `reached`.
 */
export interface Fault {
  /** The number of the call that fails, from 1. */
  readonly call: number
  /** KILL ends all processes before the call; SHORT lets a write write half and says so. */
  readonly kind: 'KILL' | 'EIO' | 'ENOSPC' | 'SHORT'
  /** Whether every later call fails alike, as on a disk that is full and stays full. */
  readonly lasting?: boolean
}

export interface FaultRun {
  readonly exit: number | null
  readonly signal: NodeJS.Signals | null
  /** How many changing calls were counted, the failed one included. */
  readonly calls: number
  /** Whether the failing call was come to; false with `count`. */
  readonly reached: boolean
  /** One line a call, `number call path`: line n - 1 is the point that failed. */
  readonly log: readonly string[]
  readonly stdout: string
  readonly stderr: string
}

let built: Promise<string | undefined> | undefined

/** The shim's path; undefined, with the reason on stderr, where it cannot be built or preloaded. */
export function buildShim(): Promise<string | undefined> {
  built ??= build()
  return built
}

async function build(): Promise<string | undefined> {
  if (process.platform !== 'linux') return withoutShim(`no LD_PRELOAD on ${process.platform}`)
  const folder = await mkdtemp(join(tmpdir(), 'crateferry-shim-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const library = join(folder, 'shim.so')
  const source = join(import.meta.dirname, 'shim.c')
  const options = ['-O2', '-Wall', '-Wextra', '-Werror', '-shared', '-fPIC', '-o', library, source]
  const complaints: string[] = []
  for (const compiler of ['gcc', 'cc']) {
    try {
      await promisify(execFile)(compiler, [...options, '-ldl'])
      return library
    } catch (error) {
      complaints.push(String(error))
    }
  }
  return withoutShim(complaints.join('\n'))
}

/** A missing compiler must not look like a crash test that passed. */
function withoutShim(reason: string): undefined {
  process.stderr.write(`NO CRASH TESTS: the fault shim cannot be built (install gcc): ${reason}\n`)
}

/**
 * Runs `command` with the shim in a process group of its own, which is gone when this returns.
 * Only calls at or below `prefix` count. On abort the group is killed.
 */
export async function runWithFault(
  command: string,
  args: readonly string[],
  options: {
    readonly prefix: string
    readonly fault: Fault | 'count'
    readonly env?: NodeJS.ProcessEnv
    readonly signal: AbortSignal
  },
): Promise<FaultRun> {
  const shim = await buildShim()
  if (shim === undefined) throw new Error('the fault shim cannot be built here')
  await using folder = await mkdtempDisposable(join(tmpdir(), 'crateferry-fault-'))
  const counter = join(folder.path, 'counter')
  const log = join(folder.path, 'log')
  await Promise.all([writeFile(counter, new Uint8Array(8)), writeFile(log, '')])
  const env = {
    ...(options.env ?? process.env),
    LD_PRELOAD: shim,
    // libuv's ring would change files without a call that the shim can see
    UV_USE_IO_URING: '0',
    FAULT_PREFIX: await realpath(options.prefix),
    FAULT_COUNTER: counter,
    FAULT_LOG: log,
    FAULT: faultText(options.fault),
  }
  const ended = await runInGroup(command, args, { env, signal: options.signal })
  const calls = Number((await readFile(counter)).readBigUInt64LE())
  return {
    ...ended,
    calls,
    reached: options.fault !== 'count' && calls >= options.fault.call,
    log: (await readFile(log, 'utf8')).split('\n').slice(0, -1).sort(byNumber),
  }
}

const faultText = (fault: Fault | 'count'): string =>
  fault === 'count' ? fault : `${fault.lasting ? 'from' : 'any'}:${fault.call}:${fault.kind}`

/** Threads write their lines after they took their numbers, so lines may have overtaken each other. */
const byNumber = (a: string, b: string): number => Number.parseInt(a, 10) - Number.parseInt(b, 10)

async function runInGroup(
  command: string,
  args: readonly string[],
  options: { readonly env: NodeJS.ProcessEnv; readonly signal: AbortSignal },
): Promise<Pick<FaultRun, 'exit' | 'signal' | 'stdout' | 'stderr'>> {
  options.signal.throwIfAborted()
  const child = spawn(command, args, {
    env: options.env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const stop = (): void => killGroup(child.pid)
  options.signal.addEventListener('abort', stop, { once: true })
  try {
    const output = Promise.all([text(child.stdout), text(child.stderr)])
    const [exit, signal] = await once(child, 'exit')
    stop()
    const [stdout, stderr] = await output
    options.signal.throwIfAborted()
    return { exit, signal, stdout, stderr }
  } finally {
    options.signal.removeEventListener('abort', stop)
  }
}

function killGroup(leader: number | undefined): void {
  if (leader === undefined) return
  try {
    process.kill(-leader, 'SIGKILL')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
