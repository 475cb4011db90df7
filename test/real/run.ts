import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'

const BIN = resolve('bin/crateferry.js')
const OUTPUT_BYTES_MAX = 64_000_000

export interface RunOptions {
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
}

/** Runs a program; its stdout, or an error that holds what it said. */
export async function run(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const limits = { maxBuffer: OUTPUT_BYTES_MAX }
  return (await promisify(execFile)(command, args, { ...options, ...limits })).stdout
}

/** Runs `crateferry … --json`: what it printed. */
export async function crateferry(...args: string[]): Promise<Record<string, unknown>> {
  return JSON.parse(await run(process.execPath, [BIN, '--json', ...args]))
}

/** `crateferry serve` in a process of its own, ended by the signal an operator would send. */
export async function serve(mirror: string): Promise<AsyncDisposable & { readonly url: string }> {
  const args = [BIN, '--json', 'serve', '--mirror', mirror, '--listen', '127.0.0.1:0']
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  const [line] = await once(createInterface(child.stdout), 'line')
  return {
    url: (JSON.parse(line) as { url: string }).url,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGTERM')
      const [exit] = await ended
      if (exit !== 0) throw new Error(`serve ended with exit ${exit}`)
    },
  }
}

/** One line a step: what it was, how long it took, what came out. */
export async function timed(step: () => Promise<string>): Promise<void> {
  const begun = performance.now()
  const found = await step()
  const seconds = ((performance.now() - begun) / 1000).toFixed(1)
  console.log(`${step.name.padEnd(18)} ${seconds.padStart(6)} s  ${found}`)
}
