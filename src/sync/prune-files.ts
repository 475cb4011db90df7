import { lstatSync } from 'node:fs'
import { join } from 'node:path'
import { wrapped } from '../store/durable.ts'
import { isTileFile, parseByHash, parseNumbered } from '../store/file-names.ts'
import { INDEX, TUF } from '../store/layout.ts'
import type { Kept } from './prune-kept.ts'
import type { Marks } from './prune-marks.ts'
import { entriesIn, prefixesIn } from './verify-files.ts'

/**
 * Files but artifacts that nothing names, by their paths below the mirror's root. What is no
 * regular file, or has a name that is none of the layout, is never one of them.
 */

/** A number of files, and what they hold. */
export interface Tally {
  files: number
  bytes: number
}

export function add(tally: Tally, bytes: number): void {
  tally.files += 1
  tally.bytes += bytes
}

export function* unnamedIndexFiles(root: string, marks: Marks): Generator<string> {
  for (const prefix of prefixesIn(root, INDEX)) {
    for (const name of filesIn(root, `${INDEX}/${prefix}`)) {
      const isByHash = parseByHash(prefix, name) !== undefined
      if (isByHash && !marks.hasIndexFile(prefix, name)) yield `${INDEX}/${prefix}/${name}`
    }
  }
}

export function* unnamedTiles(root: string, marks: Marks): Generator<string> {
  const tree = `${TUF}/tree`
  const below = entriesIn(root, tree).filter(entry => entry.isDirectory())
  for (const folder of [TUF, tree, ...below.map(({ name }) => `${tree}/${name}`)]) {
    for (const name of filesIn(root, folder)) {
      const file = `${folder}/${name}`
      if (isTileFile(file) && !marks.hasTile(file)) yield file
    }
  }
}

/**
 * Metadata older than what others are shown, but for what a kept snapshot's readers may be at.
 * Newer metadata may be of a writer that was killed. Roots all stay: who pinned the first one
 * follows them one by one (TUF 5.3).
 */
export function* supersededMetadata(root: string, { shown, snapshots }: Kept): Generator<string> {
  const versions = snapshots.flatMap(({ metadata }) => metadata ?? [])
  for (const chain of shown) {
    // a snapshot's record has the versions of the chain followed, never those of the site's own
    const read = chain.folder === TUF ? [chain, ...versions] : [chain]
    for (const name of filesIn(root, chain.folder)) {
      const numbered = parseNumbered(name)
      if (numbered === undefined) continue
      const { role, version } = numbered
      const isOld = version < chain[role]
      if (isOld && !read.some(one => one[role] === version)) yield `${chain.folder}/${name}`
    }
  }
}

function filesIn(root: string, folder: string): string[] {
  return entriesIn(root, folder).flatMap(entry => (entry.isFile() ? [entry.name] : []))
}

export function bytesOf(root: string, file: string): number {
  const path = join(root, file)
  try {
    return lstatSync(path).size
  } catch (error) {
    throw wrapped(error, path)
  }
}
