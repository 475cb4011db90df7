import { readdirSync } from 'node:fs'
import { join } from 'node:path'

const ARTIFACTS_MIN = 250

/** What a mirror of real crates has to be tried with, in the names of their files. */
const KINDS: Record<string, RegExp> = {
  'a name with _': /^[^.]*_/,
  'a name with -': /^[^.]*-[a-z]/i,
  'a name in capitals': /^[^.]*[A-Z]/,
  'a version with +': /\+/,
}

/** Counts a collection, and refuses one that proves too little. */
export function survey(folder: string): string {
  const crates = readdirSync(join(folder, 'crates'))
  const artifacts = crates.flatMap(name => readdirSync(join(folder, 'crates', name)))
  const counts = Object.entries(KINDS).map(([kind, pattern]) => {
    const count = artifacts.filter(name => pattern.test(name)).length
    if (count === 0) throw new Error(`no artifact has ${kind}`)
    return `${count} with ${kind}`
  })
  if (artifacts.length < ARTIFACTS_MIN) {
    throw new Error(`${artifacts.length} artifacts are too few, ${ARTIFACTS_MIN} at least`)
  }
  return `${artifacts.length} artifacts of ${crates.length} crates: ${counts.join(', ')}`
}
