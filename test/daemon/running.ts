import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'
import { type Ended, expectExit } from '../crateferry.ts'

/** A daemon that runs, until it is disposed of, when it must end well. */
export class Running implements AsyncDisposable {
  readonly mirror: string
  readonly #child: ReturnType<typeof spawn>
  said = ''

  private constructor(mirror: string, env: Readonly<Record<string, string>>) {
    this.mirror = mirror
    const args = ['bin/crateferry.js', 'daemon', '--mirror', mirror, '--listen', '127.0.0.1:0']
    this.#child = spawn(process.execPath, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, NODE_OPTIONS: '', CRATEFERRY_MIRROR: '', ...env },
    })
    this.#child.stderr?.setEncoding('utf8').on('data', text => {
      this.said += text
    })
  }

  static async of(mirror: string, env: Readonly<Record<string, string>> = {}): Promise<Running> {
    const running = new Running(mirror, env)
    await running.until(/serving .* at http/)
    return running
  }

  get url(): string {
    return /serving \S+ at (https?:\/\/[^\s;]+)/.exec(this.said)?.[1] ?? ''
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** Waits until it has told so, `times` times. */
  async until(what: RegExp, times = 1): Promise<void> {
    const all = new RegExp(what, 'g')
    for (const end = performance.now() + 40_000; ; await sleep(50)) {
      if ((this.said.match(all) ?? []).length >= times) return
      if (performance.now() > end) expect.fail(`it never told ${what}, only:\n${this.said}`)
    }
  }

  async ctl(verb: string, exit = 0): Promise<Ended> {
    return await expectExit(exit, 'ctl', verb, '--mirror', this.mirror, '--json')
  }

  async kill(signal: NodeJS.Signals): Promise<number | null> {
    this.#child.kill(signal)
    const [exit] = await once(this.#child, 'exit')
    return exit
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    expect(await this.kill('SIGTERM'), this.said).toBe(0)
  }
}
