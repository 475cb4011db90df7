import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { MirrorError } from '../error.ts'
import { Selection } from '../registry/selection.ts'
import { selectedFile } from '../store/layout.ts'
import { readSelection } from '../store/selected.ts'
import type { Snapshot } from '../store/snapshot.ts'
import type { Fault } from './verify-finding.ts'

/**
 * What must be here of all that the index lists; undefined: everything. Where the record is wrong
 * that is the one fault: which artifacts are missing cannot be known then.
 */
export function* selectionFindings(
  root: string,
  shown: Snapshot,
): Generator<Fault, Selection | undefined> {
  if (shown.selected === undefined) return undefined
  try {
    return readSelection(root, shown)
  } catch (error) {
    if (!(error instanceof MirrorError)) throw error
    const file = selectedFile(shown.selected)
    const kind = existsSync(join(root, file)) ? 'damaged' : 'missing'
    yield { kind, file, what: error.message, named: { kind: 'selection' } }
    return new Selection(DENY_ALL, new Map())
  }
}

const DENY_ALL = JSON.stringify({ allow: [], deny: ['*'], newest: 0, pins: null })
