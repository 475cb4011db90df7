import { MirrorError } from '../error.ts'
import { sha256 } from '../registry/checksum.ts'
import { dropFromChain, keepInChain, readChain } from '../store/chain-files.ts'
import { bookBytes } from '../trust/book.ts'
import { instantOf } from '../trust/instant.ts'
import { type Context, openConfigured } from './context.ts'
import { asWriter, syncSettings } from './writing.ts'

export interface ResetOptions {
  readonly fingerprint: string
  readonly reason: string
}

/**
 * `crateferry trust reset`: forgets versions and the clock that were accepted, and begins again at the
 * pinned root. The way out where floors are wrong, which nobody should go by mistake: the root's
 * fingerprint is typed in.
 */
export async function trustResetCommand(context: Context, options: ResetOptions): Promise<number> {
  const { mirror, config } = await openConfigured(context)
  const { fingerprint, reason } = options
  const kept = readChain(mirror.root, 'upstream')
  const pinned = kept?.roots.find(bytes => sha256(bytes) === mirror.marker.root)
  if (pinned === undefined) {
    throw new MirrorError(
      'damaged',
      `${mirror.root}: the pinned root is not here; make a new mirror`,
    )
  }
  if (fingerprint !== mirror.marker.root) {
    throw new MirrorError(
      'usage',
      `--fingerprint is not that of the root that this mirror pins; status shows it`,
    )
  }
  const outcome = await asWriter(
    context,
    {
      command: 'trust reset',
      mirror,
      settings: syncSettings(config, mirror),
      accepted: { removals: 0, absent: 0, changed: new Set(), clock: false, reason },
    },
    async ({ writer }) => {
      const reset = { at: instantOf(context.now()), reason }
      // the book goes first: a crash after it leaves floors that the same command forgets
      const empty = { clock: undefined, acceptedUnder: undefined, dropped: [], reset }
      await keepInChain(writer, 'upstream', 'book.json', bookBytes(empty))
      await keepInChain(writer, 'upstream', 'root.json', pinned)
      await dropFromChain(writer, 'upstream', ['timestamp.json', 'snapshot.json', 'targets.json'])
      context.out.result({ ok: true, exit: 0, reset }, [
        `trust begins again at root ${mirror.marker.root}; the next sync or import sets new floors`,
      ])
      return { exit: 0, facts: { reset } }
    },
  )
  return outcome.exit
}
