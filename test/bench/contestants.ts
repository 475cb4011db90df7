import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Cost, measured } from './measured.ts'
import { BIN, initMirror, NODE, type Repository } from './repository.ts'

/** Someone who brings all artifacts of a repository to an empty folder. */
export interface Contestant {
  readonly name: string
  /** Not measured. Leaves a folder at `out`. */
  prepare(course: Course, out: string): void
  /** A shell script; $OUT, $LIST and $SUMS name the folder, curl's list and the checksums. */
  readonly script: string
  /** Where in `out` the folder `crates` lies afterwards. */
  readonly below: string
}

const CURL =
  'cd "$OUT" && curl -s --no-progress-meter --parallel --parallel-max 64 --create-dirs -K "$LIST"'
const makeFolder = (_: Course, out: string): void => mkdirSync(out)

export const OURS = 'crateferry sync'
export const SCRIPT = 'curl, sha256sum -c, sync -f'

export const CONTESTANTS: readonly Contestant[] = [
  {
    name: OURS,
    prepare: ({ repository, url }, out) => initMirror(out, repository, url),
    script: '"$NODE" "$BIN" sync --quiet --mirror "$OUT"',
    below: 'public',
  },
  {
    name: SCRIPT,
    prepare: makeFolder,
    script: `${CURL} && sha256sum --quiet -c "$SUMS"`,
    below: '.',
  },
  { name: 'curl, sync -f (unverified)', prepare: makeFolder, script: CURL, below: '.' },
]

/** What everyone runs over. */
export interface Course {
  readonly repository: Repository
  readonly url: string
  readonly scratch: string
  readonly list: string
  readonly sums: string
}

export function layCourse(repository: Repository, url: string, scratch: string): Course {
  const { crates } = repository
  const list = join(scratch, 'curl.list')
  const sums = join(scratch, 'sums')
  const request = (name: string): string =>
    `url = "${url}/crates/${name}"\noutput = "crates/${name}"\n`
  const sum = (name: string): string => `${name.slice(-70, -6)}  crates/${name}\n`
  writeFileSync(list, crates.map(request).join(''))
  writeFileSync(sums, crates.map(sum).join(''))
  return { repository, url, scratch, list, sums }
}

/** A run's cost until all is durable. */
export interface Run extends Cost {
  /** The part of `seconds` that the last flush took, after the script had returned. */
  readonly flushSeconds: number
}

/**
 * One run from an empty folder and a flushed file system. The flush that is still to come is counted
 * in, for everyone; what has come is checked by a program that is not ours.
 */
export async function race({ prepare, script, below }: Contestant, course: Course): Promise<Run> {
  const out = join(course.scratch, 'out')
  rmSync(out, { recursive: true, force: true })
  prepare(course, out)
  execFileSync('sync')
  const env = { NODE, BIN, OUT: out, LIST: course.list, SUMS: course.sums }
  const cost = await measured(script, env)
  const flush = await measured('sync -f "$OUT"', env)
  execFileSync('sha256sum', ['--quiet', '-c', course.sums], { cwd: join(out, below) })
  rmSync(out, { recursive: true })
  return { ...cost, seconds: cost.seconds + flush.seconds, flushSeconds: flush.seconds }
}
