/** A crate to collect with all that it depends on, as it stands in a Cargo.toml. */
export interface Wanted {
  readonly package: string
  readonly version: string
  readonly features: readonly string[]
}

/**
 * What `test/real/program` needs, and around it what real registries hold: names with `_`, `-` and
 * capitals, versions with `+` (those of the `-sys` crates), several majors of one crate.
 */
const ALWAYS = `
  clap@4+derive regex@1 serde@1+derive tokio@1+full
  Inflector serde_json zstd@0.13 curl-sys bzip2-sys chrono uuid+v4 rayon crossbeam ureq hyper@1+full
  axum reqwest tracing-subscriber rusqlite image+png
  rand@0.7 rand@0.8 rand@0.9 syn@1 syn@2 bitflags@1 bitflags@2 itertools@0.10 itertools@0.13
  hashbrown@0.12 hashbrown@0.14 base64@0.13 base64@0.22 windows-sys@0.48 windows-sys@0.52 time@0.1`

/** `NAME[@REQUIREMENT][+FEATURE…]`; more names come beside those that are always wanted. */
export function wanted(more: readonly string[]): Wanted[] {
  return [...ALWAYS.trim().split(/\s+/), ...more].map(text => {
    const [crate = '', ...features] = text.split('+')
    const [name = '', version = '*'] = crate.split('@')
    return { package: name, version, features }
  })
}
