import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { MirrorError } from '../error.ts'
import { type Checksum, isChecksum, sha256 } from '../registry/checksum.ts'
import { parseSelection, type Selection, selectionText } from '../registry/selection.ts'
import { discardFile } from './durable.ts'
import { NEXT, PUBLISHED, SELECTED, SNAPSHOTS, selectedFile } from './layout.ts'
import { readRecord } from './record.ts'
import { isSnapshot, readPublished, type Snapshot } from './snapshot.ts'
import type { Writer } from './writer.ts'

/**
 * Which part of its index a snapshot's mirror holds; undefined: all of it. The record lies under its
 * own SHA-256, so it is what the snapshot named or it is damaged.
 */
export function readSelection(root: string, snapshot: Snapshot | undefined): Selection | undefined {
  if (snapshot?.selected === undefined) return undefined
  const file = selectedFile(snapshot.selected)
  const damaged = (fault: string, cause?: unknown): MirrorError =>
    new MirrorError('damaged', `${file} ${fault}; run sync, which chooses again`, { cause })
  let bytes: Uint8Array
  try {
    bytes = readFileSync(join(root, file))
  } catch (error) {
    throw damaged('cannot be read', error)
  }
  if (sha256(bytes) !== snapshot.selected) throw damaged('does not match its name')
  try {
    return parseSelection(Buffer.from(bytes).toString())
  } catch (error) {
    throw damaged('has not the form of a selection', error)
  }
}

/** Durable before the snapshot that names it is decided on; returns its name there. */
export async function keepSelection(
  writer: Writer,
  selection: Selection | undefined,
): Promise<Checksum | undefined> {
  if (selection === undefined) return undefined
  const bytes = Buffer.from(selectionText(selection))
  const checksum = sha256(bytes)
  if (!isHere(writer.at(selectedFile(checksum)), bytes)) {
    await writer.replace(selectedFile(checksum), bytes)
  }
  return checksum
}

function isHere(file: string, bytes: Uint8Array): boolean {
  return existsSync(file) && Buffer.compare(readFileSync(file), bytes) === 0
}

/**
 * Removes the records of selections that no snapshot names any more. Where a snapshot's record
 * cannot be read nobody knows what it names, and all of them stay.
 */
export async function discardSelections(writer: Writer): Promise<void> {
  const { root } = writer.mirror
  const current = readPublished(root)?.selected
  const others = filesIn(root, SELECTED).filter(name => isChecksum(name) && name !== current)
  if (others.length === 0) return
  const named = namedBySnapshots(root)
  if (named === undefined) return
  for (const name of others) {
    if (!named.has(name)) await discardFile(writer.at(`${SELECTED}/${name}`))
  }
}

function namedBySnapshots(root: string): ReadonlySet<string | undefined> | undefined {
  const records = filesIn(root, SNAPSHOTS).map(name => `${SNAPSHOTS}/${name}`)
  try {
    return new Set(
      [PUBLISHED, NEXT, ...records].map(file => readRecord(join(root, file), isSnapshot)?.selected),
    )
  } catch (error) {
    if (error instanceof MirrorError) return undefined
    throw error
  }
}

function filesIn(root: string, folder: string): string[] {
  return existsSync(join(root, folder)) ? readdirSync(join(root, folder)) : []
}
