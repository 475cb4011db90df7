import { once } from 'node:events'
import { parseListen } from '../config.ts'
import { MirrorError } from '../error.ts'
import { startServer } from '../serve/server.ts'
import { MirrorReader } from '../store/reader.ts'
import { type Context, mirrorFolder, openConfigured } from './context.ts'

/** `crateferry serve`: until a signal comes, which is a good end. */
export async function serveCommand(
  context: Context,
  options: { readonly listen?: string },
): Promise<number> {
  const { mirror, config } = await openConfigured(mirrorFolder(context))
  const { out, signal } = context
  const address = options.listen ?? config.serve.listen
  const listen = parseListen(address)
  const reader = new MirrorReader(mirror.root)
  const log = (line: string): void => out.say(line)
  await using server = await startServer({ reader, listen, url: config.serve.url, log }).catch(
    error => {
      const { code } = error as NodeJS.ErrnoException
      throw new MirrorError('io', `cannot listen on ${address} (${code})`, { cause: error })
    },
  )
  out.result({ ok: true, url: server.url, port: server.port }, [
    `serving ${mirror.root} at ${server.url}; for cargo: crateferry cargo-config --url ${server.url}`,
  ])
  if (!signal.aborted) await once(signal, 'abort')
  await server.close()
  return 0
}
