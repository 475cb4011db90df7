import { resolve } from 'node:path'
import { type Config, parseConfig } from '../config.ts'
import { configurationText } from '../config-file.ts'
import { MirrorError } from '../error.ts'
import { createMirror } from '../store/mirror.ts'
import { verifyRoot } from '../trust/trusted.ts'
import { signedRepository, tufRepository } from '../upstream/signed-repository.ts'
import type { Context } from './context.ts'
import { readGiven } from './given-file.ts'
import { initObserved, type ObservedOptions } from './init-observed.ts'
import { httpClient, tufUrls } from './writing.ts'

export interface InitOptions extends ObservedOptions {
  readonly root?: string
  readonly observed?: boolean
  readonly metadata?: string
  readonly targets?: string
  readonly artifacts?: string
}

const ROOT_BYTES_MAX = 512_000

/** `crateferry init DIR --upstream URL (--root FILE | --observed)`: a mirror directory. */
export async function initCommand(
  context: Context,
  folder: string,
  options: InitOptions,
): Promise<number> {
  const { root: file, observed = false } = options
  if (observed === (file !== undefined)) {
    throw new MirrorError(
      'usage',
      'give either --root FILE, or --observed for an upstream that signs nothing',
    )
  }
  requireApplicable(options, file)
  return file === undefined
    ? await initObserved(context, folder, options)
    : await initPinned(context, folder, options, file)
}

/** What would say nothing is a mistake, and no option. */
function requireApplicable(
  { metadata, targets, artifacts }: InitOptions,
  root: string | undefined,
): void {
  const given = [metadata, targets, artifacts].filter(one => one !== undefined)
  if (given.length === 0) return
  if (root !== undefined && (metadata !== undefined || targets !== undefined)) return
  throw new MirrorError(
    'usage',
    '--metadata, --targets and --artifacts go together, with --root: a TUF repository laid out in another way',
  )
}

async function initPinned(
  context: Context,
  folder: string,
  options: InitOptions,
  file: string,
): Promise<number> {
  const bytes = readGiven(context, file, 'the root')
  const version = verifyRoot(bytes, file)
  const draft = configurationFor(options, context.cwd, 'tuf')
  const isElsewhere = options.metadata !== undefined || options.targets !== undefined
  if (isElsewhere) await requireThere(context, draft.config, version, bytes)
  const chain =
    options.upstream === undefined ? 'tuf' : await chainOf(context, draft.config, version, bytes)
  const root = resolve(context.cwd, folder)
  const mirror = await createMirror(root, {
    trust: 'tuf',
    pinnedRoot: { version, bytes },
    configuration: configurationFor(options, context.cwd, chain).text,
  })
  const { uuid, root: fingerprint } = mirror.marker
  context.out.result({ mirror: root, uuid, root: fingerprint, version, chain }, [
    `made a mirror in ${root}, pinned to root ${version} (sha256 ${fingerprint})`,
    options.upstream === undefined && !isElsewhere
      ? 'it has no upstream: bundles fill it'
      : `next: crateferry sync --mirror ${root}`,
  ])
  return 0
}

/** As it will be read back: what cannot be is refused before anything is made. */
function configurationFor(
  { upstream, contact, tokenFile: given, metadata, targets, artifacts }: InitOptions,
  cwd: string,
  chain: 'tuf' | 'site',
): { readonly text: string; readonly config: Config } {
  const tokenFile = given === undefined ? undefined : resolve(cwd, given)
  const begun = { url: upstream, metadata, targets, artifacts, contact, tokenFile } as const
  const text = configurationText({ ...begun, chain, trust: 'tuf', origin: false })
  return { text, config: parseConfig(Buffer.from(text), 'the configuration') }
}

/** The pinned root must be one of the repository's, where that has its metadata. */
async function requireThere(
  { signal, cwd }: Context,
  config: Config,
  version: number,
  pinned: Uint8Array,
): Promise<void> {
  const urls = tufUrls(config)
  if (urls === undefined) return
  const name = `${version}.root.json`
  const upstream = tufRepository(urls, httpClient(config, cwd))
  try {
    const bytes = await upstream.metadata(name, { bytesMax: ROOT_BYTES_MAX, signal })
    if (bytes === undefined) {
      throw new MirrorError('incomplete', `${upstream.name}: has no ${name}`)
    }
    if (Buffer.compare(bytes, pinned) === 0) return
    throw new MirrorError(
      'signature',
      `${upstream.name}: its ${name} is not the root given with --root`,
    )
  } finally {
    await upstream.close()
  }
}

/** Which folder of the upstream holds the chain that begins with the pinned root. */
async function chainOf(
  { signal, cwd }: Context,
  config: Config,
  version: number,
  pinned: Uint8Array,
): Promise<'tuf' | 'site'> {
  const { url = '' } = config.upstream
  const client = httpClient(config, cwd)
  const name = `${version}.root.json`
  let isThere = false
  try {
    for (const chain of ['tuf', 'site'] as const) {
      const upstream = signedRepository(url, client, { chain })
      const bytes = await upstream.metadata(name, { bytesMax: ROOT_BYTES_MAX, signal })
      if (bytes === undefined) continue
      if (Buffer.compare(bytes, pinned) === 0) return chain
      isThere = true
    }
  } finally {
    await client.close()
  }
  if (isThere) {
    throw new MirrorError('signature', `${url}: its ${name} is not the root given with --root`)
  }
  throw new MirrorError('incomplete', `${url}: has no ${name} in tuf/ or site/`)
}
