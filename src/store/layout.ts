import type { Checksum } from '../registry/checksum.ts'
import { type IndexPath, nameOfPath, type Prefix, prefixOfPath } from '../registry/sparse-path.ts'
import type { Position } from '../tree/entry.ts'

/**
 * Every path of a mirror, relative to its root and with `/`. Pure: the one place that knows names.
 * `public/` is what a web server may show, `state/` is ours. Documented in docs/formats.md.
 */
export const PUBLIC = 'public'
export const STATE = 'state'

export const CONFIGURATION = 'crateferry.toml'

/** What a served tree consists of, all below `public/`. */
export const INDEX = 'public/index'
export const CRATES = 'public/crates'
/** The chain followed, and the TUF target base of both chains. */
export const TUF = 'public/tuf'
/** The site's own chain, where it signs. */
export const SITE = 'public/site'
export const CONFIG_JSON = 'public/index/config.json'

export const artifactFile = (prefix: Prefix, checksum: Checksum): string =>
  `${CRATES}/${prefix}/${checksum}.crate`

export const indexFile = (path: IndexPath): string => `${INDEX}/${path}`

export const indexFileByHash = (path: IndexPath, checksum: Checksum): string =>
  `${INDEX}/${prefixOfPath(path)}/${checksum}.${nameOfPath(path)}`

/** The root tile is the TUF target itself; tiles at three or more digits lie in a folder of two. */
export function tileFile(position: Position, hash: Checksum): string {
  if (position === '') return `${TUF}/${hash}.index-tree`
  if (position.length <= 2) return `${TUF}/tree/${hash}.${position}`
  return `${TUF}/tree/${position.slice(0, 2)}/${hash}.${position}`
}

export const MARKER = 'state/marker'
export const PUBLISHED = 'state/published'
export const NEXT = 'state/next'
export const HELD = 'state/held.json'
export const ABSENT = 'state/absent.json'
export const LANDING = 'state/landing'
export const PARTIALS = 'state/partials'
export const EVIDENCE = 'state/evidence'
export const QUARANTINE = 'state/quarantine'
export const LOCK = 'state/lock'
export const OWNERS = 'state/owners'
/** Of an upstream without signatures: how far it was watched, what it lacked, what was seen of each file. */
export const OBSERVATION = 'state/observation.json'
export const SIGHTINGS = 'state/sightings.json'
export const OBSERVED = 'state/observed.jsonl'
export const RUNS = 'state/runs.jsonl'
/** The runs before those. */
export const RUNS_BEFORE = 'state/runs.before.jsonl'
export const SNAPSHOTS = 'state/snapshots'
export const SELECTED = 'state/selected'
/** How far the daemon has read everything back. */
export const SCRUB = 'state/scrub.json'
/** Where the doctor tries the disk; gone when it is done. */
export const DOCTOR = 'state/doctor'
/** What an import waits for. */
export const PENDING = 'state/pending/import.json'
/** The journals of bundles that were exported. */
export const EXPORTS = 'state/exports'

/** The chain as verified: `upstream` is relayed into `public/tuf`, `site` into `public/site`. */
export const TRUST = { upstream: 'state/trust/upstream', site: 'state/trust/site' } as const

export const snapshotFile = (n: number): string => `${SNAPSHOTS}/${n}.json`
/** Which part of its index a mirror holds, by the SHA-256 of the record. */
export const selectedFile = (checksum: Checksum): string => `${SELECTED}/${checksum}`
export const partialFile = (checksum: Checksum): string => `${PARTIALS}/${checksum}.part`
export const ownerFolder = (token: string): string => `${OWNERS}/${token}`
/** The bytes of an artifact that is withdrawn, and the record of why. */
export const withdrawnFile = (checksum: Checksum): string => `${QUARANTINE}/${checksum}.crate`
export const withdrawalFile = (checksum: Checksum): string => `${QUARANTINE}/${checksum}.json`
export const evidenceFile = (checksum: Checksum, name: string): string =>
  `${EVIDENCE}/${checksum}.${name}`
