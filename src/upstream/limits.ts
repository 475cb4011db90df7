const MIB = 1_048_576

/**
 * How much is read of what a server sends, whatever it says. A signed length, where there is one,
 * is stricter; of metadata the TUF client says how much it takes.
 */
export const LIMITS: {
  readonly tileBytes: number
  readonly indexFileBytes: number
  readonly artifactBytes: number
  /** Of an upstream's config.json, of a feed of its news, and of a part of a large file. */
  readonly configBytes: number
  readonly feedBytes: number
  readonly partBytes: number
  /** Up to here a body is one buffer and its connection is free when we get it; above, chunks. */
  readonly wholeBytes: number
  /** What lies between the socket and a slow disk, for each artifact in chunks. */
  readonly queuedBytes: number
  /** Of an answer without use for us so much is read to keep its connection. */
  readonly discardedBytes: number
  readonly headerBytes: number
  readonly redirects: number
} = {
  tileBytes: 65_536,
  indexFileBytes: 64 * MIB,
  artifactBytes: 1024 * MIB,
  configBytes: 65_536,
  feedBytes: 16 * MIB,
  partBytes: 8 * MIB,
  wholeBytes: MIB,
  queuedBytes: MIB,
  discardedBytes: 65_536,
  headerBytes: 16_384,
  redirects: 5,
}
