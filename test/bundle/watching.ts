import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'vitest'

export interface Watching extends AsyncDisposable {
  /** What it has told on stderr so far. */
  readonly said: string
  until(said: RegExp): Promise<void>
}

/** `bundle import --watch` on a folder, until it is disposed of, when it must end well. */
export async function watch(inbox: string, mirror: string): Promise<Watching> {
  const child = spawn(
    process.execPath,
    ['bin/crateferry.js', 'bundle', 'import', '--watch', inbox, '--mirror', mirror],
    { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, NODE_OPTIONS: '' } },
  )
  let said = ''
  child.stderr.setEncoding('utf8').on('data', text => {
    said += text
  })
  child.stdout.resume()
  const until = async (what: RegExp): Promise<void> => {
    for (const end = performance.now() + 40_000; said.search(what) < 0; await sleep(50)) {
      if (performance.now() > end) expect.fail(`it never told ${what}, only:\n${said}`)
    }
  }
  await until(/watching/)
  return {
    get said() {
      return said
    },
    until,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGINT')
      const [exit] = await once(child, 'exit')
      expect(exit, said).toBe(0)
    },
  }
}
