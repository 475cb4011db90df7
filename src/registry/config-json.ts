import { MirrorError, quoted } from '../error.ts'
import type { Checksum } from './checksum.ts'
import type { CrateName } from './crate-name.ts'
import { indexPath, prefixOfPath } from './sparse-path.ts'
import { JsonRefused, type JsonShape, scanJson } from './strict-json.ts'
import type { Version } from './version.ts'

/**
 * A registry's config.json as far as a mirror reads it.
 * @public
 */
export interface ConfigJson {
  /** Where artifacts are, with cargo's markers; see `downloadUrl`. */
  readonly dl: string
  readonly api: string | undefined
}

/**
 * This mirror's own config.json. Artifacts are named by checksum, so any static server will do, and
 * a version that was published anew cannot overwrite another's bytes. `dl` must be absolute: cargo
 * resolves nothing against the index.
 */
export function configJson(options: { readonly url: string; readonly api?: string }): Uint8Array {
  const dl = `${mirrorUrl(options.url)}/crates/{lowerprefix}/{sha256-checksum}.crate`
  const config = options.api === undefined ? { dl } : { dl, api: mirrorUrl(options.api) }
  return Buffer.from(`${JSON.stringify(config)}\n`)
}

/**
 * A URL that config.json can be built from, without its final slash.
 * @throws {MirrorError} usage, where a client could not use it as it stands.
 */
export function mirrorUrl(text: string): string {
  const url = URL.parse(text)
  const fault = url === null ? 'is not a URL' : (faultOf(url) ?? faultOfText(text))
  if (url === null || fault !== undefined) {
    throw new MirrorError('usage', `the mirror's URL ${quoted(redacted(text))} ${fault}`)
  }
  return `${url.origin}${url.pathname.replace(/\/+$/, '')}`
}

function faultOf(url: URL): string | undefined {
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return 'is neither http nor https'
  if (url.username !== '' || url.password !== '') return 'holds a user name or password'
  return undefined
}

/** cargo would take braces for markers, and appends its own path to what stands here. */
function faultOfText(text: string): string | undefined {
  if (/[?#]/.test(text)) return 'has a query or a fragment'
  if (/[{}]/.test(text)) return 'has braces'
  return undefined
}

/** A URL for a message: whatever may be a password is left out, also where it is no URL at all. */
export function redacted(url: string): string {
  return url.replace(/^([a-z]+:\/\/)?.*@/is, '$1…@')
}

const MARKERS = /\{(?:crate|version|prefix|lowerprefix|sha256-checksum)\}/g

/**
 * The URL that cargo makes of `dl` for an artifact; with no marker it appends a path of its own.
 * @public
 */
export function downloadUrl(
  dl: string,
  artifact: {
    readonly crate: CrateName
    readonly version: Version
    readonly checksum: Checksum
  },
): string {
  const { crate, version, checksum } = artifact
  if (dl.search(MARKERS) < 0) return `${dl}/${crate}/${version}/download`
  const values: Record<string, string> = {
    '{crate}': crate,
    '{version}': version,
    '{prefix}': casedPrefix(crate),
    '{lowerprefix}': prefixOfPath(indexPath(crate)),
    '{sha256-checksum}': checksum,
  }
  return dl.replace(MARKERS, marker => values[marker] ?? marker)
}

/** `{prefix}` keeps the name's own case, `{lowerprefix}` does not. */
function casedPrefix(crate: CrateName): string {
  if (crate.length <= 2) return String(crate.length)
  if (crate.length === 3) return `3/${crate[0]}`
  return `${crate.slice(0, 2)}/${crate.slice(2, 4)}`
}

const DEPTH_MAX = 32

/**
 * Reads the config.json of an upstream, which nobody signs: `hosts` says which ones its `dl` may
 * name (as in `URL.host`, the port with it), because everything would be fetched from there.
 * @throws {MirrorError} refused
 * @public
 */
export function parseConfigJson(
  bytes: Uint8Array,
  options: { readonly hosts: readonly string[] },
): ConfigJson {
  const config = parsed(bytes)
  const dl = config['dl']
  if (dl === undefined) throw refused('has no "dl"')
  if (typeof dl !== 'string') throw refused('has a "dl" that is not text')
  assertAllowed(dl, options.hosts)
  return { dl, api: typeof config['api'] === 'string' ? config['api'] : undefined }
}

function parsed(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  if (kindOf(bytes) !== 'object') throw refused('is not a JSON object')
  return JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>
}

function kindOf(bytes: Uint8Array): JsonShape['kind'] {
  try {
    return scanJson(bytes, { depthMax: DEPTH_MAX, integersOnly: false }).kind
  } catch (error) {
    if (!(error instanceof JsonRefused)) throw error
    throw refused(`is not strict JSON: ${error.message}`, error)
  }
}

function assertAllowed(dl: string, hosts: readonly string[]): void {
  const url = URL.parse(dl)
  if (url === null) throw refused(`has a "dl" that is not a URL: ${quoted(redacted(dl))}`)
  const fault = faultOf(url)
  if (fault !== undefined) throw refused(`has a "dl" that ${fault}: ${quoted(redacted(dl))}`)
  if (!hosts.includes(url.host)) {
    throw refused(`sends downloads to ${quoted(url.host)}, expected ${hosts.join(' or ')}`)
  }
}

function refused(fault: string, cause?: unknown): MirrorError {
  return new MirrorError('refused', `config.json ${fault}`, { cause })
}
