import type { Config } from './config.ts'

/** What `init` knows of a new mirror; everything else starts out with its default. */
type Beginning = Pick<Config['upstream'], 'url' | 'chain' | 'trust' | 'origin' | 'contact'> &
  Partial<Config['upstream']>

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

function upstream({
  url,
  chain,
  trust,
  origin,
  contact,
  redirectHosts,
  ...more
}: Beginning): string {
  return `[upstream]
# Base URL of a signed upstream. Without it this mirror is filled from bundles, or observes.
${line('url', url, 'https://mirror.example')}

# Of a TUF repository that is laid out in another way, instead of url: where its metadata and its
# targets are; artifacts below belongs to it too.
${line('metadata', more.metadata, 'https://crates.example/metadata')}
${line('targets', more.targets, 'https://crates.example/targets')}

# Of an upstream that signs nothing: its sparse index, and where its artifacts are, with the markers
# of cargo's "dl".
${line('index', more.index, 'https://index.crates.io')}
${line('artifacts', more.artifacts, 'https://static.crates.io/crates/{crate}/{crate}-{version}.crate')}

# Its feeds of news, without which every look is a sweep over the whole index.
${line('feeds', more.feeds, 'https://static.crates.io/rss')}

# Where the names of all crates come from: its database dump, or a file of your own, one name a line.
${line('dump', more.dump, 'https://static.crates.io/db-dump.zip')}
${line('names-file', more.namesFile, 'names.txt')}

# RustSec's feed: what it calls malware is withdrawn at once.
${line('advisories', more.advisories, 'https://rustsec.org/feed.xml')}

# Which of the upstream's folders holds the chain that begins with the pinned root: "tuf" or "site".
chain = ${quote(chain)}

# "tuf" verifies everything from the pinned root; "observed" believes what TLS brings. A mirror made
# with a pinned root refuses the weaker one.
trust = ${quote(trust)}

# Whether a lasting "not there" from this upstream is the truth: true only for who publishes the
# crates, never for another mirror.
origin = ${origin}

# How its operators can reach you, a mail address or a URL, sent in the User-Agent.
${line('contact', contact, 'you@example.org')}

# Hosts, beside the upstream's own, that a redirect may lead to.
${redirectHosts === undefined ? '# redirect-hosts = []' : `redirect-hosts = [${redirectHosts.map(quote).join(', ')}]`}

# A proxy that everything is asked through; user and password, if it wants them, percent-encoded:
# "http://USER:PASSWORD@HOST:PORT". Then let nobody else read this file.
# proxy = "http://proxy.example:3128"

# What is asked without it: hosts, ".example.org" for all below one, "*" for all.
# no-proxy = []

# Certificates, in PEM, of authorities to believe beside those of the system; a path from here.
# ca-file = "site-ca.pem"

# A file with the token that the upstream asks for; only its own hosts are told. Let nobody else read it.
${line('token-file', more.tokenFile, 'token')}
`
}

function line(key: string, value: string | undefined, example: string): string {
  return value === undefined ? `# ${key} = ${quote(example)}` : `${key} = ${quote(value)}`
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

# Hours from the beginning of one sweep of an observed index to the next, 1 to 8760.
# sweep-hours = 24

# An artifact slower than this many bytes a second over 30 seconds is asked for again.
# floor-bytes-per-second = 1024

# Requests begun a second at most, for each host, 1 to 10000. There is no limit without it.
# requests-per-second = 100

# When the daemon syncs: an interval as "45m", "4h", "1d", or cron's five fields, local time; and up to
# so many seconds later.
# schedule = "1h"
# jitter-seconds = 300

# Hours in which the daemon may sync, for example ["mon-fri 20:00-06:00", "sat,sun"]. None: always.
# windows = []

# How fast, for example ["mon-fri 08:00-18:00 2MiB", "20MiB"]: the first whose hours it is counts.
# bandwidth = []

# Bytes of artifacts after which a run stops, and bytes that may come in a calendar month.
# run-bytes = 10000000000
# month-bytes = 100000000000

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

# An index of only what is here, line by line. It needs the keys of [sign] and a site root: nobody
# else signs it.
# prune-index = false

[store]
# Bytes of the disk that a sync leaves free; it stops with exit code 20 before.
# reserve-bytes = 1073741824

# Days that a snapshot is kept after the next one took its place; then "prune" forgets it, 0 to 3650.
# keep-days = 7

# The daemon reads everything back once in so many days, and mends what is wrong; 0: never. It reads at
# no more than so many bytes a second.
# scrub-days = 30
# scrub-bytes-per-second = 20000000

[serve]
# Address and port of "crateferry serve" and of the daemon.
# listen = "127.0.0.1:8377"

# The URL that clients use: it stands in config.json, which cargo needs absolute.
# url = "http://127.0.0.1:8377"

# The server's certificate with its chain, and its private key, in PEM: with them TLS is spoken, and
# nothing else. Both are read anew when they change.
# tls-certificate = "/etc/crateferry/tls.crt"
# tls-key = "/etc/crateferry/tls.key"

# The daemon's control socket.
# control = "/run/crateferry/control.sock"

# What is published counts as fresh so many hours after it was last compared with its source.
# fresh-hours = 48

[hooks]
# A program with its arguments, and a URL, that are told as JSON what happened: published, degraded,
# stale, guard, imported, expiring.
# command = ["/usr/local/bin/tell", "crates"]
# webhook = "https://alerts.example/crateferry"

# Only of these; none: of all.
# events = []

# Metadata that ends within so many days is told.
# expiry-days = 14

[sign]
# The keys of this site's own chain, one each for targets, snapshot and timestamp: "file:PATH", from
# this folder on and never below public/, "env:NAME" for a key file's text in a variable, or
# "exec:COMMAND" for a program that signs.
# targets = "file:keys/targets.key"
# snapshot = "file:keys/snapshot.key"
# timestamp = "file:keys/timestamp.key"

# The file with the passphrase of those that are sealed, its first line.
# passphrase-file = "/run/credentials/crateferry/passphrase"

# How long each signature is good for; each is renewed when half of it is over.
# targets-days = 60
# snapshot-days = 7
# timestamp-hours = 48

[bundle]
# What this site calls itself in receipts and want-lists: up to 16 of a-z, 0-9 and "-".
# site = "mirror"

# Bytes of a volume that "bundle export" writes, 1048576 to 4294901760.
# volume-size = 1073741824

# Days that an exported state is kept, so that a later bundle can lead on from it.
# keep-base-days = 180

# An import takes timestamp, snapshot and targets so many days past their end, and a root so many.
# stale-days = 45
# stale-root-days = 0

# Folders in which bundles arrive, and mount points of media such as "/media/courier", for
# "bundle import --watch".
# inbox = []
# media = []

# Where receipts and want-lists are put; relative to this file's folder.
# outbox = "state/outbox"

[guard]
# A sync that would remove more than this percentage of all crates, and more than this many of them,
# stops with exit code 17.
# removal-percent = 1
# removal-crates = 20

# So does one that would remove more than this many versions.
# removal-versions = 1000

# Days that a crate stays which an observed upstream no longer has.
# hold-days = 7
`

/** JSON's escapes are TOML's too; of what JSON leaves bare, TOML forbids only DEL. */
function quote(text: string): string {
  return JSON.stringify(text).replaceAll('\u007f', '\\u007f')
}
