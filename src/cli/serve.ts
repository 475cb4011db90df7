import { once } from 'node:events'
import { type Config, parseListen } from '../config.ts'
import { MirrorError } from '../error.ts'
import { startServer } from '../serve/server.ts'
import type { Status } from '../serve/status.ts'
import type { Readiness } from '../serve/status-answers.ts'
import type { Mirror } from '../store/mirror.ts'
import { MirrorReader } from '../store/reader.ts'
import { followCertificate, readCertificate } from './certificate.ts'
import { type Context, openConfigured } from './context.ts'
import type { DaemonState } from './daemon-state.ts'
import { freshnessOf } from './facts.ts'
import { toldStatus } from './told-status.ts'

/** `crateferry serve`: until a signal comes, which is a good end. */
export async function serveCommand(
  context: Context,
  options: { readonly listen?: string },
): Promise<number> {
  const { mirror, config } = await openConfigured(context)
  const { out, signal } = context
  const address = options.listen ?? config.serve.listen
  await using server = await openServer(context, { mirror, config: () => config, address })
  out.result({ ok: true, url: server.url, port: server.port }, [
    `serving ${mirror.root} at ${server.url}; for cargo: crateferry cargo-config --url ${server.url}`,
  ])
  if (!signal.aborted) await once(signal, 'abort')
  return 0
}

interface OpenServer extends AsyncDisposable {
  readonly url: string
  readonly port: number
}

/** The server of a mirror as it is configured. @throws {MirrorError} usage; io where it cannot listen */
export async function openServer(
  { out, now }: Context,
  {
    mirror,
    config,
    address,
    daemon,
  }: {
    readonly mirror: Mirror
    readonly config: () => Config
    readonly address: string
    /** What keeps the mirror beside, if something does. */
    readonly daemon?: () => DaemonState
  },
): Promise<OpenServer> {
  const listen = parseListen(address)
  const reader = new MirrorReader(mirror.root)
  const log = (line: string): void => out.say(line)
  const readiness = (): Readiness => readinessOf(mirror, config(), now())
  const status = (url: string): Promise<Status> =>
    toldStatus(mirror, config(), { url, now: now(), daemon: daemon?.() })
  const { url } = config().serve
  const certificate = readCertificate(mirror.root, config())
  const options = { reader, listen, url, log, readiness, status, certificate }
  const server = await startServer(options).catch(error => {
    const { code } = error as NodeJS.ErrnoException
    throw new MirrorError('io', `cannot listen on ${address} (${code})`, { cause: error })
  })
  const open = new AsyncDisposableStack()
  open.use(server)
  if (certificate) {
    open.use(followCertificate(server, { root: mirror.root, config: config(), log }))
  }
  return { url: server.url, port: server.port, [Symbol.asyncDispose]: () => open.disposeAsync() }
}

/** A directory that its owner signs is its own source, and no run compares it with another. */
function readinessOf({ root }: Mirror, config: Config, now: Date): Readiness {
  const { checkedAt, isFresh, withinHours } = freshnessOf(root, config, now)
  if (checkedAt === undefined) return { isReady: true, line: 'ready: never compared' }
  const line = `${isFresh ? 'ready' : 'stale'}: compared with its source ${checkedAt}, wanted within ${withinHours} h`
  return { isReady: isFresh, line }
}
