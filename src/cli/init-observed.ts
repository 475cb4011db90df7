import { resolve } from 'node:path'
import { parseConfig } from '../config.ts'
import { configurationText } from '../config-file.ts'
import { MirrorError } from '../error.ts'
import { parseConfigJson } from '../registry/config-json.ts'
import { createMirror } from '../store/mirror.ts'
import { LIMITS } from '../upstream/limits.ts'
import { parseBase } from '../upstream/url-policy.ts'
import type { Context } from './context.ts'
import { requireSecure, UNSIGNED } from './secure-url.ts'
import { httpClient } from './writing.ts'

export interface ObservedOptions {
  readonly upstream?: string
  readonly contact?: string
  readonly allowHost?: readonly string[]
  readonly tokenFile?: string
}

/** What is known of crates.io: where its downloads are, and what it publishes beside its index. */
const CRATES_IO = {
  index: 'https://index.crates.io',
  artifacts: 'https://static.crates.io/crates/{crate}/{crate}-{version}.crate',
  feeds: 'https://static.crates.io/rss',
  dump: 'https://static.crates.io/db-dump.zip',
  advisories: 'https://rustsec.org/feed.xml',
  redirectHosts: ['fastly-static.crates.io', 'cloudfront-static.crates.io'],
}

/**
 * A mirror of an upstream that signs nothing. Its `dl` is read once, here, and stands in the
 * configuration from then on: no later config.json can send the mirror elsewhere.
 */
export async function initObserved(
  context: Context,
  folder: string,
  { upstream, contact, allowHost = [], tokenFile: given }: ObservedOptions,
): Promise<number> {
  if (contact === undefined) {
    throw new MirrorError(
      'usage',
      'give --contact, a mail address or URL: who runs the upstream must be able to reach whoever reads all of it',
    )
  }
  const index = (upstream ?? CRATES_IO.index).replace(/\/+$/, '')
  requireSecure(index, 'the index', UNSIGNED)
  const isCratesIo = index === CRATES_IO.index
  const tokenFile = given === undefined ? undefined : resolve(context.cwd, given)
  const begun = {
    url: undefined,
    chain: 'tuf',
    trust: 'observed',
    origin: true,
    contact,
    tokenFile,
  } as const
  const urls = isCratesIo ? CRATES_IO : { index, redirectHosts: allowHost }
  const draft = parseConfig(
    Buffer.from(configurationText({ ...begun, ...urls })),
    'the configuration',
  )
  const artifacts = isCratesIo
    ? CRATES_IO.artifacts
    : await downloadsOf(context, draft, index, allowHost)
  requireSecure(artifacts, 'its downloads', UNSIGNED)
  const configuration = configurationText({ ...begun, ...urls, artifacts })
  parseConfig(Buffer.from(configuration), 'the configuration')
  const root = resolve(context.cwd, folder)
  const mirror = await createMirror(root, { trust: 'observed', configuration })
  const { uuid } = mirror.marker
  context.out.result({ mirror: root, uuid, trust: 'observed', index, artifacts }, [
    `made a mirror in ${root} that observes ${index}: believed over TLS, signed by nobody`,
    `downloads come from ${artifacts}`,
    `next: crateferry sync --mirror ${root}`,
  ])
  return 0
}

async function downloadsOf(
  { signal, cwd }: Context,
  config: Parameters<typeof httpClient>[0],
  index: string,
  allowHost: readonly string[],
): Promise<string> {
  const base = parseBase(index)
  const place = { origin: base.origin, path: `${base.path}config.json` }
  const client = httpClient(config, cwd)
  try {
    const request = { kind: 'config', bytesMax: LIMITS.configBytes, signal } as const
    const bytes = await client.get(place, request)
    return parseConfigJson(bytes, { hosts: [new URL(base.origin).host, ...allowHost] }).dl
  } finally {
    await client.close()
  }
}
