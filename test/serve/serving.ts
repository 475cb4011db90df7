import { mkdtempDisposable } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { test as base } from 'vitest'
import { type RunningServer, type ServeOptions, startServer } from '../../src/serve/server.ts'
import { MirrorReader } from '../../src/store/reader.ts'
import { PlainMirror } from './plain-mirror.ts'

/** A mirror's folder with a server in front of it, and what that server logged. */
export class Serving {
  readonly mirror: PlainMirror
  readonly server: RunningServer
  readonly log: readonly string[]

  private constructor(mirror: PlainMirror, server: RunningServer, log: readonly string[]) {
    this.mirror = mirror
    this.server = server
    this.log = log
  }

  static async start(
    mirror: PlainMirror,
    limits: ServeOptions['limits'] = {},
    certificate?: ServeOptions['certificate'],
  ): Promise<Serving> {
    const log: string[] = []
    const server = await startServer({
      reader: new MirrorReader(mirror.root),
      listen: { host: '127.0.0.1', port: 0 },
      url: 'http://unused.example',
      log: line => log.push(line),
      limits,
      certificate,
    })
    return new Serving(mirror, server, log)
  }

  async get(path: string, headers: Record<string, string> = {}): Promise<Response> {
    return await fetch(`${this.server.url}/${path}`, { headers })
  }

  /** The status and the body as text, which is one line where something is refused. */
  async ask(path: string): Promise<readonly [number, string]> {
    const answer = await this.get(path)
    return [answer.status, await answer.text()]
  }

  /** A connection that has sent these bytes; what it does next is the test's matter. */
  socket(request: string = ''): Socket {
    const socket = connect(this.server.port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write(request)
    return socket
  }

  /** Bytes as they are, since clients tidy up what they are asked to send. */
  async raw(request: string): Promise<string> {
    return await text(this.socket(request))
  }
}

/** A GET of HTTP/1.1, for sockets. */
export const GET = (target: string, headers: string = ''): string =>
  `GET ${target} HTTP/1.1\r\nHost: a\r\n${headers}\r\n`

type Start = (
  limits?: ServeOptions['limits'],
  certificate?: ServeOptions['certificate'],
) => Promise<Serving>

/** `mirror` is an empty folder; `start` puts a server in front of it, which ends with the test. */
export const test = base
  .extend('mirror', async ({}, { onCleanup }) => {
    const folder = await mkdtempDisposable(join(tmpdir(), 'crateferry-serve-'))
    onCleanup(() => folder.remove())
    return new PlainMirror(folder.path)
  })
  .extend('start', async ({ mirror }, { onCleanup }): Promise<Start> => {
    const started: Serving[] = []
    onCleanup(async () => {
      for (const { server } of started) await server.close()
    })
    return async (limits, certificate) => {
      const serving = await Serving.start(mirror, { drainMs: 100, ...limits }, certificate)
      started.push(serving)
      return serving
    }
  })
