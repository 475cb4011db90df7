import { once } from 'node:events'
import { chmodSync, existsSync, unlinkSync } from 'node:fs'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import { MirrorError } from '../error.ts'

/** What a running daemon can be asked to do, or to tell. */
export const VERBS = ['sync-now', 'pause', 'resume', 'reload', 'runs', 'status'] as const
export type Verb = (typeof VERBS)[number]

/** Those that change nothing. */
const TELLING: readonly string[] = ['runs', 'status']

const SOCKET_PATH_BYTES_MAX = 107

/**
 * Listens on a Unix socket that its owner and group may use: `POST /sync-now`, `GET /runs`, an answer
 * as JSON. There is no control over TCP.
 * @throws {MirrorError} busy where another daemon has it; usage; io
 */
export async function listenForControl(
  path: string,
  answer: (verb: Verb) => Promise<object> | object,
): Promise<AsyncDisposable> {
  if (Buffer.byteLength(path) > SOCKET_PATH_BYTES_MAX) {
    throw new MirrorError(
      'usage',
      `the control socket ${path} has a longer name than a socket can have; set serve.control`,
    )
  }
  await removeStale(path)
  const server = createServer((asked, response) => {
    reply(asked, response, answer).catch(() => response.destroy())
  })
  server.listen(path)
  try {
    await once(server, 'listening')
    chmodSync(path, 0o660)
  } catch (error) {
    throw new MirrorError('io', `cannot listen on ${path}`, { cause: error })
  }
  return {
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** Of a daemon that was killed; a living one answers. */
async function removeStale(path: string): Promise<void> {
  if (!existsSync(path)) return
  try {
    await askControl(path, 'status')
  } catch {
    unlinkSync(path)
    return
  }
  throw new MirrorError('busy', `a daemon answers on ${path} already`)
}

async function reply(
  asked: IncomingMessage,
  response: ServerResponse,
  answer: (verb: Verb) => Promise<object> | object,
): Promise<void> {
  const verb = VERBS.find(one => asked.url === `/${one}`)
  const method = verb !== undefined && TELLING.includes(verb) ? 'GET' : 'POST'
  const status = verb === undefined ? 404 : asked.method === method ? 200 : 405
  const body = verb !== undefined && status === 200 ? await answer(verb) : { ok: false, status }
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(`${JSON.stringify(body)}\n`)
}

const PATIENCE_MS = 10_000

/** What the daemon that listens there says. @throws {MirrorError} no-mirror where none does */
export async function askControl(path: string, verb: Verb): Promise<Record<string, unknown>> {
  const method = TELLING.includes(verb) ? 'GET' : 'POST'
  try {
    const asked = request({ socketPath: path, path: `/${verb}`, method, timeout: PATIENCE_MS })
    asked.on('timeout', () => asked.destroy(new Error('it does not answer')))
    asked.end()
    const [response] = (await once(asked, 'response')) as [IncomingMessage]
    return JSON.parse(await text(response)) as Record<string, unknown>
  } catch (error) {
    throw new MirrorError('no-mirror', `no daemon answers on ${path}; is it running?`, {
      cause: error,
    })
  }
}
