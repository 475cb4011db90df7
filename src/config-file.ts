import type { Config } from './config.ts'

/** What `init` knows of a new mirror; everything else starts out with its default. */
type Beginning = Omit<Config['upstream'], 'redirectHosts'> &
  Partial<Pick<Config['upstream'], 'redirectHosts'>>

/**
 * The `crateferry.toml` of a new mirror. A key in force stands as a line, a key at its default as a
 * comment that shows it, so the file is its own short manual. The values are written whatever they
 * hold: reading the text back is what checks them.
 */
export function configurationText(beginning: Beginning): string {
  return `# What this mirror follows, and how; docs/config.md explains every key. A line such as
# "# connections = 32" shows what holds without it: take the "# " away to set the key.

${upstream(beginning)}
${REST}`
}

function upstream({ url, chain, trust, origin, contact, redirectHosts }: Beginning): string {
  return `[upstream]
# Base URL of the upstream. Without it this mirror is filled from bundles only.
${url === undefined ? '# url = "https://mirror.example"' : `url = ${quote(url)}`}

# Which of the upstream's folders holds the chain that begins with the pinned root: "tuf" or "site".
chain = ${quote(chain)}

# "tuf" verifies everything from the pinned root; "observed" believes what TLS brings. A mirror made
# with a pinned root refuses the weaker one.
trust = ${quote(trust)}

# Whether a lasting "not there" from this upstream is the truth: true only for who publishes the
# crates, never for another mirror.
origin = ${origin}

# How its operators can reach you, a mail address or a URL, sent in the User-Agent.
${contact === undefined ? '# contact = "you@example.org"' : `contact = ${quote(contact)}`}

# Hosts, beside the upstream's own, that a redirect may lead to.
${redirectHosts === undefined ? '# redirect-hosts = []' : `redirect-hosts = [${redirectHosts.map(quote).join(', ')}]`}
`
}

const REST = `[sync]
# Connections to the upstream, 1 to 256.
# connections = 32

# How often one answer is asked for in all, the first time included, 1 to 10.
# tries = 3

# Seconds for connecting, 1 to 600.
# connect-seconds = 10

# Seconds for one metadata file, tile or index file, 1 to 3600.
# request-seconds = 60

# An artifact slower than this many bytes a second over 30 seconds is asked for again.
# floor-bytes-per-second = 1024

[select]
# Crates or versions that are wanted, for example ["serde", "tokio-*", "serde@1.*"]. None: all.
# allow = []

# Those that are not wanted, whatever else names them.
# deny = []

# Cargo.lock files whose packages are wanted; relative to this file's folder.
# lock-files = []

# Of each crate that allow names only so many of its newest versions; 0: all.
# newest = 0

# Beside what is chosen, everything it can depend on; and for its own tests and examples.
# with-dependencies = false
# dev-dependencies = false

[store]
# Bytes of the disk that a sync leaves free; it stops with exit code 20 before.
# reserve-bytes = 1073741824

[serve]
# Address and port of "crateferry serve".
# listen = "127.0.0.1:8377"

# The URL that clients use: it stands in config.json, which cargo needs absolute.
# url = "http://127.0.0.1:8377"

[guard]
# A sync that would remove more than this percentage of all crates, and more than this many of them,
# stops with exit code 17.
# removal-percent = 1
# removal-crates = 20

# So does one that would remove more than this many versions.
# removal-versions = 1000
`

/** JSON's escapes are TOML's too; of what JSON leaves bare, TOML forbids only DEL. */
function quote(text: string): string {
  return JSON.stringify(text).replaceAll('\u007f', '\\u007f')
}
