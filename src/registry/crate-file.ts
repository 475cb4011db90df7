import { parseCrateName } from './crate-name.ts'
import { type Prefix, prefixOf } from './sparse-path.ts'
import { parseVersion } from './version.ts'

/**
 * How the tools of the field name the file of a crate, whatever folders they put it in. The name
 * tells where to look and never what to believe: what the bytes are their hash says.
 */
export function isCrateFile(path: string): boolean {
  return path.endsWith('.crate') || parseVersion(DOWNLOAD.exec(path)?.[2]) !== undefined
}

/** The folder of the crate that a file's place speaks of, or undefined where it speaks of none. */
export function prefixOfCrateFile(path: string): Prefix | undefined {
  const byChecksum = BY_CHECKSUM.exec(path)?.[1]
  if (byChecksum !== undefined) return byChecksum as Prefix
  const name = parseCrateName((BY_NAME.exec(path) ?? DOWNLOAD.exec(path))?.[1])
  return name && prefixOf(name)
}

/** `serde-1.0.0.crate`: a name has no dot, so it ends at the last hyphen before the first dot. */
const BY_NAME = /\/([^/.]+)-[^/.-]+\.[^/]*\.crate$/
/** `serde/1.0.0/download`, as the path of a registry's download API. */
const DOWNLOAD = /\/([^/]+)\/([^/]+)\/download$/
/** `se/rd/{sha256}.crate`, as in a mirror of ours. */
const BY_CHECKSUM = /\/([12]|3\/[a-z]|[a-z][a-z0-9_-]\/[a-z0-9_-]{2})\/[0-9a-f]{64}\.crate$/
