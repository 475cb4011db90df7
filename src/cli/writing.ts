import { resolve } from 'node:path'
import type { Config } from '../config.ts'
import { rateAt } from '../daemon/bandwidth.ts'
import { MirrorError } from '../error.ts'
import { Landing } from '../store/landing.ts'
import { acquireLock } from '../store/lock.ts'
import type { Mirror } from '../store/mirror.ts'
import { Writer } from '../store/writer.ts'
import { type Accepted, Progress, type Run, type SyncSettings } from '../sync/run.ts'
import { HttpClient, type HttpOptions } from '../upstream/http.ts'
import { signedRepository, type TufUrls, tufRepository } from '../upstream/signed-repository.ts'
import { Traffic } from '../upstream/traffic.ts'
import type { Upstream } from '../upstream/upstream.ts'
import { readCaFile } from './ca-file.ts'
import { type Context, VERSION } from './context.ts'
import { ProgressLine, runLine } from './progress.ts'
import { EXIT, failure } from './report.ts'
import { recorder } from './run-record.ts'
import { requireSecure, SECRET } from './secure-url.ts'
import { selectionRules } from './selecting.ts'
import { readTokenFile } from './token-file.ts'

const NOTHING_ACCEPTED: Accepted = {
  removals: 0,
  absent: 0,
  changed: new Set(),
  clock: false,
  reason: undefined,
}

/** What a command that changes a mirror did, for its result and for the run record. */
export interface Outcome {
  readonly exit: number
  readonly facts: Readonly<Record<string, unknown>>
}

/**
 * Does `work` as the one writer of the mirror, shows its progress, and keeps a record of how it
 * ended, whichever way.
 */
export async function asWriter(
  context: Context,
  options: {
    readonly command: string
    readonly mirror: Mirror
    readonly settings: SyncSettings
    readonly accepted?: Accepted
    readonly limitBytes?: number
    /** Of what it fetches: the record tells how much came. */
    readonly traffic?: Traffic
  },
  work: (run: Run) => Promise<Outcome>,
): Promise<Outcome> {
  const { command, mirror } = options
  const started = context.now()
  const keep = recorder(context, mirror, command)
  await using lock = await acquireLock(mirror, { command, signal: context.signal, now: started })
  const writer = new Writer(mirror, lock.owner)
  const progress = new Progress()
  context.daemon?.onRun(command, progress)
  const run: Run = {
    writer,
    landing: new Landing(writer),
    settings: options.settings,
    accepted: options.accepted ?? NOTHING_ACCEPTED,
    limitBytes: options.limitBytes,
    progress,
    signal: AbortSignal.any([context.signal, lock.lost]),
    now: context.now,
  }
  const { reason } = run.accepted
  const before = options.traffic?.received ?? 0
  const told = (): object => ({
    ...(reason !== undefined && { reason }),
    ...(options.traffic && { received: options.traffic.received - before }),
  })
  using _line = new ProgressLine(runLine(progress), context.out)
  try {
    const outcome = await work(run)
    keep(outcome.exit, { ...told(), ...outcome.facts })
    return outcome
  } catch (error) {
    const { exit, line } = failure(error, {})
    // who lost the lock writes nothing more
    if (exit !== EXIT.busy) keep(exit, { ...told(), error: line })
    throw error
  }
}

export function syncSettings(config: Config, { root }: Mirror): SyncSettings {
  return {
    url: config.serve.url,
    connections: config.sync.connections,
    tries: config.sync.tries,
    reserveBytes: config.store.reserveBytes,
    origin: config.upstream.origin,
    select: selectionRules(config.select, root),
    pruneIndex: config.select.pruneIndex,
    guard: config.guard,
  }
}

/** Lends the configured upstream to `work`. */
export async function withUpstream<Result>(
  config: Config,
  mirror: Mirror,
  traffic: Traffic,
  work: (upstream: Upstream) => Promise<Result>,
): Promise<Result> {
  const urls = tufUrls(config)
  const { url, chain } = config.upstream
  if (url === undefined && urls === undefined) {
    throw new MirrorError(
      'usage',
      `${mirror.root} has no upstream.url in its configuration: it is filled by bundles only`,
    )
  }
  const client = httpClient(config, mirror.root, traffic)
  const upstream =
    urls === undefined
      ? signedRepository(url ?? '', client, { chain })
      : tufRepository(urls, client)
  try {
    return await work(upstream)
  } finally {
    await upstream.close()
  }
}

/** Whether there is an upstream that signs, wherever its parts are. */
export function hasSignedUpstream(config: Config): boolean {
  return config.upstream.url !== undefined || tufUrls(config) !== undefined
}

/**
 * Of a repository laid out in another way all three places; undefined where it has `url`, or nothing.
 * @throws {MirrorError} usage
 */
export function tufUrls({ upstream }: Config): TufUrls | undefined {
  const { url, metadata, targets, artifacts } = upstream
  if (metadata === undefined && targets === undefined) return undefined
  if (url !== undefined) {
    throw new MirrorError(
      'usage',
      'either upstream.url, or upstream.metadata with upstream.targets',
    )
  }
  if (metadata !== undefined && targets !== undefined && artifacts !== undefined) {
    return { metadata, targets, artifacts }
  }
  throw new MirrorError(
    'usage',
    'upstream.metadata, upstream.targets and upstream.artifacts must be set together',
  )
}

/** What a run's transfers share: the daemon's, or its own at the rates of its configuration. */
export function trafficFor({ daemon, now }: Context, { sync }: Config): Traffic {
  return daemon?.traffic ?? new Traffic(() => rateAt(sync.bandwidth, now()))
}

const OBSERVING_RATE = 100

/** The client as the configuration has it; its paths are relative to the mirror's `root`. */
export function httpClient(config: Config, root: string, traffic?: Traffic): HttpClient {
  const { contact, redirectHosts, proxy, noProxy, caFile } = config.upstream
  const { connections, tries, connectSeconds, requestSeconds, floorBytesPerSecond } = config.sync
  // who observes asks a public registry for every file it has: at a walk, unless told otherwise
  const isObserving = config.upstream.trust === 'observed'
  return new HttpClient({
    proxy,
    noProxy,
    ca: caFile === undefined ? undefined : readCaFile(resolve(root, caFile)),
    token: tokenFor(config, root),
    requestsPerSecond: config.sync.requestsPerSecond ?? (isObserving ? OBSERVING_RATE : undefined),
    ...(traffic && { traffic }),
    userAgent: `crateferry/${VERSION} (${contact ?? 'no contact configured'})`,
    connections,
    tries,
    redirectHosts,
    times: {
      connectMs: connectSeconds * 1000,
      requestMs: requestSeconds * 1000,
      floorBytesPerSecond,
    },
  })
}

/** For the hosts that the configuration itself names, and over TLS only: a token is a password. */
function tokenFor({ upstream }: Config, root: string): HttpOptions['token'] {
  const { url, metadata, targets, index, artifacts, tokenFile } = upstream
  if (tokenFile === undefined) return undefined
  const all = [url, metadata, targets, index, artifacts]
  const urls = all.filter(one => one !== undefined)
  for (const one of urls) requireSecure(one, 'the upstream', SECRET)
  const origins = urls.map(one => new URL(one.replaceAll(/[{}]/g, '')).origin)
  return { value: readTokenFile(resolve(root, tokenFile)), origins }
}
