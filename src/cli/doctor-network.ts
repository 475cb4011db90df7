import { parseConfigJson } from '../registry/config-json.ts'
import { readChain } from '../store/chain-files.ts'
import { stamp } from '../sync/run.ts'
import { readBook, requireClock } from '../trust/book.ts'
import { parseInstant } from '../trust/instant.ts'
import { durationText } from '../units.ts'
import { LIMITS } from '../upstream/limits.ts'
import { type Place, parseBase, shown } from '../upstream/url-policy.ts'
import { type Check, failed, ok, type Patient, warn } from './doctor-check.ts'
import { httpClient } from './writing.ts'

const SKEW_SECONDS = 60

/** The way to the upstream, and what its clock says of ours. */
export async function networkChecks(patient: Patient): Promise<readonly Check[]> {
  const { context, config, mirror } = patient
  const place = placeOf(patient)
  if (place === undefined) {
    return [ok('upstream', 'none: filled by bundles, or signed here'), ...clockChecks(patient)]
  }
  const began = performance.now()
  const { signal } = context
  try {
    const client = httpClient(config, mirror.root)
    try {
      const request = { kind: 'config', bytesMax: LIMITS.configBytes, signal } as const
      const { bytes, date } = await client.dated(place, request)
      const ms = Math.round(performance.now() - began)
      const way = config.upstream.proxy === undefined ? '' : ' through the proxy'
      return [
        ok('upstream', `${shown(place)} answered in ${ms} ms${way}`),
        ...movedCheck(patient, bytes),
        ...clockChecks(patient, date),
      ]
    } finally {
      await client.close()
    }
  } catch (error) {
    context.signal.throwIfAborted()
    return [failed('upstream', error, context.env), ...clockChecks(patient)]
  }
}

function placeOf({ config }: Patient): Place | undefined {
  const { url, metadata, index, chain, trust } = config.upstream
  if (trust === 'observed') {
    if (index === undefined) return undefined
    const { origin, path } = parseBase(index)
    return { origin, path: `${path}config.json` }
  }
  if (metadata !== undefined) {
    const { origin, path } = parseBase(metadata)
    return { origin, path: `${path}timestamp.json` }
  }
  if (url === undefined) return undefined
  const { origin, path } = parseBase(url)
  return { origin, path: `${path}${chain}/timestamp.json` }
}

/** An observed registry that moved its downloads is not followed by itself. */
function movedCheck({ config }: Patient, bytes: Uint8Array): readonly Check[] {
  const { trust, artifacts, index = '' } = config.upstream
  if (trust !== 'observed' || artifacts === undefined) return []
  const hosts = [artifacts, index].flatMap(
    url => URL.parse(url.replaceAll(/[{}]/g, ''))?.host ?? [],
  )
  try {
    const { dl } = parseConfigJson(bytes, { hosts })
    if (dl === artifacts || artifacts.startsWith(`${dl}/`)) return []
    return [
      warn('upstream', `its downloads are at ${dl} now; upstream.artifacts says ${artifacts}`),
    ]
  } catch (error) {
    return [warn('upstream', (error as Error).message)]
  }
}

/** Ours against what was accepted before, and against the server's. */
function clockChecks({ context, mirror }: Patient, server?: Date): readonly Check[] {
  const now = context.now()
  try {
    const instant = parseInstant(stamp(now))
    if (instant) requireClock(readBook(readChain(mirror.root, 'upstream')?.book), instant)
  } catch (error) {
    return [failed('clock', error, context.env)]
  }
  if (server === undefined) return [ok('clock', `${stamp(now)}; no other clock was asked`)]
  const seconds = Math.abs(now.getTime() - server.getTime()) / 1000
  const what = `${stamp(now)}, ${durationText(seconds)} from the upstream's`
  if (seconds <= SKEW_SECONDS) return [ok('clock', what)]
  return [
    warn('clock', `${what}: metadata may be refused as expired, or taken too long; set the clock`),
  ]
}
