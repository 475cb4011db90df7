import { existsSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { configurationText } from '../config-file.ts'
import { MirrorError } from '../error.ts'
import { MARKER, TUF } from '../store/layout.ts'
import { createMirror } from '../store/mirror.ts'
import { type SignTree, syncObserved } from '../sync/observe.ts'
import { DirectoryObserver } from '../sync/observe-directory.ts'
import { signPublished } from '../sync/sign.ts'
import { foundRoot } from '../trust/root-text.ts'
import { directoryUpstream } from '../upstream/directory.ts'
import { type Context, openConfiguredAt } from './context.ts'
import { type FolderKeys, makeKeys, readKeys } from './key-folder.ts'
import { refuseKeysInPublic } from './key-place.ts'
import { told } from './sync.ts'
import { asWriter, syncSettings } from './writing.ts'

export interface UpstreamOptions {
  readonly from: string
  readonly keys?: string
}

/** How many of the three people must sign the next root. */
const ROOT_THRESHOLD = 2

/** `crateferry upstream DIR --from DIR`: a plain directory becomes a signed static repository. */
export async function upstreamCommand(
  context: Context,
  folder: string,
  options: UpstreamOptions,
): Promise<number> {
  const root = resolve(context.cwd, folder)
  const from = resolve(context.cwd, options.from)
  const keyFolder = resolve(context.cwd, options.keys ?? `${root}.keys`)
  refuseKeysInPublic(keyFolder, root)
  if (statSync(join(from, 'index'), { throwIfNoEntry: false })?.isDirectory() !== true) {
    throw new MirrorError('usage', `${from} has no folder "index" with a sparse index`)
  }
  const keys = existsSync(join(root, MARKER))
    ? await readKeys(keyFolder)
    : await found(context, root, keyFolder)
  const { mirror, config } = await openConfiguredAt(root)
  const settings = { ...syncSettings(config, mirror), origin: false }
  const upstream = directoryUpstream(from)
  const outcome = await asWriter(context, { command: 'upstream', mirror, settings }, async run => {
    const observer = new DirectoryObserver(run, upstream)
    const sign: SignTree = (run, tree) => signPublished(run, tree, keys)
    return told(context, await syncObserved(run, observer, sign))
  })
  context.out.say(`root to pin: ${join(root, TUF, '1.root.json')}; keys in ${keyFolder}`)
  return outcome.exit
}

async function found(context: Context, root: string, keyFolder: string): Promise<FolderKeys> {
  const keys = await makeKeys(keyFolder)
  const bytes = await foundRoot(keys, { threshold: ROOT_THRESHOLD, now: context.now() })
  const configuration = configurationText({
    url: undefined,
    contact: undefined,
    chain: 'tuf',
    trust: 'tuf',
    origin: true,
  })
  await createMirror(root, { trust: 'tuf', pinnedRoot: { version: 1, bytes }, configuration })
  return keys
}
