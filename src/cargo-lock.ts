import { MirrorError, quoted } from './error.ts'
import { isChecksum } from './registry/checksum.ts'
import { parseCrateName } from './registry/crate-name.ts'
import type { Pin } from './registry/selection-rules.ts'
import { parseVersion } from './registry/version.ts'
import { parseToml } from './toml.ts'

/** What a `Cargo.lock` takes from crates.io. */
export interface CargoLock {
  readonly packages: readonly Pin[]
  /** Packages of other registries and of git repositories: nothing of theirs is here. */
  readonly elsewhere: number
}

const BYTES_MAX = 16 * 1024 * 1024
/** Versions 1 and 2 do not say so; cargo refuses what is newer than it knows. */
const VERSION_MAX = 4

/** A source replaced in cargo's configuration is still written as the one it stands for. */
const CRATES_IO = [
  'registry+https://github.com/rust-lang/crates.io-index',
  'sparse+https://index.crates.io/',
]

/** Reads versions 1 to 4 of the format; every fault is a usage error that names the file. */
export function parseCargoLock(bytes: Uint8Array, file: string): CargoLock {
  const refused = (fault: string): MirrorError => new MirrorError('usage', `${file}: ${fault}`)
  if (bytes.length > BYTES_MAX) throw refused(`${bytes.length} bytes, at most 16 MiB are read`)
  const { version = 1, package: listed = [], metadata } = parseToml(bytes, file) as Fields
  if (typeof version !== 'number' || version > VERSION_MAX) {
    throw refused(`lock file version ${version} is newer than ${VERSION_MAX}`)
  }
  if (!Array.isArray(listed)) throw refused('"package" is not a list: this is no Cargo.lock')
  const packages: Pin[] = []
  let elsewhere = 0
  for (const one of listed as readonly PackageFields[]) {
    if (one.source === undefined) continue
    if (CRATES_IO.includes(`${one.source}`)) packages.push(readPackage(one, metadata, refused))
    else elsewhere += 1
  }
  return { packages, elsewhere }
}

interface Fields {
  readonly version?: unknown
  readonly package?: unknown
  readonly metadata?: unknown
}

interface PackageFields {
  readonly name?: unknown
  readonly version?: unknown
  readonly source?: unknown
  readonly checksum?: unknown
}

function readPackage(
  { name, version, source, checksum }: PackageFields,
  metadata: unknown,
  refused: (fault: string) => MirrorError,
): Pin {
  const [crate, pinned] = [parseCrateName(name), parseVersion(version)]
  if (crate === undefined || pinned === undefined) {
    throw refused(`${quoted(`${name} ${version}`)} is no crate and version`)
  }
  const given = checksum ?? inMetadata(metadata, `checksum ${crate} ${pinned} (${source})`)
  return { crate, version: pinned, checksum: isChecksum(given) ? given : undefined }
}

/** Version 1 keeps all checksums in a table of their own. */
function inMetadata(metadata: unknown, key: string): unknown {
  return (metadata as Readonly<Record<string, unknown>> | undefined)?.[key]
}
