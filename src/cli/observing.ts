import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import type { Config } from '../config.ts'
import { MirrorError } from '../error.ts'
import type { CrateName } from '../registry/crate-name.ts'
import { CONFIGURATION } from '../store/layout.ts'
import type { Mirror } from '../store/mirror.ts'
import { RegistryObserver } from '../sync/observe-registry.ts'
import type { Run } from '../sync/run.ts'
import { readNames } from '../upstream/names-file.ts'
import { sparseRegistry } from '../upstream/sparse-registry.ts'
import type { Traffic } from '../upstream/traffic.ts'
import { requireSecure, UNSIGNED } from './secure-url.ts'
import { httpClient } from './writing.ts'

/** Lends an observer of the configured registry to `work`. */
export async function withObserver<Result>(
  config: Config,
  run: Run,
  { isSweepAsked, traffic }: { readonly isSweepAsked: boolean; readonly traffic: Traffic },
  work: (observer: RegistryObserver) => Promise<Result>,
): Promise<Result> {
  const { mirror } = run.writer
  const { index, artifacts, feeds, dump, advisories } = config.upstream
  if (index === undefined || artifacts === undefined) {
    throw new MirrorError(
      'usage',
      `${join(mirror.root, CONFIGURATION)}: an observed upstream needs upstream.index and upstream.artifacts`,
    )
  }
  requireSecure(index, 'upstream.index', UNSIGNED)
  requireSecure(artifacts, 'upstream.artifacts', UNSIGNED)
  const registry = sparseRegistry(
    { index, artifacts, feeds, dump, advisories },
    httpClient(config, mirror.root, traffic),
  )
  setFlagsFromString(SMALL_HEAP)
  try {
    const { sweepHours } = config.sync
    const { holdDays } = config.guard
    const names = (): readonly CrateName[] => namesOf(config, mirror)
    const options = { sweepHours, holdDays, isSweepAsked, names, random: Math.random }
    return await work(new RegistryObserver(run, registry, options))
  } finally {
    await registry.close()
  }
}

/**
 * A sweep makes gigabytes of garbage around very little that lives: a heap that grows by half of
 * that between collections, and not fourfold, keeps a mirror of the whole registry under 300 MB.
 */
const SMALL_HEAP = '--heap-growing-percent=50'

function namesOf({ upstream }: Config, mirror: Mirror): readonly CrateName[] {
  if (upstream.namesFile === undefined) return []
  const file = resolve(mirror.root, upstream.namesFile)
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new MirrorError('usage', `cannot read upstream.names-file ${file}`, { cause: error })
  }
  return readNames(text, file)
}
