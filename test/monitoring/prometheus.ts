import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { expect } from 'vitest'

export const promtool = (...args: string[]): Promise<unknown> =>
  promisify(execFile)('promtool', args)

export async function hasPrometheus(): Promise<boolean> {
  return await promtool('--version').then(
    () => true,
    () => false,
  )
}

/** A real Prometheus that reads one server each second. */
export class Prometheus implements AsyncDisposable {
  readonly #child: ReturnType<typeof spawn>
  readonly #url: string

  private constructor(folder: string, port: number) {
    this.#url = `http://127.0.0.1:${port}`
    const args = [
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder, 'tsdb')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ]
    this.#child = spawn('prometheus', args, { stdio: 'ignore' })
  }

  static async over(url: string, folder: string): Promise<Prometheus> {
    const config = {
      global: { scrape_interval: '1s' },
      scrape_configs: [
        { job_name: 'crateferry', static_configs: [{ targets: [new URL(url).host] }] },
      ],
    }
    await writeFile(join(folder, 'prometheus.yml'), JSON.stringify(config))
    return new Prometheus(folder, await freePort())
  }

  /** What it answers, once it has an answer; an expression it does not understand is thrown. */
  async ask(expression: string): Promise<readonly unknown[]> {
    const query = new URLSearchParams({ query: expression })
    for (const end = performance.now() + 30_000; ; await sleep(200)) {
      const answer = await fetch(`${this.#url}/api/v1/query?${query}`).catch(() => undefined)
      const { status, error, data } =
        answer?.ok || answer?.status === 400 ? await answer.json() : {}
      if (status === 'error') throw new Error(`${expression}: ${error}`)
      if (data?.result.length > 0) return data.result
      if (performance.now() > end) expect.fail(`nothing is known of ${expression}`)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGTERM')
    await once(this.#child, 'exit')
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}
