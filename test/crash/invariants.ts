import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * What must hold on a mirror's disk at any moment, after any fault and before anybody mends it.
 * Shares no code with the product: a mistake of its readers must not hide one of its writers.
 *
 *   I1  every artifact hashes to its name, but for the batch whose list is still there
 *   I2  what is published is a sealed record: `snapshots/N.json` says the same
 *   I4  each crate of the published tree, or of the next one once that is decided, stands under its
 *       path with the right bytes, or is held; and what its lines name is here
 *   I5  nobody published an older snapshot
 */
export function faultsOf(mirror: string, { atLeast }: { readonly atLeast: number }): string[] {
  const faults = artifactFaults(mirror)
  const published = recordOf(mirror, 'state/published')
  if (published === undefined) return [...faults, 'I2: nothing is published']
  if (published.n < atLeast) faults.push(`I5: snapshot ${published.n} after ${atLeast}`)
  const sealed = readFileSync(join(mirror, `state/snapshots/${published.n}.json`))
  if (!sealed.equals(readFileSync(join(mirror, 'state/published')))) faults.push('I2: not sealed')
  const next = recordOf(mirror, 'state/next')
  const allowed = [published, ...(next === undefined ? [] : [next])].map(one => named(mirror, one))
  for (const path of new Set(allowed.flatMap(one => [...one.keys()]))) {
    faults.push(...crateFaults(mirror, path, new Set(allowed.map(one => one.get(path)))))
  }
  return faults
}

interface Snapshot {
  readonly n: number
  readonly tree: string
  readonly held: Record<string, { have: string | null }>
}

function recordOf(mirror: string, file: string): Snapshot | undefined {
  const path = join(mirror, file)
  return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as Snapshot) : undefined
}

const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

function artifactFaults(mirror: string): string[] {
  const landing = join(mirror, 'state/landing')
  const doubtful = existsSync(landing) ? readFileSync(landing, 'utf8') : ''
  const crates = readdirSync(join(mirror, 'public/crates'), { recursive: true, encoding: 'utf8' })
  return crates
    .filter(name => name.endsWith('.crate') && !doubtful.includes(name))
    .filter(
      name => sha256(readFileSync(join(mirror, 'public/crates', name))) !== name.slice(-70, -6),
    )
    .map(name => `I1: ${name} has other bytes`)
}

/** What stands under each path by a snapshot; undefined: nothing. */
function named(mirror: string, snapshot: Snapshot): Map<string, string | undefined> {
  const paths = new Map<string, string | undefined>()
  const tuf = join(mirror, 'public/tuf')
  const walk = (position: string, hash: string): void => {
    const folder = position.length > 2 ? `tree/${position.slice(0, 2)}` : 'tree'
    const file = position === '' ? `${hash}.index-tree` : `${folder}/${hash}.${position}`
    const bytes = readFileSync(join(tuf, file))
    if (sha256(bytes) !== hash) throw new Error(`I4: tile ${file} has other bytes`)
    const [head = '', ...lines] = bytes.toString('latin1').trimEnd().split('\n')
    for (const line of lines) {
      const [below = '', , name = ''] = line.split(' ')
      if (head.startsWith('index-tree 1 leaf')) paths.set(name, below)
      else walk(position + name, below)
    }
  }
  walk('', snapshot.tree)
  for (const [path, { have }] of Object.entries(snapshot.held)) paths.set(path, have ?? undefined)
  return paths
}

function crateFaults(
  mirror: string,
  path: string,
  allowed: ReadonlySet<string | undefined>,
): string[] {
  const file = join(mirror, 'public/index', path)
  const bytes = existsSync(file) ? readFileSync(file) : undefined
  if (!allowed.has(bytes === undefined ? undefined : sha256(bytes))) {
    return [`I4: ${path} is none of what the snapshots name`]
  }
  const folder = path.slice(0, path.lastIndexOf('/'))
  const lines = bytes?.toString().trimEnd().split('\n') ?? []
  return lines
    .map(line => (JSON.parse(line) as { cksum: string }).cksum)
    .filter(cksum => !existsSync(join(mirror, `public/crates/${folder}/${cksum}.crate`)))
    .map(cksum => `I4: ${path} names ${cksum}, which is not here`)
}
