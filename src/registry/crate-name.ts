/** A crate's name as published, in its own case; made only by `parseCrateName`. */
export type CrateName = string & { readonly __brand: 'CrateName' }

const NAME = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/
// crates.io reserves these; a mirror may meet another registry, and they break Windows disks.
const DEVICE = /^(con|prn|aux|nul|com[1-9]|lpt[1-9])$/i

/** The name, or undefined where crates.io would refuse it (its rules of 2026, RFC 3243 not included). */
export function parseCrateName(text: unknown): CrateName | undefined {
  if (typeof text !== 'string' || !NAME.test(text) || DEVICE.test(text)) return undefined
  return text as CrateName
}
