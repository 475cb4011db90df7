import { existsSync, lstatSync } from 'node:fs'
import { join } from 'node:path'
import { DELEGATED, delegatedIn } from '../store/chain-files.ts'
import { wrapped } from '../store/durable.ts'
import { isTileFile, parseByHash, parseNumbered } from '../store/file-names.ts'
import { INDEX, TRUST, TUF } from '../store/layout.ts'
import { percentEncoded } from '../trust/role-file.ts'
import { readSnapshot } from '../trust/snapshot.ts'
import { type Kept, readMetadata } from './prune-kept.ts'
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
export function* supersededMetadata(root: string, kept: Kept): Generator<string> {
  const { shown, snapshots } = kept
  yield* supersededRoles(root, kept)
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

/**
 * Roles of a classic repository that no snapshot.json names which others may still be at, in both
 * places. Newer ones than are shown may be of a writer that was killed.
 */
function* supersededRoles(root: string, { shown, snapshots }: Kept): Generator<string> {
  const chain = shown.find(({ folder }) => folder === TUF)
  const names = delegatedIn(join(root, TRUST.upstream))
  if (chain === undefined || names.length === 0) return
  const versions = [chain, ...snapshots.flatMap(({ metadata }) => metadata ?? [])]
  const files = new Set(versions.map(({ snapshot }) => `${TUF}/${snapshot}.snapshot.json`))
  const named = new Set<string>()
  const newest = new Map<string, number>()
  for (const file of files) {
    if (!existsSync(join(root, file))) continue
    for (const [name, { version }] of readMetadata(root, file, readSnapshot).files) {
      const encoded = `${percentEncoded(name.replace(/\.json$/, ''))}.json`
      named.add(`${version}.${encoded}`)
      newest.set(encoded, Math.max(version, newest.get(encoded) ?? 0))
    }
  }
  for (const name of names) {
    const dot = name.indexOf('.')
    const isNewer = Number(name.slice(0, dot)) > (newest.get(name.slice(dot + 1)) ?? Infinity)
    if (named.has(name) || isNewer) continue
    for (const file of [`${TUF}/${name}`, `${TRUST.upstream}/${DELEGATED}/${name}`]) {
      if (existsSync(join(root, file))) yield file
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
