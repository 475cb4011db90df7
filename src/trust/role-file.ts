import { quoted } from '../error.ts'
import { FormRefused } from './json.ts'

const TOP_LEVEL: ReadonlySet<string> = new Set(['root', 'timestamp', 'snapshot', 'targets'])
/** So that version, name and ending fit into the 255 bytes of a file name. */
const BYTES_MAX = 200

/**
 * The name of a delegated role in URLs and files: all but the unreserved characters of RFC 3986
 * percent-encoded, so that it is one segment of a path whatever the role is called.
 * @throws {FormRefused} for the name of a top-level role, and one that no file can have
 */
export function fileOfRole(name: string, where: string): string {
  if (TOP_LEVEL.has(name)) throw new FormRefused(`${where}: delegates to ${quoted(name)}`)
  const encoded = percentEncoded(name)
  if (name !== '' && encoded.length <= BYTES_MAX) return encoded
  throw new FormRefused(`${where}: role ${quoted(name)} has no name that a file can have`)
}

/** @public */
export function percentEncoded(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    character => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}
