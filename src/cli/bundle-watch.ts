import { resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Arrivals } from '../bundle/arrivals.ts'
import { Watch } from '../daemon/places.ts'
import { MirrorError } from '../error.ts'
import { bundleImportCommand } from './bundle-import.ts'
import { type Context, openConfigured } from './context.ts'
import { EXIT, failure } from './report.ts'

/**
 * `crateferry bundle import --watch`: takes what arrives, one bundle after the other, until it is
 * stopped. It consents to nothing: what needs a person waits for one.
 */
export async function bundleWatchCommand(
  context: Context,
  folders: readonly string[],
): Promise<number> {
  const { mirror, config } = await openConfigured(context)
  const inbox = config.bundle.inbox.map(folder => resolve(mirror.root, folder))
  const media = config.bundle.media.map(folder => resolve(mirror.root, folder))
  const given = folders.map(folder => resolve(context.cwd, folder))
  if (inbox.length + media.length + given.length === 0) {
    throw new MirrorError(
      'usage',
      'nothing to watch: name a folder, or set bundle.inbox or bundle.media',
    )
  }
  await using watch = new Watch({ folders: [...inbox, ...given], media })
  const arrivals = new Arrivals()
  context.out.say(`watching ${[...inbox, ...given, ...media].join(', ')}; stop with Ctrl-C`)
  try {
    for (;;) {
      await pause(context.signal)
      const folders = watch.due()
      if (folders === undefined) continue
      const { ready, isWaiting } = arrivals.look(folders)
      if (isWaiting) watch.look()
      for (const arrival of ready) {
        const exit = await importOne(context, arrival.place)
        // where another process has the mirror it is tried at the next look
        if (exit !== EXIT.busy) arrivals.taken(arrival)
      }
    }
  } catch (error) {
    if (context.signal.aborted) return 0
    throw error
  }
}

/** The exit code of the import, which is told; a refusal is a result like any other. */
export async function importOne(context: Context, place: string): Promise<number> {
  try {
    const exit = await bundleImportCommand(context, [place], {})
    context.out.say(`${place}: exit ${exit}`)
    return exit
  } catch (error) {
    if (context.signal.aborted || !(error instanceof MirrorError)) throw error
    const { line, exit } = failure(error, {})
    context.out.say(`${place}: ${line}`)
    return exit
  }
}

async function pause(signal: AbortSignal): Promise<void> {
  await sleep(1000, undefined, { signal }).catch(() => signal.throwIfAborted())
}
